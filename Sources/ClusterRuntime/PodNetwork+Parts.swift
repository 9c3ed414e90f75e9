import Clusterfile
import Report

extension PodNetwork {
    /// Gives each node its part of a network of pods: 256 addresses of IPv4, a /64 of IPv6. Who has one keeps it, others get the
    /// first free one.
    ///
    /// - Parameters:
    ///   - nodes: all nodes, in the order in which new ones are served.
    ///   - present: the parts of this network that nodes have already.
    /// - Throws: `Failure` of kind `invalidInput` when there are not enough.
    static func parts(of network: IPNetwork, for nodes: [String], present: [String: IPNetwork]) throws
        -> [String: IPNetwork]
    {
        let length = network.family == .v4 ? 24 : 64
        let taken = Set(present.values)
        var parts: [String: IPNetwork] = [:]
        var number: UInt32 = 0
        for node in nodes {
            if let part = present[node] {
                parts[node] = part
                continue
            }
            while parts[node] == nil {
                guard let part = network.part(number, prefixLength: length) else {
                    let lack = network.family == .v4 ? "256 addresses" : "network of length /64"
                    throw Failure(
                        .invalidInput, "the pod network \(network) has no \(lack) left for \(node)",
                        remedy: "take a larger one: --pod-cidr, or spec.network.podCIDR")
                }
                number += 1
                if !taken.contains(part) { parts[node] = part }
            }
        }
        return parts
    }
}
