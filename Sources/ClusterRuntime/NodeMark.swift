import FoundationEssentials
import OCI
import Remote
import Report
import SystemPackage

/// What sealer has written down on a node about what cannot be seen otherwise: which scripts ran for which inputs, and whether
/// an attempt to become a member ended. It is written after the fact, but for `begun`, which is written before.
public struct NodeMark: Sendable, Hashable, Codable {
    /// Where it lies.
    public static let path: FilePath = "/var/lib/sealer/node.json"

    /// How far the node is with being a member.
    public enum Membership: String, Sendable, Hashable, Codable {
        /// Nothing was tried.
        case none
        /// kubeadm was started, and nothing says that it ended well.
        case begun
        /// It is a member.
        case complete
    }

    /// The cluster that the node belongs to.
    public var cluster: String
    /// The folder that rootfs are unpacked below.
    public var dataRoot: String?
    /// Of the folders that installations share with others, those that the host did not have before: when they are empty in the end,
    /// they go too.
    public var newFolders: [String]?
    /// The manifest of the rootfs that is unpacked.
    public var rootfs: OCI.Digest?
    /// The files of the unpacked rootfs that may not be the image's own any more, absolute; nil when all are. Written before they
    /// are changed.
    public var overlaid: [String]?
    /// The ClusterImage that its store has whole, under its name.
    public var image: OCI.Digest?
    /// The digest of all that the install scripts depended on when they ran last.
    public var runtime: OCI.Digest?
    /// The configuration that the install scripts left, by path.
    public var runtimeFiles: [String: FileState]
    /// How far the node is with being a member.
    public var membership: Membership
    /// The name under which it is, or becomes, a member.
    public var node: String?
    /// The host name that it had before sealer gave it another.
    public var formerHostname: String?
    /// Whether plugins that follow its becoming a member are still to run; nil for no.
    public var isArriving: Bool?
    /// The plugins that ran, by name and phase; nil when none did since the host became settled.
    public var plugins: [String: PluginNote]?

    /// The labels that the hosts' part of the Clusterfile gave its node when sealer set some last; nil when it never did.
    public var labels: [String: String]?
    /// The taints likewise: `key=value:Effect`.
    public var taints: [String]?
    /// Whether its pods were to be moved elsewhere because it leaves: no new ones come to it since; nil for no.
    public var isDrained: Bool?

    /// What kubeadm left of kubelet's and the control plane's configuration, by path; nil before it is a member.
    public var kubernetesFiles: [String: FileState]?
    /// The digest of the cluster's configuration of kubelet that it has taken over.
    public var kubelet: OCI.Digest?
    /// The digest of the cluster's configuration of the control plane that it has taken over; masters only.
    public var controlPlane: OCI.Digest?
    /// The digest of the cluster's configuration of etcd that it has taken over; masters only.
    public var etcd: OCI.Digest?

    /// What a plugin's script was when it ran.
    public struct PluginNote: Sendable, Hashable, Codable {
        /// The digest of the script and of what it ran for.
        public var digest: OCI.Digest
        /// The hosts that it ran for, where it runs for hosts that come.
        public var hosts: [String]?

        /// Makes a note.
        public init(digest: OCI.Digest, hosts: [String]? = nil) {
            self.digest = digest
            self.hosts = hosts
        }

        /// Whether what ran is all of what is wanted.
        public func covers(_ wanted: PluginNote) -> Bool {
            digest == wanted.digest && Set(wanted.hosts ?? []).isSubset(of: hosts ?? [])
        }
    }

    /// Notes that all is done that follows the node's becoming a member. What ran for hosts that come stays noted until all of
    /// them have come so far: settling once more takes that away too.
    public mutating func settle() {
        let isComing = isArriving == true
        isArriving = nil
        let kept = isComing ? (plugins ?? [:]).filter { $0.value.hosts != nil } : [:]
        plugins = kept.isEmpty ? nil : kept
    }

    /// Makes the mark of a node that nothing was done to.
    public init(cluster: String, dataRoot: String? = nil) {
        self.cluster = cluster
        self.dataRoot = dataRoot
        runtimeFiles = [:]
        membership = .none
    }

    /// Notes that files of the rootfs are about to be changed.
    public mutating func note(overlaid paths: [String]) {
        overlaid = Set(overlaid ?? []).union(paths).sorted()
    }

    /// Notes that the rootfs was unpacked, with the image's own files.
    public mutating func note(unpacked rootfs: OCI.Digest) {
        self.rootfs = rootfs
        overlaid = nil
    }

    /// Reads a host's mark; nil when it has none.
    ///
    /// - Throws: `Failure` of kind `integrity` when the file is no mark.
    public static func read(from host: any Host) async throws -> NodeMark? {
        guard let bytes = try await host.readFile(path, limit: 1 << 20) else { return nil }
        do {
            return try JSONDecoder().decode(NodeMark.self, from: bytes)
        } catch {
            throw Failure(
                .integrity, "what sealer wrote down about the host cannot be read", at: "\(host.name):\(path)",
                remedy:
                    "if the host is of no cluster any more, delete that file there, then: sealer reset \(host.name)",
                causes: [error])
        }
    }

    /// Writes the mark.
    public func write(to host: any Host) async throws {
        try await host.writeFile(Self.path, try canonicalJSON(self), permissions: 0o600)
    }
}
