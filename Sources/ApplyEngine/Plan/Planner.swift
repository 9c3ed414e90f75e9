import ClusterRuntime
import Clusterfile
import OCI

/// Makes a plan out of what a cluster lacks. Values in, values out: the same difference gives the same plan.
public struct Planner: Sendable {
    /// Steps that change etcd's members or start a control plane: one at a time, so that quorum is never at stake.
    static let controlPlaneLane = "control-plane"
    /// Nodes are emptied one at a time.
    static let drainLane = "drain"

    private let cluster: String
    private let image: Digest
    let difference: ClusterDifference
    private var steps: [PlanStep] = []
    private var names: Set<PlanStep.ID> = []
    /// The steps of plugins, by phase and host.
    var pluginSteps: [Plugin.Phase: [String: [PlanStep.ID]]] = [:]

    /// Makes the plan.
    public static func plan(cluster: String, image: Digest, _ difference: ClusterDifference) throws -> Plan {
        var planner = Planner(cluster: cluster, image: image, difference: difference)
        planner.add()
        return try Plan(cluster: cluster, image: image, planner.steps)
    }

    private init(cluster: String, image: Digest, difference: ClusterDifference) {
        self.cluster = cluster
        self.image = image
        self.difference = difference
    }

    private mutating func add() {
        if let reason = difference.provision {
            step("provision", .prepare, .provision, "make the hosts", reason, limit: 300)
        }
        addUnreached()
        addBytes()
        for host in difference.hosts { addPlugins(.preInstall, on: host, .install, after: prepared(host)) }
        for host in difference.hosts { addPlugins(.preScaleUp, on: host, .install, after: prepared(host)) }
        addInstallation()
        addConfiguration()
        for node in difference.leaving {
            if let successor = node.successor { addGone(node, successor: successor) }
            if isDead(node) { addEtcdEnd(node, .controlPlane, Self.leavingReason) }
        }
        for host in difference.hosts { addMembership(host) }
        addConfigurationOfMembers()
        for host in difference.hosts { addLabels(host) }
        for host in difference.hosts { addArrival(host) }
        addRegistryEnds()
        for node in difference.leaving where node.successor == nil { addLeaving(node) }
        addClosing()
    }

    /// Adds a step. Of the steps that it would wait for, those count that the plan has.
    mutating func step(
        _ id: PlanStep.ID, _ phase: PlanPhase, _ action: StepAction, on host: String? = nil, _ title: String,
        _ reason: String, isDestructive: Bool = false, after: [PlanStep.ID] = [], lane: String? = nil, limit: Int
    ) {
        let after = (["provision"] + after).filter(names.contains)
        steps.append(
            PlanStep(
                id, phase, action, host: host, title: title, reason: reason, isDestructive: isDestructive, after: after,
                lane: lane, limit: limit))
        names.insert(id)
    }

    mutating func configure(
        _ aspect: NodeAspect.Name, _ host: NodeDifference, _ phase: PlanPhase, after: [PlanStep.ID] = []
    ) {
        guard let reason = host.aspects[aspect] else { return }
        step(
            "\(aspect.rawValue)/\(host.host)", phase, .configure(aspect), on: host.host, aspect.title, reason,
            after: after, limit: 120)
    }

    // MARK: - Members

    /// A running cluster takes another configuration: it is told first, then the masters take it over one at a time; what one of
    /// them does not run with, the next is not given.
    private mutating func addConfiguration() {
        if let configuration = difference.configuration {
            step(
                "upload-configuration", .configure, .uploadConfiguration(configuration.parts.map(\.rawValue)),
                on: difference.first, "tell the cluster its configuration", configuration.reason, limit: 900)
        }
        var former: [PlanStep.ID] = []
        for host in difference.hosts {
            guard let reason = host.controlPlane else { continue }
            let id = "control-plane/\(host.host)"
            step(
                id, .configure, .reconfigureControlPlane, on: host.host,
                "bring the control plane to the cluster's configuration", reason, after: told(host) + former,
                lane: Self.controlPlaneLane, limit: 900)
            former = [id]
        }
    }

    /// What comes before a host takes over another configuration.
    private func told(_ host: NodeDifference) -> [PlanStep.ID] {
        ["upload-configuration"] + ["runtime", "authorities", "hostname"].map { "\($0)/\(host.host)" }
    }

    /// etcd of the masters, one at a time, when all members are there that shall be. Then the kubelets; one of them alone to begin
    /// with, so that a configuration that kubelet does not run with stops one and not all.
    private mutating func addConfigurationOfMembers() {
        var former =
            difference.leaving.map { "etcd/\($0.host ?? $0.node)" }
            + difference.hosts.filter(\.isMaster).map { "join/\($0.host)" }
        for host in difference.hosts {
            guard let reason = host.etcd else { continue }
            let id = "etcd-configuration/\(host.host)"
            step(
                id, .configure, .reconfigureEtcd, on: host.host, "bring etcd to the cluster's configuration", reason,
                after: told(host) + former, lane: Self.controlPlaneLane, limit: 900)
            former = [id]
        }
        let masters = difference.hosts.filter(\.isMaster).flatMap { host in
            ["control-plane", "etcd-configuration"].map { "\($0)/\(host.host)" }
        }
        var pioneer: [PlanStep.ID] = []
        for host in difference.hosts {
            guard let reason = host.kubelet else { continue }
            let id = "kubelet-configuration/\(host.host)"
            step(
                id, .configure, .reconfigureKubelet, on: host.host, "bring kubelet to the cluster's configuration",
                reason, after: told(host) + masters + pioneer, limit: 600)
            if pioneer.isEmpty { pioneer = [id] }
        }
    }

    private mutating func addMembership(_ host: NodeDifference) {
        var ready =
            ["runtime", "authorities", "pod-network", "registry", "balancer", "clean"].map { "\($0)/\(host.host)" }
            + prepared(host) + pluginSteps(.preInitHost, on: host.host)
        ready += addPlugins(.preJoin, on: host, .install, after: ready)
        let isFirst = host.host == difference.first
        guard host.membership != .complete else { return }
        if isFirst, !difference.isInitialised {
            // Whoever was a member was one of a cluster whose masters are gone, with all that they knew.
            let isLost = difference.hosts.contains(where: \.wasMember)
            step(
                "init", .controlPlane, .initialise, on: host.host, "start the control plane",
                isLost ? "the masters of the cluster are gone: this is a new and empty one" : "there is no cluster yet",
                isDestructive: isLost, after: ready + imageSource, lane: Self.controlPlaneLane, limit: 480)
        } else if host.isMaster {
            step(
                "join/\(host.host)", .controlPlane, .joinMaster, on: host.host, "join the control plane",
                "it is no member yet",
                after: ready + imageSource + ["init", "upload-configuration"] + predecessors(of: host)
                    // Nobody comes into etcd as long as one of its members does not answer.
                    + difference.leaving.filter(isDead).map { "etcd/\($0.node)" },
                lane: Self.controlPlaneLane, limit: 720)
        } else {
            step(
                "join/\(host.host)", .join, .joinNode, on: host.host, "join the cluster", "it is no member yet",
                after: ready + imageSource + ["init", "upload-configuration"] + predecessors(of: host), limit: 420)
        }
    }

    /// The end of what was a member at the host's address before it.
    private func predecessors(of host: NodeDifference) -> [PlanStep.ID] {
        difference.leaving.filter { $0.successor == host.host }.map { "remove/\($0.node)" }
    }

    /// A node whose host is gone and has a successor at its address: there are no pods to be moved, and the successor comes
    /// only afterwards, for etcd counts with a member that does not answer.
    private mutating func addGone(_ node: LeavingNode, successor: String) {
        let reason = "its host is gone: \(successor) has its address"
        if node.isMaster { addEtcdEnd(node, .controlPlane, reason) }
        step(
            "remove/\(node.node)", .controlPlane, .removeNode(node: node.node), on: difference.first,
            "remove the node \(node.node)", reason, isDestructive: true, after: ["etcd/\(node.node)"], limit: 120)
    }

    private static let leavingReason = "the Clusterfile does not name it any more"

    /// Whether a master that leaves cannot be reached any more. A successor has its own way.
    private func isDead(_ node: LeavingNode) -> Bool {
        node.isMaster && node.isRegistered && node.host == nil && node.successor == nil
    }

    private mutating func addEtcdEnd(
        _ node: LeavingNode, _ phase: PlanPhase, _ reason: String, after: [PlanStep.ID] = []
    ) {
        let id = "etcd/\(node.host ?? node.node)"
        guard !names.contains(id) else { return }
        step(
            id, phase, .removeEtcdMember(node: node.node), on: difference.first, "take \(node.node) out of etcd",
            reason,
            isDestructive: true, after: after, lane: Self.controlPlaneLane, limit: 180)
    }

    private mutating func addLabels(_ host: NodeDifference) {
        guard let reason = host.label else { return }
        step(
            "label/\(host.host)", .configure, .label, on: host.host, "label the node", reason,
            after: ["init", "join/\(host.host)"], limit: 120)
    }

    private mutating func addLeaving(_ node: LeavingNode) {
        let reason = Self.leavingReason
        let name = node.host ?? node.node
        // Whoever comes is there before others go.
        let joins = difference.hosts.map { "join/\($0.host)" }
        let farewell = node.host.map { addPlugins(.preCleanHost, of: node.plugins, on: $0, .leave, after: joins) } ?? []
        if node.isRegistered {
            step(
                "drain/\(name)", .leave, .drain(node: node.node), on: difference.first,
                "move the pods of \(node.node) elsewhere",
                reason, isDestructive: true, after: joins + farewell, lane: Self.drainLane, limit: 720)
            if node.isMaster { addEtcdEnd(node, .leave, reason, after: ["drain/\(name)"]) }
            step(
                "remove/\(name)", .leave, .removeNode(node: node.node), on: difference.first,
                "remove the node \(node.node)", reason, isDestructive: true, after: ["drain/\(name)", "etcd/\(name)"],
                limit: 120)
        }
        if let host = node.host {
            // It may be one still, though somebody has deleted its node.
            if node.isMaster, difference.isInitialised { addEtcdEnd(node, .leave, reason, after: joins + farewell) }
            step(
                "reset/\(host)", .clean, .reset, on: host, "take off the host all that sealer brought", reason,
                isDestructive: true,
                // Nobody gets images there any more.
                after: ["etcd/\(name)", "remove/\(name)"] + farewell + imageSource + ways
                    + (node.isMaster ? membersToReach : []), limit: 900)
            addPlugins(.postCleanHost, of: node.plugins, on: host, .clean, after: ["reset/\(host)"])
        }
    }

    // MARK: - Hosts that do not answer

    /// What a host needs that does not answer can only be planned when it does: until then a command cannot end well.
    private mutating func addUnreached() {
        for host in difference.unreached {
            step(
                Self.reach(host), .prepare, .reach, on: host.host, "get to the host",
                "it does not answer, so what it needs is not known", limit: 30)
        }
    }

    /// New members that do not answer: whoever waits for all that come waits for them.
    private var newcomersToReach: [PlanStep.ID] { difference.unreached.filter { !$0.isMember }.map(Self.reach) }

    /// Members that do not answer: they are led to where they were led before.
    var membersToReach: [PlanStep.ID] { difference.unreached.filter(\.isMember).map(Self.reach) }

    private static func reach(_ host: UnreachedMember) -> PlanStep.ID { "reach/\(host.host)" }

    // MARK: - The whole

    private mutating func addClosing() {
        let members = ["init"] + difference.hosts.map { "join/\($0.host)" } + newcomersToReach
        let touched = difference.hosts.flatMap { host in
            ["runtime", "pod-network", "control-plane", "etcd-configuration", "kubelet-configuration"].map {
                "\($0)/\(host.host)"
            }
        }
        let unready = difference.hosts.compactMap { host in host.unready.map { "\(host.host): \($0)" } }
        let hasNewMembers = members.contains(where: names.contains)
        var waitReason: String?
        if !unready.isEmpty {
            waitReason = unready.joined(separator: "; ")
        } else if hasNewMembers {
            waitReason = "members come"
        } else if touched.contains(where: names.contains) {
            waitReason = "what kubelet stands on was changed"
        }
        func wait(_ planner: inout Planner, after: [PlanStep.ID]) {
            guard let waitReason else { return }
            planner.step(
                "ready", .verify, .waitForNodes, "wait until every node is Ready", waitReason, after: after, limit: 330)
        }
        func launch(_ planner: inout Planner, after: [PlanStep.ID]) {
            for host in planner.difference.hosts { planner.addPlugins(.preLaunch, on: host, .launch, after: after) }
            let after = after + planner.pluginSteps(.preLaunch)
            guard let reason = planner.difference.launch else { return }
            planner.step(
                "launch", .launch, .launch, on: planner.difference.first, "launch the applications", reason,
                after: after,
                limit: 3600)
        }
        // What it changes pods have, and what is noted of it lies where launches are noted.
        let told = ["upload-configuration"]
        // What is launched lies in the rootfs.
        let labels = difference.hosts.map { "label/\($0.host)" } + ["configuration/\(difference.first)"]
        if difference.needsLaunchForNetwork {
            launch(&self, after: members + imageSource + labels + told)
            wait(&self, after: members + touched + ["launch"])
        } else {
            wait(&self, after: members + touched)
            launch(&self, after: ["ready"] + imageSource + labels + told)
        }
        if names.contains("launch") || names.contains("ready") || difference.pods != nil {
            step(
                "pods", .verify, .waitForPods, "wait until every pod is ready",
                difference.pods ?? "see that all is well",
                after: ["launch", "ready"] + members + touched + labels + told, limit: 630)
        }
        let whole = ["ready", "launch", "pods"] + members
        for host in difference.hosts { addPlugins(.postInstall, on: host, .verify, after: whole) }
        for host in difference.hosts {
            addPlugins(.postScaleUp, on: host, .verify, after: whole + pluginSteps(.postInstall, on: host.host))
        }
        addSettling(after: whole)
        if let reason = difference.record {
            let all = steps.map(\.id)
            step(
                "record", .verify, .record, on: difference.first, "note in the cluster what it was made of", reason,
                after: all, limit: 60)
        }
    }
}

extension NodeAspect.Name {
    /// What bringing the aspect about does, for people, in the infinitive.
    var title: String {
        switch self {
        case .names: "keep the names over a restart"
        case .registryAccess: "show the container runtime the registry of the cluster"
        case .registry: "run the registry of the cluster"
        case .balancer: "run the way to all masters"
        case .podNetwork: "connect the pods"
        case .authorities: "bring the cluster's authorities"
        case .configuration: "write the configuration files of the Clusterfile"
        }
    }
}
