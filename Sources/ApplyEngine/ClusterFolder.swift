import Clusterfile
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
    /// Every host that was given to the cluster and not taken back yet, as a Clusterfile.
    public var members: FilePath { path.appending("members") }
    /// The journal.
    public var journal: FilePath { path.appending("journal.jsonl") }

    /// The file that keeps what a step printed.
    public func output(of step: String) -> FilePath {
        let name = String(step.map { $0.isLetter || $0.isNumber || "-_.:".contains($0) ? $0 : "_" })
        return path.appending("output").appending("\(name).log")
    }

    /// The host keys that were accepted for the cluster.
    public var knownHosts: FilePath { path.appending("known_hosts") }

    /// Whether there is such a cluster: it has a Clusterfile. Host keys may be known before. Blocking.
    public var exists: Bool { isFile(clusterfile) }

    /// Whether there is anything of it at all. Blocking.
    var hasAnything: Bool { Folder.exists(path) }

    /// Makes the folder; only its owner may look into it. Blocking.
    public func make() throws {
        try Folder.make(path.removingLastComponent())
        try Folder.make(path, permissions: FilePermissions(rawValue: 0o700))
    }

    /// Writes a secret that only the owner may read. Blocking.
    public func writeSecret(_ bytes: Data, _ name: String) throws {
        let file = path.appending(FilePath(name).components)
        try Folder.make(file.removingLastComponent(), permissions: FilePermissions(rawValue: 0o700))
        try AtomicFile.write(bytes, to: file, permissions: .ownerReadWrite)
    }

    /// Reads a secret; nil when there is none. Blocking.
    public func readSecret(_ name: String) throws -> Data? {
        do {
            return Data(try readFile(path.appending(FilePath(name).components), limit: 1 << 20))
        } catch let failure as Failure where failure.kind == .notFound {
            return nil
        }
    }

    /// Reads the Clusterfile, or the file of all members; nil when there is none. Blocking.
    ///
    /// - Throws: `InvalidText` when somebody has changed it into none.
    public func readCluster(_ file: FilePath) throws -> Cluster? {
        do {
            let text = String(decoding: try readFile(file, limit: 1 << 20), as: UTF8.self)
            return try Cluster.parse(text, file: file.string).cluster
        } catch let failure as Failure where failure.kind == .notFound {
            return nil
        }
    }

    /// Writes the Clusterfile, or the file of all members. Blocking.
    public func write(_ cluster: Cluster, to file: FilePath) throws {
        try AtomicFile.write(Array(cluster.text.utf8), to: file, permissions: .ownerReadWrite)
    }

    /// Deletes the folder. The lock file stays: deleting it would give two processes a lock each. Blocking.
    public func delete() throws {
        try Folder.delete(path)
    }

    private func isFile(_ path: FilePath) -> Bool { access(path.string, F_OK) == 0 }

    /// The names of the clusters in a state folder, sorted. Blocking.
    public static func clusters(in state: FilePath) throws -> [String] {
        let folder = state.appending("clusters")
        guard Folder.exists(folder) else { return [] }
        return try Folder.names(in: folder).filter {
            !$0.hasPrefix(".") && ClusterFolder(state: state, cluster: $0).exists
        }
    }
}
