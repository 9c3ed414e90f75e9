import Clusterfile
import Remote
import Report

/// The hosts of all providers side by side: containers of this machine's Docker, machines of the user's, this very machine.
public struct Infrastructure: InfraProvider {
    private let containers: @Sendable () async throws -> ContainerProvider
    private let way: @Sendable (ClusterMember, String?) throws -> any Transport

    /// Puts the providers together.
    ///
    /// - Parameters:
    ///   - containers: gives the provider of containers; asked only when a cluster has some.
    ///   - way: gives the way to a machine of the user's, for a cluster's name if it is of one.
    public init(
        containers: @escaping @Sendable () async throws -> ContainerProvider,
        way: @escaping @Sendable (ClusterMember, String?) throws -> any Transport
    ) {
        self.containers = containers
        self.way = way
    }

    /// Containers by their names, all others by their addresses.
    public func places(of cluster: Cluster) async throws -> [HostPlace] {
        var masters: [HostPlaceOfContainer] = []
        var nodes: [HostPlaceOfContainer] = []
        if let request = HostsRequest(cluster) {
            let present = try await containers().present(request)
            for (plan, host) in zip(NodePlan.all(of: request), present) {
                if plan.role == .master { masters.append((plan.name, host)) } else { nodes.append((plan.name, host)) }
            }
        }
        var (nextMaster, nextNode) = (masters.makeIterator(), nodes.makeIterator())
        return try cluster.members.map { member in
            switch member.provider {
            case .container:
                guard let (name, host) = member.isMaster ? nextMaster.next() : nextNode.next() else {
                    throw Failure(.software, "a container of the cluster has no name", at: cluster.name)
                }
                return HostPlace(name: name, member: member, address: host?.address, transport: host?.transport)
            case .baremetal, .local: return try place(of: member, cluster.name)
            }
        }
    }

    /// A machine of the user's.
    public func place(of member: ClusterMember) async throws -> HostPlace {
        try place(of: member, nil)
    }

    private func place(of member: ClusterMember, _ cluster: String?) throws -> HostPlace {
        guard let address = member.address else {
            throw Failure(.invalidInput, "a host of the cluster has no address", at: cluster)
        }
        let name = address.description
        let transport: any Transport =
            member.provider == .local ? LocalTransport(host: name) : try way(member, cluster)
        return HostPlace(name: name, member: member, address: name, transport: transport)
    }

    private typealias HostPlaceOfContainer = (name: String, host: ProvisionedHost?)

    /// Starts containers that were stopped.
    public func wake(_ cluster: Cluster, progress: any ProgressSink) async throws -> Bool {
        guard let request = HostsRequest(cluster) else { return false }
        return try await containers().wake(request, progress: progress)
    }

    /// Makes the containers that are not there.
    public func provision(_ cluster: Cluster, progress: any ProgressSink) async throws {
        guard let request = HostsRequest(cluster) else { return }
        _ = try await containers().provision(request, progress: progress)
    }

    /// Every container, volume and network that carries the cluster's label.
    public func contents(of cluster: String) async throws -> [String] {
        return try await containers().contents(of: cluster)
    }

    /// Removes one container with its volumes.
    public func remove(host: String, of cluster: String) async throws {
        try await containers().remove(container: host, of: cluster)
    }

    /// Removes containers, volumes and networks.
    public func remove(cluster: String, progress: any ProgressSink) async throws -> RemovalReport {
        return try await containers().remove(cluster: cluster, progress: progress)
    }
}
