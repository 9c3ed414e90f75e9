import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import Remote

/// A real sshd on loopback with users of its own. It lives in a mount and a process namespace: the machine's users, sudoers and PAM
/// are not touched, and everything in it dies when this process does, for its first process waits for the end of a pipe.
final class SSHServer: Sendable {
    /// Who can log in, and how.
    enum User: String, CaseIterable {
        /// By key.
        case root
        /// By key; sudo asks nothing.
        case nora
        /// By password; sudo asks for it.
        case paul
        /// By key; not in sudoers.
        case kim
        /// By key, sudo asks; the shell prints a lot, to both streams, and every command that it runs.
        case loud
        /// By key; sudo wants a terminal.
        case tess
        /// By key; no sudo in PATH.
        case nell
        /// By key; has no shell.
        case lock
    }

    let folder: FilePath
    let port: Int
    /// Everybody's, with all that a shell could trip over.
    let password: String
    private let child: ChildProcess

    /// A key that all but paul can log in with.
    var key: FilePath { folder.appending("key") }
    /// The cluster's file of host keys: this server's are in it.
    var knownHosts: FilePath { folder.appending("known-hosts") }
    /// The user's own file of host keys, as ssh_config names it; empty.
    var userKnownHosts: FilePath { folder.appending("user-known-hosts") }
    var configuration: FilePath { folder.appending("ssh-config") }

    static let programs = ["ssh", "sshd", "sudo", "ssh-keygen", "ssh-agent", "ssh-add", "openssl", "unshare"]

    static var isPossible: Bool { geteuid() == 0 && programs.allSatisfy { Program($0) != nil } }

    /// Runs `body` while the server runs.
    static func with(_ body: (SSHServer) async throws -> Void) async throws {
        let scratch = try Scratch()
        let folder = scratch.path
        guard chmod(folder.string, 0o711) == 0 else { throw Errno(rawValue: errno) }
        let password = "a 'b\" $c \\d!-\(UInt64.random(in: 0...UInt64.max))"
        try await prepare(folder, password)
        // Somebody else may take the port in between.
        for _ in 0..<5 {
            guard let server = try await start(folder, password) else { continue }
            do {
                try await body(server)
            } catch {
                print("sshd's log:\n\(try server.log())")
                await server.stop()
                throw error
            }
            await server.stop()
            return
        }
        throw Failure(.unavailable, "sshd does not start: \(try text(folder.appending("sshd.log")))")
    }

    private init(_ folder: FilePath, _ port: Int, _ password: String, _ child: ChildProcess) {
        (self.folder, self.port, self.password, self.child) = (folder, port, password, child)
    }

    private static func text(_ path: FilePath) throws -> String { String(decoding: try readFile(path), as: UTF8.self) }

    /// What sshd logged.
    func log() throws -> String { try Self.text(folder.appending("sshd.log")) }

    /// How often it logged a text.
    func logged(_ text: String) throws -> Int {
        try log().split(whereSeparator: \.isNewline).count { $0.contains(text) }
    }

    // MARK: - Making

    private static func write(_ path: FilePath, _ text: String, _ mode: UInt32 = 0o644) throws {
        try AtomicFile.write(Array(text.utf8), to: path, permissions: FilePermissions(rawValue: mode))
    }

    private static func prepare(_ folder: FilePath, _ password: String) async throws {
        let etc = folder.appending("etc")
        for name in ["etc", "etc/pam.d", "home", "keys", "no-sudo"] {
            try Folder.make(folder.appending(name))
        }
        try write(folder.appending("password"), password + "\n", 0o600)
        let tool = try #require(Program("openssl"))
        let hash = try await tool.run(
            ["passwd", "-6", "-in", folder.appending("password").string], in: folder
        ).split(whereSeparator: \.isNewline).joined()
        for name in ["host-key", "key", "user-ca"] { try await makeKey(folder.appending(name)) }

        var passwd = ""
        var shadow = ""
        var group = ""
        for (index, user) in User.allCases.enumerated() {
            let id = user == .root ? 0 : 61000 + index
            let home = folder.appending("home").appending(user.rawValue)
            try Folder.make(home)
            try write(home.appending(".bashrc"), startUp(user, folder))
            chown(home.string, UInt32(id), UInt32(id))
            let shell = user == .lock ? "/usr/sbin/nologin" : "/bin/bash"
            passwd += "\(user):x:\(id):\(id)::\(home):\(shell)\n"
            group += "\(user):x:\(id):\n"
            shadow += "\(user):\(user == .root || user == .nora ? "*" : hash):19000:0:99999:7:::\n"
            if user != .paul { try write(folder.appending("keys/\(user)"), text(folder.appending("key.pub"))) }
        }
        let others = try text("/etc/passwd").split(whereSeparator: \.isNewline).filter { !$0.hasPrefix("root:") }
        try write(etc.appending("passwd"), passwd + others.joined(separator: "\n") + "\n")
        try write(etc.appending("group"), group + "sudo:x:27:\nnogroup:x:65534:\n")
        try write(etc.appending("shadow"), shadow, 0o600)
        try write(etc.appending("hosts"), "127.0.0.1 localhost inner.sealer.test\n::1 localhost\n")
        try write(etc.appending("sudoers"), sudoers, 0o440)
        for name in ["sshd", "sudo", "other"] {
            try write(
                etc.appending("pam.d").appending(name),
                """
                auth required pam_unix.so
                account required pam_unix.so
                password required pam_deny.so
                session required pam_permit.so

                """)
        }
        try write(folder.appending("banner"), "Keep out.\nUnless you are invited.\n")
        try write(folder.appending("setup.sh"), setup)
        symlink("/usr/bin/id", folder.appending("no-sudo/id").string)
    }

    private static func startUp(_ user: User, _ folder: FilePath) -> String {
        switch user {
        case .loud:
            """
            export SHELLOPTS
            set -x
            echo "Welcome to this host!"; head -c 100000 /dev/zero | tr '\\0' x
            echo "Beware of the dog" >&2
            printf 'and no line end'; printf 'nor here' >&2

            """
        case .nell: "PATH=\(folder)/no-sudo\n"
        default: ""
        }
    }

    private static let sudoers = """
        Defaults env_reset
        Defaults use_pty
        Defaults:tess requiretty
        root ALL=(ALL:ALL) ALL
        nora ALL=(ALL:ALL) NOPASSWD: ALL
        paul ALL=(ALL:ALL) ALL
        loud ALL=(ALL:ALL) ALL
        tess ALL=(ALL:ALL) ALL

        """

    private static let setup = """
        set -eu
        cd "$1"
        mount -t tmpfs tmpfs /run
        mkdir -p /run/sshd /run/lock
        mount -t tmpfs tmpfs /var/log
        for file in passwd shadow group sudoers hosts; do mount --bind "etc/$file" "/etc/$file"; done
        mount --bind etc/pam.d /etc/pam.d
        "$2" -D -e -f sshd-config 2>sshd.log &
        cat >/dev/null

        """

    /// Makes a key pair.
    static func makeKey(_ path: FilePath, passphrase: String = "") async throws {
        let tool = try #require(Program("ssh-keygen"))
        try await tool.run(
            ["-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", path.string],
            in: path.removingLastComponent())
    }

    private static func start(_ folder: FilePath, _ password: String) async throws -> SSHServer? {
        let port = try freePort()
        try write(
            folder.appending("sshd-config"),
            """
            Port \(port)
            ListenAddress 127.0.0.1
            ListenAddress ::1
            HostKey \(folder)/host-key
            PidFile none
            AuthorizedKeysFile \(folder)/keys/%u
            TrustedUserCAKeys \(folder)/user-ca.pub
            StrictModes no
            UsePAM yes
            UseDNS no
            PasswordAuthentication yes
            KbdInteractiveAuthentication yes
            PermitRootLogin yes
            Banner \(folder)/banner
            LogLevel VERBOSE

            """)
        let publicKey = try text(folder.appending("host-key.pub"))
        try write(
            folder.appending("known-hosts"),
            ["127.0.0.1", "::1", "inner.sealer.test"].map { "[\($0)]:\(port) \(publicKey)" }.joined())
        try write(folder.appending("user-known-hosts"), "")
        try write(
            folder.appending("ssh-config"),
            """
            IdentityAgent none
            IdentityFile none
            UserKnownHostsFile \(folder)/user-known-hosts
            GlobalKnownHostsFile none

            """)
        let sshd = try #require(Program("sshd"))
        let child = try await ChildProcess.start(
            RemoteCommand(
                [
                    "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh",
                    folder.appending("setup.sh").string, folder.string, sshd.path,
                ]))
        let server = SSHServer(folder, port, password, child)
        for _ in 0..<600 {
            if case .exited = try await child.next(until: .now + .milliseconds(50)) {
                throw Failure(.unavailable, "the namespaces for sshd cannot be made")
            }
            guard access(folder.appending("sshd.log").string, F_OK) == 0 else { continue }
            let log = try server.log()
            if log.contains("listening on 127.0.0.1 port \(port)") { return server }
            if log.contains("Cannot bind") { break }
        }
        await server.stop()
        return nil
    }

    private func stop() async {
        await child.dropInput()
        for _ in 0..<600 {
            do {
                if case .exited = try await child.next(until: .now + .milliseconds(100)) { return }
            } catch {
                break
            }
        }
        child.signal(SIGKILL)
    }

    // MARK: - Use

    /// Options as the tests need them.
    func options(_ change: (inout SSHSessionOptions) -> Void = { _ in }) throws -> SSHSessionOptions {
        var options = SSHSessionOptions()
        options.socketFolder = folder.appending("run")
        options.knownHostsFile = knownHosts
        options.connectLimit = .seconds(120)
        options.askPassProgram = try Self.askPassProgram()
        options.extraOptions = ["-F", configuration.string]
        change(&options)
        return options
    }

    /// Puts lines in front of the user's ssh_config.
    func configure(_ lines: String) async throws {
        try AtomicFile.write(Array(lines.utf8) + readFile(configuration), to: configuration)
    }

    /// A transport for one of the users.
    ///
    /// - Parameter hasKey: whether the key is named to it; else the user's ssh_config alone says how to log in.
    func transport(
        _ user: User,
        host: String = "127.0.0.1",
        secrets: SSHSecrets = .none,
        hasKey: Bool = true,
        options: SSHSessionOptions? = nil
    ) throws -> SSHTransport {
        let target = try SSHTarget(
            host: host, port: host.hasPrefix("inner") ? nil : port, user: user.rawValue,
            identityFile: user == .paul || !hasKey ? nil : key)
        return SSHTransport(target, host: "demo-node-0", secrets: secrets, options: try options ?? self.options())
    }

    private static func askPassProgram() throws -> FilePath {
        var buffer = [CChar](repeating: 0, count: 4097)
        guard readlink("/proc/self/exe", &buffer, 4096) > 0 else { throw Errno(rawValue: errno) }
        let program = FilePath(platformString: buffer).removingLastComponent().appending("AskPassProgram")
        try #require(access(program.string, X_OK) == 0, "\(program) is not built")
        return program
    }

    /// Kills the sshd processes that serve connections, not the one that listens.
    func killSessions() throws {
        // All are found before the first is killed: whose parent has died is below nobody for a moment.
        let sessions = Processes.all().filter { process in
            let line = Processes.commandLine(process)
            return line.hasPrefix("sshd: ") && !line.contains("[listener]") && Processes.isBelow(process, child)
        }
        let killed = sessions.count { kill($0, SIGKILL) == 0 }
        try #require(killed > 0, "there was no session to kill")
    }
}

/// What /proc tells.
enum Processes {
    static func all() -> [pid_t] {
        guard let folder = opendir("/proc") else { return [] }
        defer { closedir(folder) }
        var result: [pid_t] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let number = pid_t(name) { result.append(number) }
        }
        return result
    }

    /// A file of a process; empty when it is gone.
    static func file(_ process: pid_t, _ name: String) -> Data {
        do {
            return try readFile(FilePath("/proc/\(process)/\(name)"))
        } catch {
            return Data()
        }
    }

    static func commandLine(_ process: pid_t) -> String {
        String(decoding: file(process, "cmdline").map { $0 == 0 ? 0x20 : $0 }, as: UTF8.self)
    }

    static func isBelow(_ process: pid_t, _ child: ChildProcess) -> Bool {
        var current = process
        for _ in 0..<20 where current > 1 {
            if current == child.identifier { return true }
            let stat = String(decoding: file(current, "stat"), as: UTF8.self)
            guard let end = stat.lastIndex(of: ")") else { return false }
            current = pid_t(stat[end...].split(separator: " ").dropFirst(2).first ?? "") ?? 0
        }
        return false
    }

    /// The processes in whose arguments or environment a text stands.
    static func showing(_ text: String) -> [pid_t] {
        let bytes = Data(text.utf8)
        return all().filter { process in
            ["cmdline", "environ"].contains { file(process, $0).firstRange(of: bytes) != nil }
        }
    }
}

/// Counts.
final class Counter: Sendable {
    private let count = Mutex(0)
    var value: Int { count.withLock { $0 } }
    func add() { count.withLock { $0 += 1 } }
}
