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
    private let networks: [IPNetwork]

    /// Gives each node its part.
    ///
    /// - Parameters:
    ///   - nodes: names and addresses, in the order in which new ones are served.
    ///   - present: the parts that nodes have already by node, CIDR, two of them joined by a comma.
    /// - Throws: `Failure` of kind `invalidInput` when the network is too small, or when the nodes' addresses are not all of the family
    ///   of the pods' first network.
    public init(network: ClusterNetwork, nodes: [(name: String, address: String)], present: [String: String]) throws {
        networks = network.pods
        let primary = network.pods.first?.family ?? .v4
        var parts: [String: [IPNetwork]] = [:]
        let kept = try present.mapValues { try ClusterNetwork.networks($0) }
        for whole in network.pods {
            let given = try PodNetwork.parts(
                of: whole, for: nodes.map(\.name),
                present: kept.compactMapValues { $0.first { $0.family == whole.family } })
            for (node, part) in given { parts[node, default: []].append(part) }
        }
        let all = try nodes.map { node in
            guard let address = IPAddress(node.address), address.family == primary else {
                throw Failure(
                    .invalidInput,
                    "the image leaves the pod network to sealer, which needs addresses of nodes of the family of the pods' "
                        + "first network, \(primary): \(node.address) is none",
                    at: node.name, remedy: "name the host by such an address, or change spec.network.podCIDR")
            }
            return PodNetwork.Part(node: node.name, address: address, networks: parts[node.name] ?? [])
        }
        table = PodNetwork.table(of: all)
        self.parts = Dictionary(all.map { ($0.node, $0) }) { first, _ in first }
    }

    /// A node's part: CIDR, two of them joined by a comma where pods have addresses of both families.
    public func part(of node: String) -> String? {
        parts[node]?.networks.map(\.description).joined(separator: ",")
    }

    /// The program that sets the packet filter's rules of a family.
    static func packetFilter(of family: IPAddress.Family) -> String { family == .v4 ? "iptables" : "ip6tables" }

    /// A node's devices, routes and configuration.
    public func aspect(of node: String) throws -> NodeAspect {
        guard let own = parts[node] else {
            throw Failure(.software, "the node has no part of the pod network", at: node)
        }
        return try PodNetwork.aspect(own, table: table, wholeNetworks: networks)
    }
}
