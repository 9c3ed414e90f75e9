import ClusterRuntime
import Clusterfile
import FoundationEssentials
import ImageStore
import OCI
import Report
import Synchronization
import TestSupport

@testable import ApplyEngine

/// Hosts and a cluster as state machines: the real planner and the real executor work on them, with faults that a seed draws.
///
/// Each step has the preconditions that the real one has; a plan that breaks one of them is a fault of the planner's.
final class SimulatedFleet: StepPerformer {
    struct Host {
        var isMaster: Bool
        var isThere = true
        var names = false
        var pointsAtItself = false
        /// Where it looks for images: a master, or `*` for what all masters serve, its own registry on a master.
        var registryWay: String?
        var aspects: Set<NodeAspect.Name> = []
        var hasRootfsBytes = false
        var hasImage = false
        var rootfs: Int?
        /// Files of the unpacked rootfs that are not the image's own, with their versions.
        var configured: [String: Int] = [:]
        /// Files of which that is written down.
        var overlaid: Set<String> = []
        var runtime: Inputs?
        var membership = NodeMark.Membership.none
        var isReady = false
        var isLabelled = false
        var wantsLabel = false
        var isArriving = false
        var notes: [String: NodeMark.PluginNote]?
        /// How often plugins ran since they were due last, by name and phase.
        var runs: [String: Int] = [:]
    }

    /// What scripts and launches depend on.
    struct Inputs: Hashable {
        var image: Int
        var configs: [String: Int]
    }

    struct World {
        var hosts: [String: Host]
        /// The hosts that shall be members, in the order of the file.
        var wanted: [String]
        /// The image that is wanted, a number.
        var image = 1
        /// The files that Config documents change, and their versions.
        var configs: [String: Int] = [:]
        var inputs: Inputs { Inputs(image: image, configs: configs) }
        var isInitialised = false
        var nodes: Set<String> = []
        var etcd: Set<String> = []
        var launched: Inputs?
        var recorded: Inputs?
        /// What was launched when all pods were seen to be well.
        var seenWell: Inputs?
        var podParts: Set<String> = []
        var drained: Set<String> = []
        /// Whether only the first master has the registry.
        var isSingle = false
        var registryHost: String? { isSingle ? wanted.first { hosts[$0]?.isMaster == true } : nil }
        var violations: [String] = []
        var laneUse = 0
        /// The members whose install scripts run, and those whose ran in this plan.
        var installing: Set<String> = []
        var installed: Set<String> = []
        var effects: [String] = []
        /// The same of all plans.
        var life: [String] = []
        var launches: [Int] = []
        var plugins: [Plugin] = []
        /// The hosts that scripts ran for after they came, by script and where it ran.
        var scaled: [String: Set<String>] = [:]
    }

    /// What goes wrong with a step.
    enum Fault: CaseIterable {
        case before, halfway, after
    }

    private let state: Mutex<World>
    private let seed: UInt64
    /// How often each step was tried.
    private let attempts = Mutex<[PlanStep.ID: UInt64]>([:])
    /// How many of a thousand steps go wrong.
    private let faults: Int

    init(
        masters: Int, nodes: Int, isContainer: Bool, faults: Int, plugins: [Plugin] = [], seed: UInt64
    ) {
        var hosts: [String: Host] = [:]
        var wanted: [String] = []
        for (prefix, count, isMaster) in [("m", masters, true), ("n", nodes, false)] {
            for number in 0..<count {
                let name = "\(prefix)\(number)"
                var host = Host(isMaster: isMaster)
                host.isThere = !isContainer
                host.wantsLabel = number.isMultiple(of: 3)
                hosts[name] = host
                wanted.append(name)
            }
        }
        state = Mutex(World(hosts: hosts, wanted: wanted, plugins: plugins))
        self.seed = seed
        self.faults = faults
    }

    /// Looks at the world, or changes it from outside.
    func change<Result: Sendable>(_ body: (inout sending World) -> sending Result) -> Result { state.withLock(body) }

    // MARK: - What is observed

    func difference() throws -> ClusterDifference {
        try state.withLock { world in
            let through =
                world.isInitialised
                ? world.wanted.first { world.hosts[$0]?.isMaster == true && world.hosts[$0]?.membership == .complete }
                : nil
            let first = through ?? world.wanted.first { world.hosts[$0]?.isMaster == true } ?? ""
            let missing = world.wanted.filter { world.hosts[$0]?.isThere == false }
            var difference = ClusterDifference(
                provision: missing.isEmpty ? nil : "\(missing.count) are not there",
                hosts: world.wanted.compactMap { name in
                    world.hosts[name].map { Self.difference(name, $0, world, isFirst: name == first) }
                },
                first: first, registryHost: world.registryHost, isInitialised: through != nil,
                launch: world.launched == world.inputs ? nil : "another image",
                pods: world.launched == world.seenWell ? nil : "not seen to be well",
                record: world.recorded == world.inputs ? nil : "another image",
                leaving: world.nodes.subtracting(world.wanted).sorted().map { node in
                    LeavingNode(
                        host: node, node: node, isMaster: world.hosts[node]?.isMaster == true, isRegistered: true)
                }
                    + world.hosts.keys.filter { name in
                        !world.wanted.contains(name) && !world.nodes.contains(name) && world.hosts[name]?.names == true
                    }.sorted().map { LeavingNode(host: $0, node: $0, isMaster: false, isRegistered: false) }
            )
            let known = world.hosts.map { name, host in
                var mark = NodeMark(cluster: "demo")
                mark.isArriving = host.isArriving ? true : nil
                mark.plugins = host.notes
                return (name, PluginRules.Knowledge(member: Self.member(host), mark: mark))
            }
            try PluginRules(world.plugins).add(
                to: &difference, Dictionary(uniqueKeysWithValues: known), isFinished: world.recorded != nil,
                launch: Self.launchDigest(world.inputs))
            return difference
        }
    }

    private static func member(_ host: Host) -> ClusterMember {
        ClusterMember(
            provider: .baremetal, address: nil, index: 0, roles: [host.isMaster ? HostGroup.master : HostGroup.node])
    }

    private static func launchDigest(_ inputs: Inputs) -> Digest {
        ContentHasher.digest(of: Data("launch \(inputs)".utf8))
    }

    private static func difference(_ name: String, _ host: Host, _ world: World, isFirst: Bool) -> NodeDifference {
        var membership = host.membership
        if membership == .complete, world.isInitialised, !world.nodes.contains(name) { membership = .begun }
        var difference = NodeDifference(host: name, isMaster: host.isMaster, membership: membership)
        let lacking = "it lacks it"
        let isGuest = host.isMaster && !isFirst && membership != .complete
        let way = world.registryHost ?? "*"
        let serves = host.isMaster && (world.registryHost ?? name) == name
        if !host.names || host.pointsAtItself == isGuest || host.isMaster && host.registryWay != way {
            difference.names = lacking
        }
        var aspects: Set<NodeAspect.Name> = [.registryAccess, .podNetwork]
        if serves { aspects.insert(.registry) }
        if !host.isMaster { aspects.insert(.balancer) }
        if host.isMaster { aspects.insert(.authorities) }
        for aspect in aspects.subtracting(host.aspects) { difference.aspects[aspect] = lacking }
        if !host.isMaster, host.registryWay != way { difference.aspects[.balancer] = lacking }
        if host.isMaster, !serves, host.aspects.contains(.registry) || host.hasImage {
            difference.registryEnd = "it has it"
        }
        if world.configs.contains(where: { host.configured[$0.key] != $0.value }) {
            difference.aspects[.configuration] = lacking
        }
        if host.rootfs != world.image || !host.overlaid.isSubset(of: world.configs.keys) {
            difference.rootfs = lacking
            if !world.configs.isEmpty { difference.aspects[.configuration] = lacking }
            if !host.hasRootfsBytes { difference.rootfsBytes = lacking }
        }
        if serves, !host.hasImage { difference.imageBytes = lacking }
        if host.runtime != world.inputs { difference.runtime = lacking }
        if membership == .begun {
            difference.runtime = difference.runtime ?? lacking
            difference.aspects[.podNetwork] = difference.aspects[.podNetwork] ?? lacking
            if host.isMaster { difference.aspects[.authorities] = difference.aspects[.authorities] ?? lacking }
        }
        if host.wantsLabel, !host.isLabelled { difference.label = lacking }
        if membership == .complete, !host.isReady { difference.unready = "kubelet is not there" }
        return difference
    }

    // MARK: - What steps do

    /// What goes wrong with a step: by the seed, the step and the attempt alone, whatever runs beside it, so that a seed is always the
    /// same life.
    private func draw(_ step: PlanStep) -> Fault? {
        let attempt = attempts.withLock { attempts in
            attempts[step.id, default: 0] += 1
            return attempts[step.id] ?? 0
        }
        var hash = seed ^ 14_695_981_039_346_656_037
        for byte in "\(step.id) \(attempt)".utf8 { hash = (hash ^ UInt64(byte)) &* 1_099_511_628_211 }
        var dice = SeededGenerator(seed: hash)
        guard Int.random(in: 0..<1000, using: &dice) < faults else { return nil }
        return Fault.allCases.randomElement(using: &dice)
    }

    func perform(_ step: PlanStep, handle: Step) async throws {
        let fault = draw(step)
        if fault == .before { throw Failure(.unreachable, "lost before the step", at: step.host) }
        let touchesEtcd =
            switch step.action {
            case .initialise, .joinMaster, .removeEtcdMember: true
            default: false
            }
        if touchesEtcd {
            state.withLock { world in
                world.laneUse += 1
                if world.laneUse > 1 { world.violations.append("two steps touch etcd at once: \(step.id)") }
            }
        }
        if step.action == .installRuntime { state.withLock { Self.beginInstallation(step, &$0) } }
        await Task.yield()
        state.withLock { world in
            if touchesEtcd { world.laneUse -= 1 }
            if let host = step.host, world.installing.remove(host) != nil, fault == nil { world.installed.insert(host) }
            Self.act(step, &world, isHalf: fault == .halfway)
        }
        if fault != nil { throw Failure(.timeout, "lost within or after the step", at: step.host) }
    }

    /// Members have their container runtime started anew one at a time, workers several at once when one of them went well.
    private static func beginInstallation(_ step: PlanStep, _ world: inout World) {
        guard let name = step.host, let host = world.hosts[name], host.membership == .complete,
            world.nodes.contains(name)
        else { return }
        let isLikeFirst = host.isMaster || !world.installed.contains { world.hosts[$0]?.isMaster == false }
        if isLikeFirst ? !world.installing.isEmpty : world.installing.count >= Planner.runtimeWidth {
            world.violations.append("\(step.id) began although \(world.installing.sorted()) were at it")
        }
        world.installing.insert(name)
    }

    /// A member must not be led where nothing is.
    private static func lead(_ name: String, _ host: inout Host, _ world: World, _ need: (Bool, String) -> Void) {
        let way = world.registryHost ?? "*"
        if host.membership == .complete, host.registryWay != way {
            let server = world.registryHost ?? (host.isMaster ? name : "")
            let place = server == name ? host : world.hosts[server]
            need(
                server.isEmpty || place?.hasImage == true && place?.aspects.contains(.registry) == true,
                "there are no images at \(server)")
        }
        host.registryWay = way
    }

    private static func act(_ step: PlanStep, _ world: inout World, isHalf: Bool) {
        world.effects.append(step.id)
        world.life.append("\(step.id)\(isHalf ? ", half" : "")")
        func need(_ condition: Bool, _ what: String) {
            if !condition { world.violations.append("\(step.id) began although \(what)") }
        }
        guard let name = step.host, var host = world.hosts[name] else {
            return actOnCluster(step, &world, isHalf: isHalf)
        }
        need(host.isThere, "the host is not there")
        let servers = world.hosts.filter {
            $0.value.isMaster && $0.value.aspects.contains(.registry) && $0.value.hasImage
        }
        let ledTo = host.isMaster ? world.registryHost ?? "*" : host.registryWay ?? ""
        let servesAny = ledTo == "*" ? !servers.isEmpty : servers[ledTo] != nil
        switch step.action {
        case .sendRootfs: host.hasRootfsBytes = !isHalf
        case .sendImage: if !isHalf { (host.hasImage, host.hasRootfsBytes) = (true, true) }
        case .fetchRootfs, .fetchImage:
            need(servesAny, "no registry serves the image")
            // A master that is a member is told the address, and needs no name.
            need(
                host.names || host.isMaster && host.membership == .complete, "it does not know the registry")
            need(host.aspects.contains(.registryAccess), "it does not know the registry's authority")
            need(host.isMaster || host.aspects.contains(.balancer), "its way to the masters does not run")
            if !isHalf {
                host.hasRootfsBytes = true
                if case .fetchImage = step.action { host.hasImage = true }
            }
        case .unpackRootfs:
            need(host.hasRootfsBytes, "the bytes are not there")
            // Unpacked it is at once, and noted after that.
            host.configured = [:]
            if !isHalf { (host.rootfs, host.overlaid) = (world.image, []) }
        case .configure(.configuration):
            need(host.rootfs == world.image, "the rootfs is not there")
            host.overlaid.formUnion(world.configs.keys)
            for (path, version) in world.configs.sorted(by: { $0.key < $1.key }) {
                host.configured[path] = version
                if isHalf { break }
            }
        case .writeNames(let through):
            if host.isMaster { lead(name, &host, world, need) }
            if !isHalf { (host.names, host.pointsAtItself) = (true, through == nil) }
        case .endRegistry:
            let led = world.hosts.filter { other, state in
                let isLed = state.registryWay == name || state.registryWay == "*" && (other == name || !state.isMaster)
                return world.wanted.contains(other) && isLed
            }
            need(led.isEmpty, "\(led.keys.sorted()) are led to it")
            host.aspects.remove(.registry)
            if !isHalf { host.hasImage = false }
        case .configure(let aspect):
            need(aspect != .registry || host.hasRootfsBytes, "its store is empty")
            if aspect == .balancer { lead(name, &host, world, need) }
            if !isHalf { host.aspects.insert(aspect) }
        case .installRuntime:
            need(host.rootfs == world.image, "the rootfs is not there")
            need(host.configured == world.configs, "its files are not what the Config documents say")
            if !isHalf { (host.runtime, host.isReady) = (world.inputs, host.membership == .complete) }
        case .cleanKubernetes:
            if !isHalf {
                world.nodes.remove(name)
                world.etcd.remove(name)
                (host.membership, host.runtime, host.isReady, host.isLabelled) = (.none, nil, false, false)
                host.aspects.remove(.podNetwork)
                host.aspects.remove(.authorities)
            }
        case .initialise:
            need(!world.isInitialised, "there is a cluster already")
            needReady(host, world, need)
            need(host.hasImage && host.aspects.contains(.registry), "its registry does not run")
            begin(&host, world)
            if !isHalf {
                arrive(name, &host, &world)
                world.isInitialised = true
                world.nodes.insert(name)
                world.etcd.insert(name)
                (host.membership, host.isReady) = (.complete, true)
            }
        case .joinMaster, .joinNode:
            need(world.isInitialised, "there is no cluster")
            need(!world.nodes.contains(name), "it is a member already")
            needReady(host, world, need)
            begin(&host, world)
            if !isHalf {
                arrive(name, &host, &world)
                world.nodes.insert(name)
                if host.isMaster {
                    world.etcd.insert(name)
                    host.pointsAtItself = true
                }
                (host.membership, host.isReady) = (.complete, true)
            }
        case .plugin(let plugin, let phase):
            if !isHalf { run(plugin, Plugin.Phase(rawValue: phase), name, &host, &world) }
        case .settle:
            need(host.membership == .complete, "it is no member")
            for plugin in world.plugins where host.isArriving && plugin.phases.contains(.postInitHost) {
                let runs = host.runs["\(plugin.name)/post-init-host", default: 0]
                need(runs == 1, "\(plugin.name) ran \(runs) times after it became a member")
            }
            if !isHalf {
                var mark = NodeMark(cluster: "demo")
                (mark.isArriving, mark.plugins) = (host.isArriving, host.notes)
                mark.settle()
                (host.isArriving, host.notes) = (mark.isArriving == true, mark.plugins)
            }
        case .label:
            need(world.nodes.contains(name), "it is no member")
            if !isHalf { host.isLabelled = true }
        case .reset:
            need(!world.nodes.contains(name), "it is a member still")
            let led = world.wanted.filter { world.hosts[$0]?.registryWay == name }
            need(led.isEmpty, "\(led) are led to its registry")
            if !isHalf { host = Host(isMaster: host.isMaster) }
        default: return actOnCluster(step, &world, isHalf: isHalf)
        }
        world.hosts[name] = host
    }

    private static func begin(_ host: inout Host, _ world: World) {
        host.membership = .begun
        host.isArriving = !world.plugins.isEmpty
    }

    private static func arrive(_ name: String, _ host: inout Host, _ world: inout World) {
        for plugin in world.plugins where plugin.phases.contains(.preInitHost) {
            let key = "\(plugin.name)/pre-init-host"
            if host.runs[key] != 1 {
                world.violations.append(
                    "\(name): \(key) ran \(host.runs[key, default: 0]) times before it became a member")
            }
            host.runs[key] = 0
        }
        for plugin in world.plugins { host.runs["\(plugin.name)/post-init-host"] = 0 }
        for key in world.scaled.keys { world.scaled[key]?.remove(name) }
    }

    private static func run(
        _ name: String, _ phase: Plugin.Phase?, _ hostName: String, _ host: inout Host, _ world: inout World
    ) {
        guard let phase, let plugin = world.plugins.first(where: { $0.name == name }) else {
            return world.violations.append("nothing is known of the plugin \(name)")
        }
        func need(_ condition: Bool, _ what: String) {
            if !condition {
                world.violations.append("\(name) ran at \(phase.rawValue) on \(hostName) although \(what)")
            }
        }
        let isMember = world.nodes.contains(hostName)
        switch phase {
        case .preInstall: need(!world.isInitialised, "there is a cluster")
        case .preInitHost, .preJoin: need(!isMember, "it is a member")
        case .postJoin, .postInitHost: need(isMember, "it is no member")
        case .preLaunch: need(world.launched != world.inputs, "all is launched")
        case .postInstall: need(world.launched == world.inputs, "nothing is launched")
        default: break
        }
        let key = "\(name)/\(phase.rawValue)"
        host.runs[key, default: 0] += 1
        let arriving = world.wanted.filter { name in
            world.hosts[name].map { $0.membership != .complete || $0.isArriving } ?? false
        }
        if phase == .postScaleUp {
            let place = "\(name) on \(hostName)"
            need(!Set(arriving).isSubset(of: world.scaled[place] ?? []), "it ran for \(arriving) already")
            world.scaled[place, default: []].formUnion(arriving)
        }
        do {
            host.notes = (host.notes ?? [:]).merging([
                key: try PluginRules(world.plugins).note(
                    of: plugin, at: phase,
                    .init(
                        isInitialised: true, isInstalling: false, arriving: arriving,
                        launch: launchDigest(world.inputs)))
            ]) { $1 }
        } catch {
            world.violations.append("no note of \(name): \(error)")
        }
    }

    private static func needReady(_ host: Host, _ world: World, _ need: (Bool, String) -> Void) {
        need(host.runtime == world.inputs, "kubelet is not installed")
        need(host.configured == world.configs, "its files are not what the Config documents say")
        need(host.aspects.contains(.podNetwork), "its pods are not connected")
        need(!host.isMaster || host.aspects.contains(.authorities), "the authorities are not there")
        need(host.membership == .none, "the remains of an earlier start are there")
        need(host.names, "it does not know the API server")
    }

    private static func actOnCluster(_ step: PlanStep, _ world: inout World, isHalf: Bool) {
        func need(_ condition: Bool, _ what: String) {
            if !condition { world.violations.append("\(step.id) began although \(what)") }
        }
        switch step.action {
        case .provision: if !isHalf { for name in world.wanted { world.hosts[name]?.isThere = true } }
        case .waitForNodes:
            let lagging = world.nodes.intersection(world.wanted).filter { world.hosts[$0]?.isReady != true }
            need(lagging.isEmpty, "\(lagging.sorted()) will never be ready")
        case .waitForPods:
            need(world.launched == world.inputs, "nothing was launched")
            if !isHalf { world.seenWell = world.launched }
        case .launch:
            need(world.isInitialised, "there is no cluster")
            need(
                step.host.flatMap { world.hosts[$0] }?.configured == world.configs,
                "the files are not what the Config documents say")
            if !isHalf {
                world.launched = world.inputs
                world.launches.append(world.image)
            }
        case .record:
            need(world.isInitialised, "there is no cluster")
            need(world.seenWell == world.launched, "nobody has seen the pods well")
            if !isHalf { world.recorded = world.inputs }
        case .drain(let node): if !isHalf { world.drained.insert(node) }
        case .removeEtcdMember(let node):
            need(world.drained.contains(node), "it was not drained")
            need(world.etcd.subtracting([node]).count >= 1, "no member of etcd would be left")
            if !isHalf { world.etcd.remove(node) }
        case .removeNode(let node):
            need(!world.etcd.contains(node), "it is a member of etcd still")
            if !isHalf { world.nodes.remove(node) }
        default: world.violations.append("\(step.id) is a step that nothing is known of")
        }
    }
}
