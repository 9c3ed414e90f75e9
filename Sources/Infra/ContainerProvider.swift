import DockerEngine
import Remote
import Report

/// Hosts that are containers of a Docker engine on this machine.
///
/// A node container is not privileged: it gets the capabilities that the machine itself has, and no masks over its kernel's files,
/// so that systemd, containerd and kubelet run in it as on a machine of their own.
public struct ContainerProvider: InfraProvider {
    let engine: DockerClient

    /// Names the engine.
    public init(_ engine: DockerClient) {
        self.engine = engine
    }

    /// The hosts of a cluster that are up.
    public func hosts(of cluster: String) async throws -> [ProvisionedHost] {
        try HostsRequest.validate(cluster: cluster)
        let containers = try await engine.containers(label: "\(ClusterLabel.cluster)=\(cluster)")
        var hosts: [ProvisionedHost] = []
        for container in containers where container.state == "running" {
            guard let role = container.labels[ClusterLabel.role].flatMap(HostRole.init(rawValue:)),
                let index = container.labels[ClusterLabel.index].flatMap({ Int($0) })
            else { continue }
            hosts.append(
                try await host(NodePlan(cluster: cluster, role: role, index: index), container: container.name))
        }
        return hosts.sorted { ($0.role == .master ? 0 : 1, $0.index) < ($1.role == .master ? 0 : 1, $1.index) }
    }

    /// The host that a running container is.
    func host(_ plan: NodePlan, container: String) async throws -> ProvisionedHost {
        let details = try await engine.inspectContainer(container)
        guard let address = details.addresses[plan.network] else {
            throw Failure(
                .system,
                "the container has no address in the network \(plan.network)",
                at: container,
                remedy: "delete the cluster and run it again"
            )
        }
        return ProvisionedHost(
            name: container,
            role: plan.role,
            index: plan.index,
            address: address,
            transport: DockerTransport(engine, container: container, host: container)
        )
    }
}
