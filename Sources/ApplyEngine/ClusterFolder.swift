import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import SystemPackage

/// A cluster's folder on the operator's side: `Clusterfile`, `journal.jsonl`, `kubeconfig`, `pki/`.
public struct ClusterFolder: Sendable {
    /// The folder.
    public let path: FilePath

    /// The folder of a cluster below the state folder. The name must have been checked: it becomes a path.
    public init(state: FilePath, cluster: String) {
        path = state.appending("clusters").appending(cluster)
    }

    /// The administrator's kubeconfig.
    public var kubeconfig: FilePath { path.appending("kubeconfig") }
    /// The Clusterfile.
    public var clusterfile: FilePath { path.appending("Clusterfile") }
    /// The journal.
    public var journal: FilePath { path.appending("journal.jsonl") }

    /// Whether there is such a folder. Blocking.
    public var exists: Bool { Folder.exists(path) }

    /// Makes the folder; only its owner may look into it. Blocking.
    public func make() throws {
        try Folder.make(path.removingLastComponent())
        try Folder.make(path, permissions: FilePermissions(rawValue: 0o700))
    }

    /// Takes the lock of the cluster, which a command holds while it changes it. Blocking.
    ///
    /// The lock lies beside the folder, so that deleting the folder does not open it to two processes.
    public func lock(limit: Duration = .seconds(5)) throws -> FileLock {
        try Folder.make(path.removingLastComponent())
        let name = path.lastComponent?.string ?? "cluster"
        return try FileLock(
            path.removingLastComponent().appending(".\(name).lock"),
            .exclusive,
            limit: limit,
            guarding: "the cluster \(name)"
        )
    }

    /// Writes a secret that only the owner may read. Blocking.
    public func writeSecret(_ bytes: Data, _ name: String) throws {
        let file = path.appending(FilePath(name).components)
        try Folder.make(file.removingLastComponent(), permissions: FilePermissions(rawValue: 0o700))
        try AtomicFile.write(bytes, to: file, permissions: .ownerReadWrite)
    }

    /// Deletes the folder. The lock file stays: deleting it would give two processes a lock each. Blocking.
    public func delete() throws {
        try Folder.delete(path)
    }

    /// The names of the clusters in a state folder, sorted. Blocking.
    public static func clusters(in state: FilePath) throws -> [String] {
        let folder = state.appending("clusters")
        guard Folder.exists(folder) else { return [] }
        return try Folder.names(in: folder).filter { !$0.hasPrefix(".") && Folder.exists(folder.appending($0)) }
    }
}

/// The journal of a cluster: one line of JSON before and after each step, synced to disk.
public actor FileJournal: Journal {
    private struct Line: Encodable {
        var at: String
        var event: String
        var step: String
        var title: String
        var host: String?
        var message: String?
    }

    private let path: FilePath

    /// Makes a journal that appends to a file.
    public init(_ path: FilePath) {
        self.path = path
    }

    /// Appends a line.
    public func write(_ event: JournalEvent, _ step: PlanStep) async throws {
        let (name, message): (String, String?) =
            switch event {
            case .began: ("began", nil)
            case .ended: ("ended", nil)
            case .failed(let message): ("failed", message)
            }
        let line = Line(
            at: Date.now.ISO8601Format(.iso8601(timeZone: .gmt, includingFractionalSeconds: true)),
            event: name,
            step: step.id,
            title: step.title,
            host: step.host,
            message: message
        )
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let bytes = try encoder.encode(line) + Data("\n".utf8)
        let path = path
        try await BlockingPool.shared.run {
            do {
                let file = try FileDescriptor.open(
                    path,
                    .writeOnly,
                    options: [.append, .create, .closeOnExec],
                    permissions: .ownerReadWrite
                )
                try file.closeAfter {
                    try file.writeAll(bytes)
                    guard fdatasync(file.rawValue) == 0 else { throw Errno(rawValue: errno) }
                }
            } catch {
                throw Failure(.system, "cannot write the journal", at: path.string, causes: [error])
            }
        }
    }
}
