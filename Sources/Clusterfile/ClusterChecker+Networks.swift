import Report

extension ClusterChecker {
    /// The networks of pods and services with the names of their fields.
    var networkFields: [(field: String, what: String, networks: [IPNetwork])] {
        [("podCIDR", "pods'", cluster.network.pods), ("svcCIDR", "services'", cluster.network.services)]
    }

    /// Lengths that a pods' network may have: each node gets a /24 of IPv4 or a /64 of IPv6, and Kubernetes counts
    /// the nodes' networks by 16 bits.
    private static func podLengths(_ family: IPAddress.Family) -> ClosedRange<Int> { family == .v4 ? 8...24 : 48...64 }

    /// Lengths that a services' network may have: the API server takes no larger one, and cluster DNS has the tenth
    /// address.
    private static func serviceLengths(_ family: IPAddress.Family) -> ClosedRange<Int> {
        family == .v4 ? 12...28 : 108...124
    }

    mutating func checkNetworks() {
        for (field, what, networks) in networkFields {
            let path = "spec.network.\(field)"
            let families = networks.map(\.family)
            if networks.isEmpty {
                report(path, "the \(what) network is missing")
            } else if networks.count > 2 || Set(families).count < families.count {
                let expected = "one network, or one of IPv4 and one of IPv6 joined by a comma, was expected"
                report(path, "\(networks.map(\.description).joined(separator: ",")): \(expected)")
            }
            for network in networks {
                if let (reserved, use) = Self.reserved.first(where: { $0.0.overlaps(network) }) {
                    report(path, "the network \(network) overlaps \(reserved), which is for \(use)")
                }
                checkLength(network, field: field, what: what, path: path)
            }
        }
        let network = cluster.network
        for pods in network.pods {
            for services in network.services where pods.overlaps(services) {
                let message = "the services' network \(services) overlaps the pods' network \(pods)"
                report("spec.network.svcCIDR", message, related: "spec.network.podCIDR")
            }
        }
        let families = (network.pods.map(\.family), network.services.map(\.family))
        if families.0 != families.1, !families.0.isEmpty, !families.1.isEmpty {
            let (pods, services) = (Self.words(families.0), Self.words(families.1))
            let message = "the services' networks are \(services), but the pods' are \(pods): the same were expected"
            report("spec.network.svcCIDR", message, related: "spec.network.podCIDR")
        }
    }

    private static func words(_ families: [IPAddress.Family]) -> String {
        families.map(\.description).joined(separator: " and then ")
    }

    private mutating func checkLength(_ network: IPNetwork, field: String, what: String, path: String) {
        let isPods = field == "podCIDR"
        let lengths = isPods ? Self.podLengths(network.family) : Self.serviceLengths(network.family)
        guard lengths.contains(network.prefixLength) else {
            return report(
                path,
                "the \(what) network \(network) must have a length from /\(lengths.lowerBound) to"
                    + " /\(lengths.upperBound)"
            )
        }
        let hosts = cluster.hosts.reduce(0) { $0 + max($1.count, 0) }
        if isPods, hosts > 1 << (lengths.upperBound - network.prefixLength) {
            let each = network.family == .v4 ? "256 addresses" : "a network of length /64"
            // The number of hosts counts only when every host could be read.
            report(
                path, "the pods' network \(network) is too small: each of the \(hosts) hosts needs \(each)",
                related: "spec.hosts")
        }
    }

    /// Networks that neither pods nor services nor hosts can have.
    static let reserved: [(IPNetwork, String)] = [
        (IPNetwork(containing: IPAddress(v4: 0), prefixLength: 8), "addresses that are not known yet"),
        (IPNetwork(containing: IPAddress(v4: 0x7f00_0000), prefixLength: 8), "the machine itself"),
        (IPNetwork(containing: IPAddress(v4: 0xa9fe_0000), prefixLength: 16), "link-local addresses"),
        (IPNetwork(containing: IPAddress(v4: 0xe000_0000), prefixLength: 3), "multicast and nothing else"),
        (IPNetwork(containing: IPAddress(v6: 0), prefixLength: 127), "the machine itself"),
        (IPNetwork(containing: IPAddress(v6: 0xffff << 32), prefixLength: 96), "IPv4 addresses"),
        (IPNetwork(containing: IPAddress(v6: 0xfe80 << 112), prefixLength: 10), "link-local addresses"),
        (IPNetwork(containing: IPAddress(v6: 0xff << 120), prefixLength: 8), "multicast and nothing else"),
    ]
}
