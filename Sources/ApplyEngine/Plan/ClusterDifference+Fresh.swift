import ClusterRuntime
import Clusterfile

extension ClusterDifference {
    /// The difference for hosts that are still to be made: they lack everything.
    ///
    /// - Parameter reason: why they must be made.
    static func fresh(
        _ cluster: Cluster, hosts: [(name: String, isMaster: Bool)], podNetworking: PodNetworking, reason: String
    ) -> ClusterDifference {
        let members = cluster.members
        let firstMaster = hosts.first { $0.isMaster }?.name
        let registryHost = cluster.registry.onEveryMaster ? nil : firstMaster
        let new = "the host is new"
        let nodes = zip(hosts, members).map { host, member in
            var node = NodeDifference(host: host.name, isMaster: host.isMaster, membership: .none)
            (node.names, node.rootfs, node.rootfsBytes, node.runtime) = (new, new, new, new)
            node.aspects[.registryAccess] = new
            // Hosts that are to be made are containers.
            node.aspects[.names] = new
            if !cluster.configs.isEmpty { node.aspects[.configuration] = new }
            if host.isMaster, registryHost == nil || registryHost == host.name {
                node.imageBytes = new
                node.aspects[.registry] = new
            }
            if host.isMaster {
                node.aspects[.authorities] = new
            } else {
                node.aspects[.balancer] = new
            }
            if podNetworking == .bridge { node.aspects[.podNetwork] = new }
            let hasRoles = member.roles.contains { $0 != HostGroup.master && $0 != HostGroup.node }
            if hasRoles || !member.labels.isEmpty || !member.taints.isEmpty { node.label = "it becomes a member" }
            return node
        }
        return ClusterDifference(
            provision: reason, hosts: nodes, first: firstMaster ?? "", registryHost: registryHost,
            isInitialised: false,
            needsLaunchForNetwork: podNetworking == .fromApplications, launch: "nothing was launched yet",
            record: "the cluster has no record yet")
    }

    /// Adds hosts that are still to be made to what others lack.
    ///
    /// - Parameters:
    ///   - order: all hosts, in the order of the Clusterfile.
    ///   - registered: the nodes that the cluster knows: one of them whose host is to be made is gone, and must leave first.
    mutating func add(fresh: ClusterDifference, order: [String], registered: Set<String>) {
        provision = fresh.provision
        registryHost = fresh.registryHost
        let known = Set(hosts.map(\.host) + unreached.map(\.host))
        var new = fresh.hosts.filter { !known.contains($0.host) }
        for index in new.indices where registered.contains(new[index].host) { new[index].membership = .begun }
        // Who is there already must learn of those that come.
        let reason = "hosts come"
        let bringsMasters = new.contains(where: \.isMaster)
        for index in hosts.indices {
            if fresh.hosts.contains(where: { $0.aspects[.podNetwork] != nil }) {
                hosts[index].aspects[.podNetwork] = hosts[index].aspects[.podNetwork] ?? reason
            }
            if bringsMasters, hosts[index].isMaster, new.contains(where: { $0.host == fresh.registryHost }) {
                hosts[index].names = hosts[index].names ?? "the master with the registry comes"
                hosts[index].aspects[.names] = hosts[index].aspects[.names] ?? "the master with the registry comes"
            }
            if bringsMasters, !hosts[index].isMaster {
                hosts[index].aspects[.balancer] = hosts[index].aspects[.balancer] ?? "masters come"
            }
        }
        let places = Dictionary(order.enumerated().map { ($1, $0) }) { first, _ in first }
        hosts = (hosts + new).sorted { places[$0.host] ?? 0 < places[$1.host] ?? 0 }
        if first.isEmpty { first = fresh.first }
    }
}
