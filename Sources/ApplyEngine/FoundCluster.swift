import ClusterRuntime
import Clusterfile
import Infra
import OCI
import Report

/// A cluster that was found running, as a Clusterfile.
public struct FoundCluster: Sendable {
    /// The cluster, as far as it is known.
    public var cluster: Cluster
    /// What could not be found out, one sentence each, for the head of the file.
    public var unknown: [String]

    /// The Clusterfile; what could not be found out stands at its head. An image that is not known is left empty, which no
    /// command takes.
    public var text: String {
        unknown.map { "# \($0)\n" }.joined()
            + (cluster.image.description == Self.unknownImage
                ? cluster.text.replacing("image: \(cluster.image)\n", with: "image: \"\"\n", maxReplacements: 1)
                : cluster.text)
    }

    /// Stands for the image where nobody knows it; it is never written.
    static let unknownImage = "unknown.invalid/unknown:latest"

    /// Reads what a cluster says of itself: the record that sealer keeps in it, or, where there is none, its nodes.
    ///
    /// - Parameters:
    ///   - name: its name where it does not say one.
    ///   - ssh: how its hosts are reached where it does not say that.
    static func read(_ running: RunningCluster, name: String, ssh: SSHSettings, host: String) async throws
        -> FoundCluster
    {
        if let text = try await running.record()?[ClusterBlueprint.RecordKey.clusterfile] {
            let parsed = try Cluster.parse(text, file: "\(host): kube-system/sealer-cluster")
            return FoundCluster(cluster: parsed.cluster, unknown: [])
        }
        return try of(
            try await running.nodes(), network: try await running.network(), name: name, ssh: ssh, host: host)
    }

    /// Builds it of the nodes.
    private static func of(
        _ nodes: [NodeStatus], network: ClusterNetwork?, name: String, ssh: SSHSettings, host: String
    ) throws -> FoundCluster {
        guard !nodes.isEmpty else { throw Failure(.notFound, "the cluster has no nodes", at: host) }
        var unknown = [
            "The cluster has no record of sealer's: this was made of its nodes.",
            "It is for a new cluster on other hosts: sealer apply refuses these, since they are members already.",
            "Not known: spec.image. Put the ClusterImage there that the cluster is to be made of.",
            "Not known: metadata.name. \(name) was taken.",
            "Not known: spec.ssh. The nodes are taken for hosts that are reached as \(host) was, or by OpenSSH's own settings.",
        ]
        if network == nil { unknown.append("Not known: spec.network. The usual networks were taken.") }
        var groups: [HostGroup] = []
        for node in nodes.filter(\.isMaster) + nodes.filter({ !$0.isMaster }) {
            guard let address = node.address.flatMap({ IPAddress($0) }) else {
                unknown.append("Not known: the address of the node \(node.name). It is left out.")
                continue
            }
            let group = HostGroup(
                addresses: [address], roles: [node.isMaster ? HostGroup.master : HostGroup.node],
                labels: node.labels.filter { !isOfKubernetes($0.key) },
                taints: try node.taints.map { try Taint($0) }.filter { !isOfKubernetes($0.key) })
            if var last = groups.last, last.roles == group.roles, last.labels == group.labels,
                last.taints == group.taints
            {
                last.addresses.append(address)
                last.count += 1
                groups[groups.count - 1] = last
            } else {
                groups.append(group)
            }
        }
        let cluster = Cluster(
            name: name, image: try Reference(unknownImage), hosts: groups, ssh: ssh,
            network: network ?? ClusterNetwork())
        return FoundCluster(cluster: cluster, unknown: unknown)
    }

    /// Whether a label's or taint's key is one that Kubernetes keeps to itself.
    private static func isOfKubernetes(_ key: String) -> Bool {
        guard let slash = key.firstIndex(of: "/") else { return false }
        return ["kubernetes.io", "k8s.io"].contains { key[..<slash] == $0 || key[..<slash].hasSuffix(".\($0)") }
    }
}

extension Engine {
    /// Reads a cluster that runs through one of its masters. Nothing is changed there, but that the agent comes to the host.
    ///
    /// - Parameters:
    ///   - master: the one host to ask.
    ///   - name: the cluster's name where it does not say one.
    public func find(through master: HostGroup, name: String) async throws -> FoundCluster {
        let asked = Cluster(name: name, image: try Reference(FoundCluster.unknownImage), hosts: [master])
        let outcomes = try await onEach(try await places(of: asked)) { place, host in
            try await FoundCluster.read(
                RunningCluster(through: host), name: name, ssh: master.ssh ?? SSHSettings(), host: place.name)
        }
        guard let outcome = outcomes.first else { throw Failure(.invalidInput, "no host to ask was named", at: name) }
        do {
            return try outcome.result.get()
        } catch var failure as Failure where failure.remedy == nil {
            failure.remedy = "name a master of a cluster that runs and was made by kubeadm"
            throw failure
        }
    }
}
