import ClusterRuntime
import Clusterfile
import Diagnostics
import Distribution
import FoundationEssentials
import ImageStore
import Infra
import LinuxSystem
import OCI
import Remote
import Report
import Synchronization
import SystemPackage

/// Does the steps of a plan on real hosts: the blueprint says what each of them means.
final class ClusterWork: StepPerformer {
    let infra: any InfraProvider
    let pool: HostPool
    let runtime: any KubernetesRuntime
    let distribution: ImageDistribution
    let folder: ClusterFolder
    let progress: any ProgressSink
    private let clock: any Clock<Duration>
    private let patience: Duration
    private let drain: DrainPolicy
    let marks: MarkKeeper
    private let tickets = TicketOffice()
    let scene: Mutex<Scene>

    /// What steps look things up in.
    struct Scene: Sendable {
        var source: BlueprintSource
        var blueprint: ClusterBlueprint?
        var hosts: [String: HostObservation] = [:]
        /// What was seen last; nil before anything was looked at.
        var observation: ClusterObservation?
        /// The master that the cluster is asked through.
        var first = ""
        /// Hosts that were cleaned for a further attempt, and do not have again all that went with it.
        var bare: Set<String> = []
    }

    /// A step whose host was lost is tried again that often.
    private static let attempts = 3

    init(
        source: BlueprintSource, infra: any InfraProvider, pool: HostPool,
        runtime: any KubernetesRuntime,
        distribution: ImageDistribution, folder: ClusterFolder, progress: any ProgressSink,
        clock: any Clock<Duration>, patience: Duration, drain: DrainPolicy
    ) {
        self.infra = infra
        self.pool = pool
        self.runtime = runtime
        self.distribution = distribution
        self.folder = folder
        self.progress = progress
        self.clock = clock
        self.patience = patience
        self.drain = drain
        marks = MarkKeeper(cluster: source.cluster.name, dataRoot: source.cluster.dataRoot)
        scene = Mutex(Scene(source: source))
    }

    /// What blueprints are made of.
    var source: BlueprintSource { scene.withLock { $0.source } }

    // MARK: - Looking

    /// Looks at hosts and cluster, checks the hosts, and keeps what was seen for the steps.
    ///
    /// - Parameter known: hosts that are known not to answer, which are not asked again; all others must answer then.
    func survey(
        _ places: [HostPlace], unreached known: [UnreachedHost]? = nil
    ) async throws -> (ClusterBlueprint, ClusterObservation) {
        var seen = try await observer.observe(places, unreached: known)
        // It may be called a worker now, and be a master that others must not do without.
        for node in seen.unreachedNodes where node.isMaster {
            if let host = seen.unreached.first(where: { $0.isNode(node) }) { throw host.failure }
        }
        try await settleIdentity(seen)
        for index in seen.hosts.indices { seen.hosts[index].wantedName = try source.wantedName(of: seen.hosts[index]) }
        try HostCheck(
            image: source.image, settings: source.settings, registryHost: source.registryHost, progress: progress
        ).check(seen.hosts, silent: seen.unreachedNodes)
        var blueprint = try source.blueprint(for: seen)
        let observation = try await observer.complete(seen, for: blueprint, mayLose: known == nil)
        if observation.hosts.count < seen.hosts.count { blueprint = try source.blueprint(for: observation) }
        for host in known == nil ? observation.unreached : [] {
            progress.send(
                .warning("\(host.host) does not answer, nothing is done to it: \(Failure.words(of: host.failure))"))
        }
        let first = observation.kubernetes?.through ?? blueprint.nodes.first { $0.isMaster }?.host ?? ""
        scene.withLock { scene in
            scene.blueprint = blueprint
            for host in observation.hosts { scene.hosts[host.host] = host }
            scene.observation = observation
            scene.first = first
        }
        for host in observation.hosts { await marks.set(host.mark, of: host.host) }
        return (blueprint, observation)
    }

    /// Looks by the connections of this work.
    var observer: Observer {
        Observer(
            cluster: source.cluster.name, pool: pool, runtime: runtime, distribution: distribution, progress: progress,
            clock: clock, patience: patience)
    }

    /// Gives masters back what their control planes had before an interrupted change.
    func mend(_ change: InterruptedChange) async throws { try await observer.mend(change) }

    /// Takes in hosts that leave.
    func add(leaving hosts: [HostObservation]) async {
        scene.withLock { scene in
            for host in hosts { scene.hosts[host.host] = host }
        }
        for host in hosts { await marks.set(host.mark, of: host.host) }
    }

    /// What was seen last; nil before anything was looked at.
    var observation: ClusterObservation? { scene.withLock { $0.observation } }

    /// The hosts by name and address, as far as they are known.
    var addresses: [(name: String, address: String)] {
        let blueprint = scene.withLock { $0.blueprint }
        return (blueprint?.nodes ?? []).map { ($0.name, $0.address) }
    }

    // MARK: - Doing

    func perform(_ step: PlanStep, handle: Step) async throws {
        if case .reach = step.action, let host = observation?.unreached.first(where: { $0.host == step.host }) {
            throw host.failure
        }
        var attempt = 1
        while true {
            do {
                return try await act(step, handle)
            } catch let failure as Failure where failure.kind == .unreachable && attempt < Self.attempts {
                // Whichever it was: the next one who needs it makes it anew.
                handle.note("a connection was lost, trying again: \(failure.what)")
                try await clock.sleep(for: .seconds(attempt * 2))
                attempt += 1
            }
        }
    }

    func limit(of step: PlanStep) -> Int {
        guard case .drain = step.action else { return step.limit }
        // kubectl is given its time, and then some to say what was in its way.
        return drain.timeout + 120
    }

    private func act(_ step: PlanStep, _ handle: Step) async throws {
        if case .provision = step.action {
            try await infra.provision(source.cluster, progress: progress)
            // Whoever did not answer before is not asked: the plan has nothing for it.
            _ = try await survey(try await infra.places(of: source.cluster), unreached: observation?.unreached ?? [])
            return
        }
        let blueprint = try self.blueprint()
        switch step.action {
        case .provision: break
        case .waitForNodes:
            var nodes: [ClusterNode] = []
            for node in blueprint.nodes { nodes.append(try await clusterNode(node)) }
            try await runtime.waitUntilReady(
                nodes, through: try await first(), limit: .seconds(300), step: handle)
        case .waitForPods:
            let silent = Set((observation?.unreachedNodes ?? []).map(\.name))
            try await runtime.waitUntilPodsReady(
                exceptOn: silent, through: try await first(), limit: .seconds(600), step: handle)
            // Those that were not seen are looked at when their hosts answer.
            if silent.isEmpty { try await record([ClusterBlueprint.RecordKey.pods: blueprint.launch.description]) }
        case .launch: try await launch(blueprint, handle)
        case .record: try await record(blueprint.record)
        case .drain(let node):
            if let leaving = scene.withLock({ $0.hosts.values.first { $0.nodeName == node }?.host }) {
                do {
                    try await marks.change(try await pool.connection(leaving).host) { $0.isDrained = true }
                } catch let failure as Failure where failure.isSilence {
                    handle.note("it is not noted on \(leaving), which does not answer: \(failure.what)")
                }
            }
            try await runtime.drain(node, drain, through: try await first(), step: handle)
        case .removeEtcdMember(let node):
            try await runtime.removeEtcdMember(
                node, address: address(ofNode: node), through: try await first(), step: handle)
        case .removeNode(let node): try await runtime.removeNode(node, through: try await first())
        case .plugin(let name, let phase): try await runPlugin(name, phase, step, handle)
        case .reset: try await reset(step, handle)
        default: try await act(step, on: try node(step.host, blueprint), handle)
        }
    }

    /// What is done on a host that shall be a member.
    private func act(_ step: PlanStep, on node: NodeBlueprint, _ handle: Step) async throws {
        let connection = try await pool.connection(node.host)
        let host = connection.host
        try await marks.claim(host)
        let settings = source.settings
        switch step.action {
        case .writeNames(let through):
            let names =
                try through.map { node.names(through: try self.node($0, try blueprint()).address) } ?? node.names
            try await write(names: names, to: host)
        case .configure(let name):
            guard let aspect = node.aspects.first(where: { $0.name == name }) else {
                throw Failure(.software, "the blueprint of the host says nothing about \(name.rawValue)", at: node.host)
            }
            if name == .configuration {
                let paths = aspect.files.map(\.path.string)
                try await marks.change(host) { $0.note(overlaid: paths) }
            }
            try await aspect.bring(to: host)
        case .sendRootfs: try await distribution.sendRootfs(to: host, step: handle)
        case .sendImage:
            try await distribution.sendAll(to: host, step: handle)
            try await noteImage(host)
        case .fetchRootfs:
            try await distribution.fetchRootfs(on: host, from: try registry(for: node), step: handle)
        case .fetchImage:
            try await distribution.fetchAll(on: host, from: try registry(for: node), step: handle)
            try await noteImage(host)
        case .unpackRootfs:
            try await distribution.unpackRootfs(on: host, to: settings.rootfs, step: handle)
            let rootfs = try blueprint().rootfs
            try await marks.change(host) { $0.note(unpacked: rootfs) }
        case .endRegistry: try await endRegistry(node, host, handle)
        case .installRuntime: try await installRuntime(node, host, handle)
        case .cleanKubernetes: try await clean(node, handle)
        case .initialise: try await initialise(node, handle)
        case .joinMaster, .joinNode: try await join(node, handle)
        case .setHostname(let name): try await rename(host, to: name)
        case .uploadConfiguration(let parts): try await upload(parts, handle)
        case .reconfigureEtcd: try await reconfigureEtcd(node, handle)
        case .reconfigureControlPlane: try await reconfigureControlPlane(node, handle)
        case .reconfigureKubelet: try await reconfigureKubelet(node, handle)
        case .settle: try await marks.change(host) { $0.settle() }
        case .label: try await label(node, host)
        default: throw Failure(.software, "step \(step.id) is not one of a host's", at: node.host)
        }
    }

    private func noteImage(_ host: any Host) async throws {
        let image = source.image.descriptor.digest
        try await marks.change(host) { $0.image = image }
    }

    private func write(names: [HostsFile.Entry], to host: any Host) async throws {
        let path: FilePath = "/etc/hosts"
        let old = try await host.readFile(path, limit: 1 << 20) ?? Data()
        let text = HostsFile.text(String(decoding: old, as: UTF8.self), with: names)
        try await FileInPlace.write(Data(text.utf8), to: path, on: host)
    }

    private func installRuntime(_ node: NodeBlueprint, _ host: any Host, _ handle: Step) async throws {
        let member = try await clusterNode(node)
        try await NodePreparation(source.settings).installRuntime(
            on: member, environment: node.environment, step: handle)
        // What does not run here must not come to the next one.
        if await marks.mark(of: node.host)?.membership == .complete {
            try await runtime.restartKubelet(of: member, through: try await first(), step: handle)
        }
        let left = try await host.inspect(NodePreparation.installedFiles)
        try await marks.change(host) { mark in
            mark.runtime = node.runtime
            mark.runtimeFiles = left
        }
    }

    // MARK: - Members

    private func initialise(_ node: NodeBlueprint, _ handle: Step) async throws {
        let master = try await newcomer(node, handle)
        let isAlone = source.cluster.members.allSatisfy(\.isMaster)
        try await runtime.initialise(master, isAlone: isAlone, step: handle)
        try await keepKubeconfig(of: master)
        try await record(try blueprint().configurationRecord(isComplete: true), through: master)
        try await noteConfiguration(of: node, master.host) { $0.membership = .complete }
    }

    private func join(_ node: NodeBlueprint, _ handle: Step) async throws {
        let master = try await first()
        let (runtime, tickets) = (runtime, tickets)
        let ticket = try await tickets.ticket { try await runtime.makeTicket(through: master) }
        let newcomer = try await newcomer(node, handle)
        // kubeadm refuses to join while a member of etcd does not answer. A cluster of this very command has no such one.
        if node.isMaster, observation?.kubernetes != nil {
            try await runtime.makeRoomInEtcd(for: newcomer, through: master, step: handle)
        }
        try await runtime.join(newcomer, through: master, ticket: ticket, step: handle)
        // It has an API server of its own now.
        if node.isMaster { try await write(names: node.names, to: newcomer.host) }
        try await noteConfiguration(of: node, newcomer.host) { $0.membership = .complete }
    }

    /// A host that kubeadm may begin on: marked as begun, with its certificates if it becomes a master. When an attempt of this
    /// very command was cut off, what it left is taken away first, and what went with it is brought anew.
    private func newcomer(_ node: NodeBlueprint, _ handle: Step) async throws -> ClusterNode {
        let newcomer = try await clusterNode(node)
        if await marks.mark(of: node.host)?.membership == .begun {
            scene.withLock { _ = $0.bare.insert(node.host) }
            try await clean(node, handle)
        }
        if scene.withLock({ $0.bare.contains(node.host) }) {
            try await installRuntime(node, newcomer.host, handle)
            for aspect in node.aspects where aspect.name == .authorities || aspect.name == .podNetwork {
                try await aspect.bring(to: newcomer.host)
            }
            scene.withLock { _ = $0.bare.remove(node.host) }
        }
        let (name, isAwaited) = (node.name, source.plugins.hasScripts)
        try await marks.change(newcomer.host) { mark in
            mark.membership = .begun
            mark.node = name
            if isAwaited { mark.isArriving = true }
        }
        if node.isMaster {
            let certificates = try runtime.certificates(
                of: newcomer, under: source.identity.authorities, years: source.cluster.certificates.leafYears)
            try await CertificateFile.place(certificates, on: newcomer.host)
        }
        return newcomer
    }

    /// Takes an interrupted start away, on the host and in the cluster.
    private func clean(_ node: NodeBlueprint, _ handle: Step) async throws {
        let newcomer = try await clusterNode(node)
        let first = firstName
        let isRunning = await marks.mark(of: first)?.membership == .complete
        let master = first != node.host && isRunning ? try await self.first() : nil
        // As long as it runs: of two members both must agree to it.
        if node.isMaster, let master {
            try await runtime.removeEtcdMember(node.name, address: node.address, through: master, step: handle)
        }
        try await runtime.clean(newcomer, step: handle)
        if let master { try await runtime.removeNode(node.name, through: master) }
        try await marks.change(newcomer.host) { mark in
            mark.membership = .none
            mark.runtime = nil
            mark.runtimeFiles = [:]
            (mark.kubernetesFiles, mark.kubelet, mark.controlPlane, mark.etcd) = (nil, nil, nil, nil)
            (mark.labels, mark.taints, mark.isDrained) = (nil, nil, nil)
        }
    }

    private func launch(_ blueprint: ClusterBlueprint, _ handle: Step) async throws {
        let master = try await first()
        try await ApplicationLaunch(
            source.image.sealer, rootfs: source.settings.rootfs, environment: source.settings.environment,
            applications: source.cluster.applications, commands: source.cluster.commands
        ).run(on: master.host, step: handle)
        // What ran is noted at once, so that a failure of something later does not run it again.
        try await record([
            ClusterBlueprint.RecordKey.launch: blueprint.launch.description, ClusterBlueprint.RecordKey.pods: "",
        ])
    }

    func record(_ values: [String: String]) async throws { try await record(values, through: try await first()) }

    private func record(_ values: [String: String], through master: ClusterNode) async throws {
        let before = try await Kubeadm.patiently { try await runtime.record(through: master) } ?? [:]
        let after = before.merging(values) { $1 }
        guard after != before else { return }
        try await runtime.write(record: after, through: master)
    }

    private func reset(_ step: PlanStep, _ handle: Step) async throws {
        guard let name = step.host, let seen = scene.withLock({ $0.hosts[name] }) else {
            throw Failure(.software, "the plan resets a host that nothing is known of", at: step.host)
        }
        if seen.member.provider == .container {
            await pool.drop(name)
            return try await infra.remove(host: name, of: source.cluster.name)
        }
        let host = try await pool.connection(name).host
        let changes = try await HostReset(
            dataRoot: seen.mark?.dataRoot ?? source.cluster.dataRoot, cluster: source.cluster.name
        ).reset(host, step: handle)
        if let words = HostBaseline.words(changes, on: name) { progress.send(.warning(words)) }
        await marks.set(nil, of: name)
    }
}
