import Clusterfile
import DockerEngine
import Remote
import Report
import Synchronization
import SystemPackage

extension ContainerProvider {
    /// Brings up the network and the containers; those that are there are kept, and started when they do not run.
    public func provision(_ request: HostsRequest, progress: any ProgressSink) async throws -> [ProvisionedHost] {
        try request.validate()
        let plans = NodePlan.all(of: request)
        return try await progress.step("making \(plans.count) node containers") { step in
            guard try await engine.hasImage(request.image) else {
                throw Failure(
                    .notFound,
                    "the Docker engine has no image \(request.image) for nodes",
                    at: engine.socket.path.string,
                    remedy: "make it with scripts/make-node-image.sh, or name another image"
                )
            }
            let made = MadeThings()
            do {
                try await prepareNetwork(request, made)
                let capabilities = try await nodeCapabilities(step)
                let range = try await subnet(of: request.cluster).map { try IPNetwork($0) }
                return try await bringUp(plans.map { $0.addressed(in: range) }, request, capabilities, made, step)
            } catch {
                throw await takeBack(made, after: error)
            }
        }
    }

    /// Makes the cluster's network. One of its name that is there without the cluster's label is the user's own: the containers
    /// join it, so that they are in one network with hosts of the user's, and it is never removed.
    private func prepareNetwork(_ request: HostsRequest, _ made: MadeThings) async throws {
        let name = NodePlan.network(of: request.cluster)
        var present = try await engine.network(named: name)
        if present?.labels?[ClusterLabel.draft] != nil, present?.subnet != nil {
            // A command was killed before it took the draft away: it has no fixed addresses to give, and nobody is in it.
            try await engine.removeNetwork(name)
            present = nil
        }
        if let network = present {
            guard network.isInternal == !request.egress else {
                let isOurs = network.labels?[ClusterLabel.cluster] == request.cluster
                throw Failure(
                    .conflict,
                    "the cluster's network is there and \(network.isInternal ? "is" : "is not") cut off from the outside, "
                        + "asked for was the opposite",
                    at: name,
                    remedy: isOurs
                        ? "delete the cluster first"
                        : "say container.egress: \(!network.isInternal) in the Clusterfile, or make the network anew"
                )
            }
            return
        }
        let labels = [ClusterLabel.cluster: request.cluster]
        let draft = labels.merging([ClusterLabel.draft: "true"]) { own, _ in own }
        try await Failpoint.around("make network \(name)") {
            try await engine.createNetwork(name, isInternal: !request.egress, labels: draft)
            made.add(.network(name))
        }
        // The engine gives fixed addresses only in a range that was named, so the one that it has chosen is named to it.
        guard let subnet = try await subnet(of: request.cluster) else { return }
        try await engine.removeNetwork(name)
        try await Failpoint.around("settle network \(name)") {
            _ = try await engine.createNetwork(name, isInternal: !request.egress, labels: labels, subnet: subnet)
        }
    }

    func subnet(of cluster: String) async throws -> String? {
        try await engine.network(named: NodePlan.network(of: cluster))?.subnet
    }

    /// The capabilities that nodes get; what is out of the ordinary about them is told.
    private func nodeCapabilities(_ step: Step) async throws -> [String] {
        let own = Capability.names(of: try await Capability.ownBoundingSet())
        let lacking = Set(Capability.names).subtracting(own).subtracting(Capability.recent)
        if !lacking.isEmpty {
            step.note("this machine itself lacks \(Self.list(lacking)), so its nodes do too")
        }
        // Docker 20.10 has API 1.41.
        guard (engine.version.major, engine.version.minor) < (1, 42) else { return own }
        let unknown = Capability.recent.intersection(own)
        if !unknown.isEmpty {
            step.note(
                "this Docker engine (API \(engine.version)) does not know \(Self.list(unknown)), so nodes go without")
        }
        return own.filter { !unknown.contains($0) }
    }

    private static func list(_ capabilities: Set<String>) -> String {
        capabilities.sorted().map { "CAP_\($0)" }.joined(separator: ", ")
    }

    /// Brings all containers up at once; when one fails, the others are waited for, and all failures told.
    private func bringUp(
        _ plans: [NodePlan],
        _ request: HostsRequest,
        _ capabilities: [String],
        _ made: MadeThings,
        _ step: Step
    ) async throws -> [ProvisionedHost] {
        let label = "\(ClusterLabel.cluster)=\(request.cluster)"
        let present = try await engine.containers(label: label)
        let results = await withTaskGroup(of: (Int, Result<ProvisionedHost, any Error>).self) { group in
            for (position, plan) in plans.enumerated() {
                group.addTask {
                    do {
                        let container = present.first { $0.name == plan.name }
                        return (
                            position,
                            .success(try await bringUp(plan, container, image: request.image, capabilities, made, step))
                        )
                    } catch {
                        return (position, .failure(error))
                    }
                }
            }
            var results: [Int: Result<ProvisionedHost, any Error>] = [:]
            for await (position, result) in group { results[position] = result }
            return results
        }
        try Task.checkCancellation()
        var hosts: [ProvisionedHost] = []
        var failures: [any Error] = []
        for position in plans.indices {
            switch results[position] {
            case .success(let host): hosts.append(host)
            case .failure(let error): failures.append(error)
            case nil: break
            }
        }
        guard failures.isEmpty else {
            throw Failure.several("\(failures.count) node containers did not come up", failures)
        }
        return hosts
    }

    private func bringUp(
        _ plan: NodePlan,
        _ container: EngineContainer?,
        image: String,
        _ capabilities: [String],
        _ made: MadeThings,
        _ step: Step
    ) async throws -> ProvisionedHost {
        if let container {
            guard container.labels[ClusterLabel.role] == plan.role.rawValue,
                container.labels[ClusterLabel.index] == String(plan.index)
            else {
                throw Failure(
                    .conflict,
                    "a container of this name is there with other labels",
                    at: plan.name,
                    remedy: "delete the cluster \(plan.cluster) first"
                )
            }
        } else {
            let stale = try await engine.volumes(label: "\(ClusterLabel.cluster)=\(plan.cluster)").map(\.name)
            for volume in plan.volumes.values.sorted() {
                // What a container that is gone left in it must not come back in a new node.
                if stale.contains(volume) { try await engine.removeVolume(volume) }
                try await Failpoint.around("make volume \(volume)") {
                    try await engine.createVolume(volume, labels: [ClusterLabel.cluster: plan.cluster])
                    made.add(.volume(volume))
                }
            }
            do {
                try await Failpoint.around("make container \(plan.name)") {
                    try await create(plan, image: image, capabilities, step)
                    made.add(.container(plan.name))
                }
            } catch let failure as Failure where [.timeout, .unreachable, .integrity].contains(failure.kind) {
                // Whether it was made is unknown. A refusal is different: there the name may be somebody else's.
                made.add(.container(plan.name))
                throw failure
            }
        }
        if container?.state != "running" {
            try await Failpoint.around("start container \(plan.name)") { try await engine.startContainer(plan.name) }
        }
        try await waitForSystem(in: plan.name, step)
        return try await host(plan, container: plan.name)
    }

    private func create(_ plan: NodePlan, image: String, _ capabilities: [String], _ step: Step) async throws {
        var spec = Self.spec(of: plan, image: image, capabilities: capabilities)
        do {
            try await engine.createContainer(spec)
        } catch let failure as Failure
            where failure.what.lowercased().contains("capability") && !Capability.recent.isDisjoint(with: capabilities)
        {
            step.note(
                "the Docker engine refused newer capabilities, so \(plan.name) goes without \(Self.list(Capability.recent))"
            )
            spec.capabilities = capabilities.filter { !Capability.recent.contains($0) }
            try await engine.createContainer(spec)
        }
    }

    static func spec(of plan: NodePlan, image: String, capabilities: [String]) -> ContainerSpec {
        var spec = ContainerSpec(name: plan.name, image: image, hostname: plan.name, network: plan.network)
        spec.labels = plan.labels
        spec.address = plan.address
        spec.capabilities = capabilities
        spec.isUnconfined = true
        spec.deviceRules = ["a *:* rwm"]
        spec.memoryMounts = ["/run": "", "/tmp": "exec"]
        spec.volumes = plan.volumes
        // systemd's sign to shut down in order.
        spec.stopSignal = "SIGRTMIN+3"
        return spec
    }
}

/// What a call has made so far, in order.
final class MadeThings: Sendable {
    enum Thing: Sendable, Hashable, CustomStringConvertible {
        case network(String)
        case volume(String)
        case container(String)

        var description: String {
            switch self {
            case .network(let name): "network \(name)"
            case .volume(let name): "volume \(name)"
            case .container(let name): "container \(name)"
            }
        }

        /// The command that removes it.
        var remedy: String {
            switch self {
            case .network(let name): "docker network rm \(name)"
            case .volume(let name): "docker volume rm \(name)"
            case .container(let name): "docker rm --force --volumes \(name)"
            }
        }
    }

    private let things = Mutex<[Thing]>([])

    func add(_ thing: Thing) { things.withLock { $0.append(thing) } }

    /// Containers first, the network last: the order in which they can be removed.
    var inOrderOfRemoval: [Thing] {
        let all = things.withLock { $0 }
        return all.filter { if case .container = $0 { true } else { false } }
            + all.filter { if case .volume = $0 { true } else { false } }
            + all.filter { if case .network = $0 { true } else { false } }
    }
}
