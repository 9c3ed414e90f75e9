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

    /// Every container, volume and network that carries the cluster's label.
    public func contents(of cluster: String) async throws -> [String] {
        try HostsRequest.validate(cluster: cluster)
        return try await things(of: cluster).map(\.description)
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
