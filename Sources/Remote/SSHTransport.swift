import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import Synchronization
import SystemPackage

/// The way to a host over SSH, by OpenSSH's own client: `ssh_config`, agent, keys, certificates and jump hosts of the user count.
///
/// Programs run as root there, whoever logs in: by sudo where the user is another. Nothing but a POSIX shell and the usual small programs
/// is needed on the host, and no sftp.
public final class SSHTransport: Transport {
    /// The host's name for people.
    public let host: String
    private let connection: SSHConnection
    private let secrets: SSHSecrets
    private let options: SSHSessionOptions

    /// Makes the transport; it connects when it is first used.
    ///
    /// - Parameters:
    ///   - target: whom to reach.
    ///   - host: the name for people; nil for the target's.
    ///   - secrets: where passwords come from.
    public init(
        _ target: SSHTarget,
        host: String? = nil,
        secrets: SSHSecrets = .none,
        options: SSHSessionOptions = SSHSessionOptions()
    ) {
        self.host = host ?? target.host
        self.secrets = secrets
        self.options = options
        connection = SSHConnection(
            name: self.host, arguments: SSHArguments(target: target, options: options), secrets: secrets)
    }

    /// Makes the connection, or makes sure that there is one.
    ///
    /// - Throws: `Failure` of kind `denied` for host keys and logins that are not accepted, `unreachable` or `timeout` when the host does
    ///   not answer, `unavailable` when this machine has no ssh, `invalidInput` for a wrong `ssh_config`.
    public func reach() async throws {
        _ = try await connection.tested()
    }

    /// Starts a program as root.
    ///
    /// - Throws: as `reach`; `denied` too when the user may not become root.
    public func start(_ command: [String]) async throws -> any ByteChannel {
        let (child, first) = try await session(SSHLoginScript.start(command))
        return SSHChannel(child, host: host, first: first)
    }

    /// Puts a file onto the host, as root: under a temporary name, then, when all of it is there and on the disk, under its own.
    ///
    /// - Throws: as `start`; `notFound` when there is no such file here, `system` when the host cannot take it, `timeout` when it no longer
    ///   gets on.
    public func place(_ file: FilePath, at path: FilePath, permissions: FilePermissions) async throws {
        let source = try await BlockingPool.shared.run { try SSHSource(file) }
        let script = try SSHLoginScript.place(at: path, size: source.size, permissions: permissions)
        let (child, first) = try await session(script)
        let sending = SSHPlacing(child: child, host: host, path: path, first: first, stallLimit: options.stallLimit)
        try await sending.send(source)
    }

    /// Ends the connection, and with it whatever runs over it.
    public func close() async throws {
        try await connection.close()
    }

    // MARK: - Sessions

    /// A session in which the script has begun.
    private func session(_ script: SSHLoginScript) async throws -> (child: ChildProcess, first: Data) {
        for isLast in [false, true] {
            let live = try await connection.live()
            if let begun = try await begin(script, live, mayRetry: !isLast) { return begun }
            connection.forget(live)
        }
        throw Failure(.software, "a session ended without a reason", at: host)
    }

    /// Begins a session.
    ///
    /// - Parameter mayRetry: whether nil may be given.
    /// - Returns: nil when the connection had been lost before.
    private func begin(
        _ script: SSHLoginScript,
        _ live: SSHConnection.Live,
        mayRetry: Bool
    ) async throws -> (child: ChildProcess, first: Data)? {
        var login = SSHLogin()
        let arguments = connection.arguments.session(socket: live.socket, commandLine: script.commandLine(login))
        let child = try await SSHProgram.start(arguments, at: host)
        let place = SSHPlace(name: host, configuration: live.configuration, options: options)
        let deadline = PatientDeadline(after: options.connectLimit)
        var errors = TextTail()
        var output = TextTail()
        var status: Int32 = 255
        do {
            let first = try await SSHProgram.follow(
                child, until: deadline, waitingFor: "the shell of \(place.login)", at: host
            ) { event -> Data? in
                switch event {
                case .output(let bytes):
                    output.append(bytes)
                    if let first = try login.takeOutput(bytes) { return first }
                case .error(let bytes):
                    errors.append(bytes)
                    login.takeError(bytes)
                case .exited(let code): status = code
                case .expired: break
                }
                switch login.takeQuestion() {
                case .password?: try await deadline.sparing { try await self.answerSudo(child, place) }
                case .again?: throw SSHLogin.wrongPassword(place)
                case nil: break
                }
                return nil
            }
            if let first { return (child, first) }
        } catch {
            child.signal(SIGKILL)
            guard var failure = error as? Failure, failure.place == nil || failure.kind == .timeout else { throw error }
            if failure.kind == .timeout {
                let what = login.words.contains(.password) ? "sudo" : "the shell"
                failure.what = "waited \(options.connectLimit.inWords) for \(what) of \(place.login), in vain"
            }
            failure.place = host
            failure.causes += SSHWords.causes("the login said last", login.withoutMarks(errors.text))
            throw failure
        }
        if let failure = login.failure(place, errors.text) { throw failure }
        if status == 255, mayRetry {
            let isAlive = try await connection.isAlive(live)
            if !isAlive { return nil }
        }
        throw noStart(status, place, login.withoutMarks(errors.text), output.text)
    }

    private func answerSudo(_ child: ChildProcess, _ place: SSHPlace) async throws {
        guard let password = try await secrets.sudoPassword?() else { throw SSHLogin.noPassword(place) }
        guard !password.utf8.contains(where: { $0 == 0 || $0 == 0x0a }), password.utf8.count <= AskPass.limit else {
            throw Failure(
                .invalidInput, "a password with line ends, or of such a length, cannot be given to sudo", at: host)
        }
        try await child.write(Data("\(password)\n".utf8))
    }

    /// What it means that the login shell did not run the script.
    private func noStart(_ status: Int32, _ place: SSHPlace, _ errors: String, _ output: String) -> Failure {
        let causes = SSHWords.causes("it said", errors) + SSHWords.causes("it printed", output)
        if errors.contains("Session open refused by peer") {
            return Failure(
                .unavailable, "the host allows no further session on one connection", at: host,
                remedy: "raise MaxSessions in the host's sshd_config", causes: causes)
        }
        if status == 255 {
            return Failure(
                .unreachable, "the connection over SSH was lost", at: host,
                remedy: "look whether the host runs, then run the command again", causes: causes)
        }
        return Failure(
            .commandFailed, "the login of \(place.configuration.user) ended with status \(status) and ran nothing",
            at: host,
            remedy: "look at the user's shell and start-up files: `\(place.byHand) true` must work", causes: causes)
    }
}
