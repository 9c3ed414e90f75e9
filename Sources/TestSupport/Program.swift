import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import SystemPackage

/// A program of the system that a test runs: skopeo, docker-registry, openssl.
public struct Program: Sendable {
    /// Where it lies.
    public let path: String

    /// Finds it in PATH or the usual folders; nil when it is not installed.
    public init?(_ name: String) {
        let search = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        let folders = search + ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin"]
        let candidates: [String] = folders.map { "\($0)/\(name)" }
        let found = candidates.first { access($0, X_OK) == 0 }
        guard let found else { return nil }
        path = found
    }

    /// Names one by its path.
    public init(path: String) {
        self.path = path
    }

    /// Runs it, and kills it by SIGKILL when it has not ended by itself before.
    ///
    /// - Returns: its exit status when it ended by itself, nil when it was killed.
    public func run(
        _ arguments: [String],
        environment: [String: String] = [:],
        in folder: FilePath,
        killedAfter life: Duration
    ) async throws -> Int32? {
        let log = Self.newFile(in: folder)
        let process = try spawn(arguments, environment: environment, output: log, errors: log)
        try await Task.sleep(for: life)
        kill(process, SIGKILL)
        var status: Int32 = 0
        waitpid(process, &status, 0)
        return status & 0x7f == 0 ? status >> 8 & 0xff : nil
    }

    /// Runs it to its end.
    ///
    /// - Returns: its standard output; standard error is part of the failure only.
    /// - Throws: `Failure` with all that it wrote, when it does not end with 0 within the limit.
    @discardableResult
    public func run(
        _ arguments: [String],
        environment: [String: String] = [:],
        in folder: FilePath,
        limit: Duration = .seconds(60)
    ) async throws -> String {
        let (output, errors) = (Self.newFile(in: folder), Self.newFile(in: folder))
        let process = try spawn(arguments, environment: environment, output: output, errors: errors)
        let end = ContinuousClock.now + limit
        while true {
            var status: Int32 = 0
            if waitpid(process, &status, WNOHANG) == process {
                let text = String(decoding: try readFile(output), as: UTF8.self)
                if status == 0 { return text }
                let trouble = String(decoding: try readFile(errors), as: UTF8.self)
                throw Failure(.commandFailed, "\(path) \(arguments.joined(separator: " ")): \(text)\(trouble)")
            }
            if ContinuousClock.now > end {
                kill(process, SIGKILL)
                waitpid(process, &status, 0)
                throw Failure(.timeout, "\(path) \(arguments.joined(separator: " ")) took longer than \(limit.inWords)")
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// Starts it, runs `body`, and ends it.
    public func whileRunning<Result>(
        _ arguments: [String],
        environment: [String: String] = [:],
        in folder: FilePath,
        _ body: (_ log: FilePath) async throws -> Result
    ) async throws -> Result {
        let log = Self.newFile(in: folder)
        let process = try spawn(arguments, environment: environment, output: log, errors: log)
        defer {
            kill(process, SIGKILL)
            var status: Int32 = 0
            waitpid(process, &status, 0)
        }
        return try await body(log)
    }

    private static func newFile(in folder: FilePath) -> FilePath {
        folder.appending("output-\(UInt64.random(in: 0...UInt64.max))")
    }

    private func spawn(
        _ arguments: [String],
        environment: [String: String],
        output: FilePath,
        errors: FilePath
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output.string, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        if output == errors {
            posix_spawn_file_actions_adddup2(&actions, 1, 2)
        } else {
            posix_spawn_file_actions_addopen(&actions, 2, errors.string, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        }
        // Sockets of this process that are not closed on exec: a child that had one would keep its peer from seeing the end.
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        for descriptor in 3..<Int32(min(limit.rlim_cur, 4096)) {
            posix_spawn_file_actions_addclose(&actions, descriptor)
        }
        let base = [
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": output.removingLastComponent().string,
        ]
        let variables = base.merging(environment) { $1 }.map { strdup("\($0.key)=\($0.value)") }
        let words = ([path] + arguments).map { strdup($0) }
        defer { for pointer in variables + words { free(pointer) } }
        var process: pid_t = 0
        let result = posix_spawn(&process, path, &actions, nil, words + [nil], variables + [nil])
        guard result == 0 else { throw Failure(.unavailable, "cannot run \(path)", causes: [Errno(rawValue: result)]) }
        return process
    }
}

/// A port of the loopback interface that nobody listens on.
public func freePort() throws -> Int {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { throw Errno(rawValue: errno) }
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
        }
    }
    guard isBound else { throw Errno(rawValue: errno) }
    return Int(UInt16(bigEndian: address.sin_port))
}
