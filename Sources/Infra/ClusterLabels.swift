import Clusterfile

/// The labels by which everything of a cluster is found again.
enum ClusterLabel {
    /// The cluster's name; on containers, networks and volumes.
    static let cluster = "io.sealer.cluster"
    /// On a network that was only made to learn which range the engine chooses; one with that range named takes its place.
    static let draft = "io.sealer.draft"
    /// `master` or `node`; on containers.
    static let role = "io.sealer.role"
    /// The number within the role; on containers.
    static let index = "io.sealer.index"
}

/// A node container before it is made.
struct NodePlan: Sendable, Hashable {
    var cluster: String
    var role: HostRole
    var index: Int
    /// Its address in the cluster's network, the same after each start; nil for one that the engine chooses.
    var address: String?

    /// `demo-master-0`.
    var name: String { "\(cluster)-\(role.rawValue)-\(index)" }
    /// The cluster's network.
    var network: String { NodePlan.network(of: cluster) }

    var labels: [String: String] {
        [ClusterLabel.cluster: cluster, ClusterLabel.role: role.rawValue, ClusterLabel.index: String(index)]
    }

    /// The volumes by the place they are mounted at. What is written much or holds overlays of its own must not lie on the
    /// container's overlay.
    var volumes: [String: String] {
        [
            "/var/lib/containerd": "sealer-\(name)-containerd",
            "/var/lib/etcd": "sealer-\(name)-etcd",
            "/var/lib/sealer": "sealer-\(name)-sealer",
        ]
    }

    /// The node with its address in the network's range: masters from the third address on, nodes behind the last possible master.
    func addressed(in range: IPNetwork?) -> NodePlan {
        var plan = self
        let offset = UInt32(2 + index + (role == .master ? 0 : HostsRequest.countLimit))
        plan.address = range?.address(at: offset)?.description
        return plan
    }

    static func network(of cluster: String) -> String { "sealer-\(cluster)" }

    /// All nodes of a request, masters first.
    static func all(of request: HostsRequest) -> [NodePlan] {
        (0..<request.masters).map { NodePlan(cluster: request.cluster, role: .master, index: $0) }
            + (0..<request.nodes).map { NodePlan(cluster: request.cluster, role: .node, index: $0) }
    }
}
