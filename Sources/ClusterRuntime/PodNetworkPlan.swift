import Clusterfile
import Report

/// Who has which part of the pod network, where sealer gives it.
public struct PodNetworkPlan: Sendable {
    /// The service that sets a node's part up.
    public static let unit = "sealer-pod-network.service"
    /// The comment of the packet filter's rule for the pods' way out.
    public static let ruleMark = "sealer-pods"
    /// The network device that leads to the other nodes' pods.
    public static let device = "pod-vxlan"

    private let parts: [String: PodNetwork.Part]
    private let table: ManagedFile
    private let network: IPNetwork

    /// Gives each node its part.
    ///
    /// - Parameters:
    ///   - nodes: names and addresses, in the order in which new ones are served.
    ///   - present: the parts that nodes have already, CIDR by node.
    /// - Throws: `Failure` of kind `invalidInput` when the network is too small, or not one of IPv4 alone.
    public init(network: ClusterNetwork, nodes: [(name: String, address: String)], present: [String: String]) throws {
        guard let only = network.pods.first, network.pods.count == 1, only.family == .v4,
            nodes.allSatisfy({ IPAddress($0.address)?.family == .v4 })
        else {
            throw Failure(
                .invalidInput, "the image leaves the pod network to sealer, which can do IPv4 alone",
                remedy: "take IPv4 networks and addresses, or an image whose applications bring a pod network")
        }
        let parts = try PodNetwork.parts(of: only, for: nodes.map(\.name), present: present)
        self.network = only
        let all = nodes.compactMap { node in
            parts[node.name].map { PodNetwork.Part(node: node.name, address: node.address, network: $0) }
        }
        table = PodNetwork.table(of: all)
        self.parts = Dictionary(all.map { ($0.node, $0) }) { first, _ in first }
    }

    /// A node's part, CIDR.
    public func part(of node: String) -> String? { parts[node]?.network }

    /// A node's devices, routes and configuration.
    public func aspect(of node: String) throws -> NodeAspect {
        guard let own = parts[node] else {
            throw Failure(.software, "the node has no part of the pod network", at: node)
        }
        return try PodNetwork.aspect(own, table: table, wholeNetwork: network.description)
    }
}
