import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import Synchronization
import SystemPackage

/// The one connection to a host that everything goes over. It is made when it is first needed, and again when it was lost.
///
/// ssh holds it as a process of its own (a "master") that listens on a socket in a private folder, and ends by itself when nothing has
/// used it for a while. Who asks while it is being made waits, and gets the same outcome: a wrong password is not tried once for each.
final class SSHConnection: Sendable {
    /// A connection that was made.
    struct Live: Sendable, Hashable {
        /// Where its master listens.
        var socket: FilePath
        /// What `ssh_config` made of the target.
        var configuration: SSHConfiguration
    }

    private enum Outcome: Sendable {
        case made(Live)
        case failed(any Error)
        /// Whoever made it gave up: somebody else may.
        case abandoned
    }

    private enum Phase {
        case none
        case connecting([UInt64: CheckedContinuation<Outcome, Never>])
        case up(Live)
        case closed
    }

    private struct State {
        var phase = Phase.none
        var folder: FilePath?
        var count: UInt64 = 0

        var live: Live? {
            guard case .up(let live) = phase else { return nil }
            return live
        }

        var waiting: [CheckedContinuation<Outcome, Never>] {
            guard case .connecting(let waiting) = phase else { return [] }
            return Array(waiting.values)
        }
    }

    /// How long ssh may take for what needs no network.
    private static let shortLimit = Duration.seconds(30)

    let name: String
    let arguments: SSHArguments
    private let secrets: SSHSecrets
    private let state = Mutex(State())

    init(name: String, arguments: SSHArguments, secrets: SSHSecrets) {
        self.name = name
        self.arguments = arguments
        self.secrets = secrets
    }

    deinit {
        let (live, folder) = state.withLock { ($0.live, $0.folder) }
        guard let folder else { return }
        let arguments = arguments
        let name = name
        Task.detached { try await Self.end(live, folder, arguments, name) }
    }

    // MARK: - Use

    /// The connection, made if there is none. That it is there does not say that it works.
    func live() async throws -> Live {
        while true {
            let phase: Phase = try state.withLock { state in
                if case .closed = state.phase { throw Self.closed(name) }
                defer { if case .none = state.phase { state.phase = .connecting([:]) } }
                return state.phase
            }
            switch phase {
            case .up(let live): return live
            case .none, .closed: return try await lead()
            case .connecting:
                switch await wait() {
                case .made(let live): return live
                case .failed(let error): throw error
                case .abandoned: try Task.checkCancellation()
                }
            }
        }
    }

    /// The connection, which answered just now.
    func tested() async throws -> Live {
        let live = try await live()
        if try await isAlive(live) { return live }
        forget(live)
        return try await self.live()
    }

    /// Whether the master still has its connection, as far as it knows itself.
    func isAlive(_ live: Live) async throws -> Bool {
        let check = arguments.control(socket: live.socket, "check")
        return try await SSHProgram.run(check, limit: Self.shortLimit, at: name).status == 0
    }

    /// Notes that a connection is no more; the next who needs one makes it.
    func forget(_ live: Live) {
        state.withLock { state in
            if case .up(live) = state.phase { state.phase = .none }
        }
    }

    /// Ends the connection and removes its folder. Nothing can be started after that.
    func close() async throws {
        let (live, folder, waiting) = state.withLock { state in
            defer { (state.phase, state.folder) = (.closed, nil) }
            return (state.live, state.folder, state.waiting)
        }
        for one in waiting { one.resume(returning: .abandoned) }
        guard let folder else { return }
        try await Self.end(live, folder, arguments, name)
    }

    private static func end(_ live: Live?, _ folder: FilePath, _ arguments: SSHArguments, _ name: String) async throws {
        var trouble: (any Error)?
        if let live {
            do {
                // A master that is gone already is as good as one that goes.
                _ = try await SSHProgram.run(
                    arguments.control(socket: live.socket, "exit"), limit: shortLimit, at: name)
            } catch {
                trouble = error
            }
        }
        try await BlockingPool.shared.run { try Folder.delete(folder) }
        if let trouble { throw trouble }
    }

    private static func closed(_ name: String) -> Failure {
        Failure(.unreachable, "the connection was closed", at: name)
    }

    // MARK: - One makes it, the others wait

    private func lead() async throws -> Live {
        let outcome: Outcome
        do {
            outcome = .made(try await connect())
        } catch {
            outcome = error is CancellationError || Task.isCancelled ? .abandoned : .failed(error)
            finish(outcome)
            throw error
        }
        guard finish(outcome), case .made(let live) = outcome else { throw Self.closed(name) }
        return live
    }

    /// Tells everybody.
    ///
    /// - Returns: false when it was closed meanwhile.
    @discardableResult
    private func finish(_ outcome: Outcome) -> Bool {
        let (waiting, isOpen) = state.withLock { state in
            guard case .connecting = state.phase else { return (state.waiting, false) }
            let waiting = state.waiting
            if case .made(let live) = outcome { state.phase = .up(live) } else { state.phase = .none }
            return (waiting, true)
        }
        for one in waiting { one.resume(returning: outcome) }
        return isOpen
    }

    private func wait() async -> Outcome {
        let ticket = state.withLock { state in
            state.count += 1
            return state.count
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isKept = state.withLock { state in
                    guard case .connecting(var waiting) = state.phase, !Task.isCancelled else { return false }
                    waiting[ticket] = continuation
                    state.phase = .connecting(waiting)
                    return true
                }
                if !isKept { continuation.resume(returning: .abandoned) }
            }
        } onCancel: {
            let one: CheckedContinuation<Outcome, Never>? = state.withLock { state in
                guard case .connecting(var waiting) = state.phase else { return nil }
                let one = waiting.removeValue(forKey: ticket)
                state.phase = .connecting(waiting)
                return one
            }
            one?.resume(returning: .abandoned)
        }
    }

    // MARK: - Making it

    private func connect() async throws -> Live {
        try arguments.check()
        let configuration = try await configuration()
        let place = SSHPlace(name: name, configuration: configuration, options: arguments.options)
        let (folder, number) = try await privateFolder()
        if let file = arguments.options.knownHostsFile {
            try await BlockingPool.shared.run {
                try Folder.make(file.removingLastComponent(), permissions: .ownerReadWriteExecute)
            }
        }
        let socket = folder.appending("c\(number)")
        let questions = folder.appending("a\(number)")
        let server = try await BlockingPool.shared.run { try AskPassServer(at: questions) }
        let answers = SSHAnswers(secrets, configuration)
        let child = try await SSHProgram.start(
            arguments.master(socket: socket, knownHosts: configuration.knownHosts, canAnswer: !secrets.hasNoneForLogin),
            environment: Self.environment(folder, questions),
            at: name
        )
        await child.closeInput()
        let deadline = PatientDeadline(after: arguments.options.connectLimit)
        var log = SSHLog()
        let status: Int32?
        do {
            status = try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await server.serve { question in
                        await deadline.sparing { await answers.answer(question) { child.signal(SIGTERM) } }
                    }
                }
                defer { group.cancelAll() }
                return try await SSHProgram.follow(
                    child, until: deadline, waitingFor: "the login of \(place.login)", at: name
                ) { event in
                    switch event {
                    case .error(let bytes): log.append(bytes)
                    case .exited(let status): return status
                    case .output, .expired: break
                    }
                    return nil
                }
            }
        } catch {
            child.signal(SIGKILL)
            guard var failure = error as? Failure, failure.kind == .timeout else { throw error }
            log.finish()
            failure.what = "the login of \(place.login) took longer than \(arguments.options.connectLimit.inWords)"
            failure.causes = SSHWords.causes("ssh said last", log.lastWords)
            throw failure
        }
        try await BlockingPool.shared.run { try Folder.delete(questions) }
        if let error = answers.error { throw error }
        guard status == 0 else {
            log.finish()
            throw log.failure(place, answers)
        }
        return Live(socket: socket, configuration: configuration)
    }

    private func configuration() async throws -> SSHConfiguration {
        let result = try await SSHProgram.run(arguments.configuration, limit: Self.shortLimit, at: name)
        guard result.status == 0 else {
            throw Failure(
                .invalidInput, "ssh does not take its configuration", at: name,
                remedy: "mend the file that it names", causes: SSHWords.causes("it said", result.error))
        }
        return SSHConfiguration(result.output)
    }

    private static func environment(_ folder: FilePath, _ questions: FilePath) -> [String: String] {
        var variables = [
            "SSH_ASKPASS": folder.appending(AskPass.linkName).string,
            "SSH_ASKPASS_REQUIRE": "force",
            AskPass.socketVariable: questions.string,
        ]
        // Before OpenSSH 8.4 this is what makes ssh use the program.
        if ProcessInfo.processInfo.environment["DISPLAY"] == nil { variables["DISPLAY"] = "none:0" }
        return variables
    }

    /// The folder for sockets, with the link for questions in it, and a number for new ones.
    private func privateFolder() async throws -> (FilePath, UInt64) {
        let (known, number) = state.withLock { state in
            state.count += 1
            return (state.folder, state.count)
        }
        if let known { return (known, number) }
        let options = arguments.options
        let folder = try await BlockingPool.shared.run {
            let prefix = "sealer-ssh-"
            try Folder.make(options.socketFolder)
            do {
                try ProcessFolder.deleteLeft(in: options.socketFolder, prefix: prefix)
            } catch let failure as Failure where failure.kind == .notFound {
                // Somebody else deletes the same folder just now.
            }
            let folder = try ProcessFolder.make(in: options.socketFolder, prefix: prefix)
            let program = try options.askPassProgram ?? Self.ownExecutable()
            guard symlink(program.string, folder.appending(AskPass.linkName).string) == 0 else {
                throw Failure(.system, "cannot make a link", at: folder.string, causes: [Errno(rawValue: errno)])
            }
            return folder
        }
        let isClosed = state.withLock { state in
            if case .closed = state.phase { return true }
            state.folder = folder
            return false
        }
        guard !isClosed else {
            try await BlockingPool.shared.run { try Folder.delete(folder) }
            throw Self.closed(name)
        }
        return (folder, number)
    }

    private static func ownExecutable() throws -> FilePath {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        guard readlink("/proc/self/exe", &buffer, buffer.count - 1) > 0 else {
            throw Failure(.system, "cannot find sealer's own executable", causes: [Errno(rawValue: errno)])
        }
        return FilePath(platformString: buffer)
    }
}
