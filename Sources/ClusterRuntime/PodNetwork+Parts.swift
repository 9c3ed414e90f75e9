import Clusterfile
import Report

extension PodNetwork {
    /// Gives each node its part of the pod network: 256 addresses. Who has one keeps it, others get the first free one.
    ///
    /// - Parameters:
    ///   - nodes: all nodes, in the order in which new ones are served.
    ///   - present: the parts that nodes have already, CIDR by node.
    /// - Throws: `Failure` of kind `invalidInput` when there are not enough.
    static func parts(of network: IPNetwork, for nodes: [String], present: [String: String]) throws -> [String: String]
    {
        let taken = Set(present.values)
        var parts: [String: String] = [:]
        var number: UInt32 = 0
        for node in nodes {
            if let part = present[node] {
                parts[node] = part
                continue
            }
            var free: String?
            while free == nil {
                guard let base = network.address(at: number << 8), network.address(at: number << 8 + 255) != nil else {
                    throw Failure(
                        .invalidInput, "the pod network \(network) has no 256 addresses left for \(node)",
                        remedy: "take a larger one: --pod-cidr, or spec.network.podCIDR")
                }
                number += 1
                let part = "\(base)/24"
                if !taken.contains(part) { free = part }
            }
            parts[node] = free
        }
        return parts
    }
}
