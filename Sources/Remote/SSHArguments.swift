import Report
import SystemPackage

/// The command lines of ssh. No secret is in them.
struct SSHArguments: Sendable {
    let target: SSHTarget
    let options: SSHSessionOptions

    /// How long a TCP connection and the exchange of keys may take, in seconds.
    private var connectTimeout: Int64 { max(1, min(15, options.connectLimit.components.seconds)) }

    private var destination: [String] {
        var words: [String] = []
        if let port = target.port { words += ["-p", String(port)] }
        if let user = target.user { words += ["-l", user] }
        if let key = target.identityFile { words += ["-i", Self.literal(key.string)] }
        return words + ["--", target.host]
    }

    /// Prints what `ssh_config` makes of the target.
    var configuration: [String] { [options.program, "-G"] + options.extraOptions + destination }

    /// Makes the connection, and goes to the background when it is there.
    ///
    /// - Parameters:
    ///   - knownHosts: the user's own files of host keys.
    ///   - canAnswer: whether there is anybody to answer ssh's questions.
    func master(socket: FilePath, knownHosts: [String], canAnswer: Bool) -> [String] {
        var settings = [
            "ControlMaster=yes",
            "ControlPersist=\(max(1, options.idleLimit.components.seconds))",
            "StrictHostKeyChecking=\(options.acceptsNewHostKeys ? "accept-new" : "yes")",
            "ConnectTimeout=\(connectTimeout)",
            "ConnectionAttempts=1",
            "ServerAliveInterval=10",
            "ServerAliveCountMax=3",
            "NumberOfPasswordPrompts=1",
            "BatchMode=\(canAnswer ? "no" : "yes")",
            // For what went wrong. It goes to a pipe, and no user sees more of it than the lines that count.
            "LogLevel=DEBUG1",
            // Things for people at a terminal: what a host could do with them, or that a port is taken, is nothing to us.
            "ForwardAgent=no",
            "ForwardX11=no",
            "ClearAllForwardings=yes",
            "PermitLocalCommand=no",
            "Tunnel=no",
        ]
        if let own = options.knownHostsFile {
            let files = [Self.literal(own.string)] + knownHosts.map { Self.literal($0) }
            settings.append("UserKnownHostsFile=" + files.map { "\"\($0)\"" }.joined(separator: " "))
        }
        return [options.program, "-N", "-n", "-T", "-S", Self.literal(socket.string)]
            + settings.flatMap { ["-o", $0] } + options.extraOptions + destination
    }

    /// Runs a command line of the host's login shell over the connection. Without that connection it ends at once: it must not make
    /// one of its own, behind the back of whoever answers its questions.
    func session(socket: FilePath, commandLine: String) -> [String] {
        overSocket(socket) + ["-o", "ControlMaster=no", "-o", "ProxyCommand=false", "--", target.host, commandLine]
    }

    /// Says something to the connection itself: `check`, `exit`.
    func control(socket: FilePath, _ word: String) -> [String] {
        overSocket(socket) + ["-O", word, "--", target.host]
    }

    /// The connection was made with the user's configuration; what is left to say has nothing to do with it.
    private func overSocket(_ socket: FilePath) -> [String] {
        [options.program, "-F", "/dev/null", "-T", "-S", Self.literal(socket.string)]
    }

    /// Paths may hold tokens for ssh, each with a per cent sign.
    private static func literal(_ path: String) -> String {
        path.split(separator: "%", omittingEmptySubsequences: false).joined(separator: "%%")
    }

    /// Refuses paths that ssh's options cannot carry.
    ///
    /// - Throws: `Failure` of kind `invalidInput`.
    func check() throws {
        // ssh adds 17 bytes to a new socket's path while it makes it; the kernel takes 107 in all.
        guard options.socketFolder.string.utf8.count <= 50 else {
            throw Failure(
                .invalidInput, "the path of the folder for sockets is longer than 50 bytes",
                at: options.socketFolder.string, remedy: "choose a folder with a shorter path")
        }
        for path in [options.socketFolder, options.knownHostsFile].compactMap({ $0?.string }) {
            guard path.utf8.allSatisfy({ $0 >= 0x20 && !"\"\\$".utf8.contains($0) }) else {
                throw Failure(
                    .invalidInput, "ssh takes no path with quotes, backslashes, $ or line ends", at: path)
            }
        }
    }
}
