import DockerEngine
import Remote
import Report

/// Hosts that are containers of a Docker engine on this machine.
///
/// A node container is not privileged: it gets the capabilities that the machine itself has, and no masks over its kernel's files,
/// so that systemd, containerd and kubelet run in it as on a machine of their own.
public struct ContainerProvider: Sendable {
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

    /// The node containers of a request that run, masters first, each role in the order of its numbers; nil for one that does
    /// not.
    func present(_ request: HostsRequest) async throws -> [ProvisionedHost?] {
        try request.validate()
        let running = try await engine.containers(label: "\(ClusterLabel.cluster)=\(request.cluster)")
            .filter { $0.state == "running" }.map(\.name)
        var hosts: [ProvisionedHost?] = []
        for plan in NodePlan.all(of: request) {
            hosts.append(running.contains(plan.name) ? try await host(plan, container: plan.name) : nil)
        }
        return hosts
    }

    /// Removes one node container with its volumes; none there is fine.
    func remove(container: String, of cluster: String) async throws {
        let left = try await things(of: cluster).filter { thing in
            switch thing {
            case .container(let name): name == container
            case .volume(let name): name.hasPrefix("sealer-\(container)-")
            case .network: false
            }
        }
        let failures = await remove(left, nil)
        guard failures.isEmpty else { throw Failure.several("the container cannot be removed", failures) }
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
