import Clusterfile
import DockerEngine
import FoundationEssentials
import Remote
import Report
import SystemPackage

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

    /// The node containers of a request, masters first, each role in the order of its numbers; nil for one that is still to be
    /// made, or was never started. One that is stopped has what it had, and does not answer.
    func present(_ request: HostsRequest) async throws -> [ProvisionedHost?] {
        try request.validate()
        let states = try await states(of: request)
        let range =
            states.values.allSatisfy { $0 == "running" }
            ? nil : try await subnet(of: request.cluster).map { try IPNetwork($0) }
        var hosts: [ProvisionedHost?] = []
        for plan in NodePlan.all(of: request) {
            switch states[plan.name] {
            case nil: hosts.append(nil)
            case "running": hosts.append(try await host(plan, container: plan.name))
            case let state?:
                hosts.append(
                    ProvisionedHost(
                        name: plan.name, role: plan.role, index: plan.index,
                        address: plan.addressed(in: range).address ?? plan.name,
                        transport: StoppedContainer(host: plan.name, state: state)))
            }
        }
        return hosts
    }

    /// The states of a request's containers that were started once, by name.
    private func states(of request: HostsRequest) async throws -> [String: String] {
        let found = try await engine.containers(label: "\(ClusterLabel.cluster)=\(request.cluster)")
        return Dictionary(found.map { ($0.name, $0.state) }) { first, _ in first }.filter { $0.value != "created" }
    }

    /// Starts the node containers of a request that were stopped, all at once. One that does not start stays as it is, which is told.
    ///
    /// - Returns: whether there were such.
    func wake(_ request: HostsRequest, progress: any ProgressSink) async throws -> Bool {
        let states = try await states(of: request).filter { $0.value != "running" }
        let stopped = NodePlan.all(of: request).map(\.name).filter { states[$0] != nil }
        guard !stopped.isEmpty else { return false }
        let failures = try await progress.step("starting node containers that were stopped") { step in
            step.note(stopped.joined(separator: ", "))
            return await withTaskGroup(of: (any Error)?.self) { group in
                for name in stopped {
                    group.addTask {
                        do {
                            try await Failpoint.around("wake container \(name)") {
                                if states[name] == "paused" {
                                    try await engine.unpauseContainer(name)
                                } else {
                                    try await engine.startContainer(name)
                                }
                            }
                            try await waitForSystem(in: name, step)
                            return nil
                        } catch {
                            return error
                        }
                    }
                }
                return await group.reduce(into: [any Error]()) { failures, failure in
                    if let failure { failures.append(failure) }
                }
            }
        }
        try Task.checkCancellation()
        for failure in failures { progress.send(.warning(Failure.words(of: failure))) }
        return true
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

/// The way to a container that does not run: there is none.
struct StoppedContainer: Transport {
    let host: String
    /// In Docker's words: `exited`, `paused`.
    let state: String

    private var failure: Failure {
        Failure(
            .unreachable, "the node container is stopped (\(state))", at: host,
            remedy: "'sealer apply' starts it; or: docker \(state == "paused" ? "unpause" : "start") \(host)")
    }

    func reach() async throws { throw failure }
    func place(_ file: FilePath, at path: FilePath, permissions: FilePermissions) async throws { throw failure }
    func start(_ command: [String]) async throws -> any ByteChannel { throw failure }
}
