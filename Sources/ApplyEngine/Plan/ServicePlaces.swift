import ClusterRuntime

/// Where a node finds what the masters serve.
public struct ServicePlaces: Sendable, Hashable {
    /// The API server's address.
    public var apiServer: String
    /// The registry's address.
    public var registry: String
    /// The registry's name.
    public var registryName: String
    /// Whether the registry is on one master only, so that it is at its address whichever master a node uses otherwise.
    public var isRegistryFixed: Bool

    /// Names them.
    public init(apiServer: String, registry: String, registryName: String, isRegistryFixed: Bool = false) {
        self.apiServer = apiServer
        self.registry = registry
        self.registryName = registryName
        self.isRegistryFixed = isRegistryFixed
    }

    /// The lines of the node's /etc/hosts.
    public var entries: [HostsFile.Entry] {
        apiServer == registry
            ? [.init(address: apiServer, names: [ClusterNames.apiServer, registryName])]
            : [
                .init(address: apiServer, names: [ClusterNames.apiServer]),
                .init(address: registry, names: [registryName]),
            ]
    }
}
