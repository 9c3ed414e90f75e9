import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Remote
import Report
import SystemPackage

extension ClusterFolder {
    /// The lock of a cluster on this machine.
    struct Lock: Sendable {
        fileprivate let file: FileLock
        /// Identifiers of those who had the lock before, so that they have ended: what they left on hosts counts for
        /// nothing.
        let ended: [String]

        /// Gives the lock back.
        func release() { file.release() }
    }

    /// What stands in the lock file.
    private struct Content: Codable {
        var owner: LeaseOwner
        var ended: [String]
    }

    /// How many of those who had the lock before are remembered. Each may have left a lease on hosts for 90 s at most.
    private static let remembered = 16

    /// Takes the lock of the cluster, which a command holds while it changes it, and writes down who has it. Blocking.
    ///
    /// The lock lies beside the folder, so that deleting the folder does not open it to two processes. The kernel gives
    /// it back when its process ends, however it does.
    ///
    /// - Throws: `Failure` of kind `conflict` that says who has it.
    func lock(_ owner: LeaseOwner, limit: Duration = .seconds(5)) throws -> Lock {
        try Folder.make(path.removingLastComponent())
        let name = path.lastComponent?.string ?? "cluster"
        let path = path.removingLastComponent().appending(".\(name).lock")
        let file: FileLock
        do {
            file = try FileLock(path, .exclusive, limit: limit, guarding: "the cluster \(name)")
        } catch let failure as Failure where failure.kind == .conflict {
            // Who has just taken it may not have written its name yet.
            guard let holder = try Self.content(path)?.owner else { throw failure }
            let age = LeaseHolder.words(owner.since - holder.since + limit / .seconds(1))
            throw Failure(
                .conflict, "the cluster is being changed by \(holder.words) since \(age)", at: name,
                remedy: "wait for it to end, or look what it does: ps -p \(holder.process)")
        }
        let before = try Self.content(path)
        let ended = ((before.map { [$0.owner.id] } ?? []) + (before?.ended ?? [])).prefix(Self.remembered)
        try Self.write(Content(owner: owner, ended: Array(ended)), to: path)
        return Lock(file: file, ended: Array(ended))
    }

    /// What the lock file says; nil when it says nothing that can be read.
    private static func content(_ path: FilePath) throws -> Content? {
        do {
            return try JSONDecoder().decode(Content.self, from: try readFile(path, limit: 64 << 10))
        } catch is DecodingError {
            return nil
        } catch let failure as Failure where failure.kind == .notFound || failure.kind == .invalidInput {
            return nil
        }
    }

    /// Writes in place: another file of that name would be another lock.
    private static func write(_ content: Content, to path: FilePath) throws {
        let bytes = try canonicalJSON(content) + Data("\n".utf8)
        do {
            let file = try FileDescriptor.open(path, .writeOnly, options: [.truncate, .closeOnExec])
            try file.closeAfter { _ = try file.writeAll(bytes) }
        } catch {
            throw Failure(.system, "cannot write who has the lock", at: path.string, causes: [error])
        }
    }
}

extension LeaseOwner {
    /// This process.
    ///
    /// - Parameter command: with the program's name: `sealer apply`.
    /// - Throws: `Failure` of kind `system`.
    static func current(_ command: String, cluster: String) async throws -> LeaseOwner {
        let (user, machine) = try await BlockingPool.shared.run { (try userName(), try machineName()) }
        var number = SystemRandomNumberGenerator()
        let id = (0..<2).map { _ in String(number.next(), radix: 16) }.joined(separator: "-")
        return LeaseOwner(
            id: id, user: user, machine: machine, process: Int(getpid()), command: command, cluster: cluster,
            since: Date().timeIntervalSince1970)
    }

    /// The user who logged in, also behind sudo; whom the process runs as where nobody did.
    ///
    /// Out of the file and not by getpwuid, which would load modules of the machine into a static executable.
    private static func userName() throws -> String {
        let users = String(decoding: try optionalFile("/etc/passwd"), as: UTF8.self)
        func name(of number: some StringProtocol) -> String? {
            for line in users.split(separator: "\n") {
                let fields = line.split(separator: ":", omittingEmptySubsequences: false)
                if fields.count > 2, fields[2] == number, !fields[0].isEmpty { return String(fields[0]) }
            }
            return nil
        }
        let login = String(decoding: try optionalFile("/proc/self/loginuid"), as: UTF8.self)
        let own = String(geteuid())
        return name(of: login.filter { !$0.isWhitespace }) ?? name(of: own) ?? "user \(own)"
    }

    private static func optionalFile(_ path: FilePath) throws -> Data {
        do {
            return try readFile(path, limit: 4 << 20)
        } catch let failure as Failure where [.notFound, .denied, .invalidInput].contains(failure.kind) {
            return Data()
        }
    }

    private static func machineName() throws -> String {
        var name = utsname()
        guard uname(&name) == 0 else {
            throw Failure(.system, "cannot ask for the machine's name", causes: [Errno(rawValue: errno)])
        }
        return withUnsafeBytes(of: &name.nodename) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
