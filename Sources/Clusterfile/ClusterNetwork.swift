import Report

/// Networks of pods and services, one of a family or one of each (dual stack); the first is the primary one.
public struct ClusterNetwork: Hashable, Sendable {
    /// The pods' networks.
    public var pods: [IPNetwork]
    /// The services' networks.
    public var services: [IPNetwork]

    /// The pods' network where nobody names another one: 10.244.0.0/16.
    public static let defaultPods = IPNetwork(containing: IPAddress(v4: 0x0af4_0000), prefixLength: 16)
    /// The services' network where nobody names another one: 10.96.0.0/12.
    public static let defaultServices = IPNetwork(containing: IPAddress(v4: 0x0a60_0000), prefixLength: 12)

    /// Makes networks.
    public init(pods: [IPNetwork] = [defaultPods], services: [IPNetwork] = [defaultServices]) {
        self.pods = pods
        self.services = services
    }

    /// The service that pods reach the API server at: the first address of the services' network.
    public var apiServerService: IPAddress? { services.first?.address(at: 1) }
    /// The service of cluster DNS: the tenth address of the services' network.
    public var dnsService: IPAddress? { services.first?.address(at: 10) }

    /// Reads one network, or several joined by commas.
    ///
    /// - Throws: `Failure` of kind `invalidInput`.
    public static func networks(_ text: String) throws(Failure) -> [IPNetwork] {
        var networks: [IPNetwork] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            networks.append(try IPNetwork(String(part.drop { $0 == " " })))
        }
        return networks
    }
}
