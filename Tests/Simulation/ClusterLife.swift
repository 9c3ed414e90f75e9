import ApplyEngine
import ClusterRuntime
import Clusterfile
import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Remote
import Report
import SystemPackage
import TestSupport

/// The life of one cluster under the whole engine, on hosts behind `Transport`: it is made, its Clusterfile changes, hosts lose
/// their disks and others die, and connections break wherever the seed says. What must hold all the time is checked all the time.
package struct ClusterLife: Sendable {
    /// What did not hold.
    package struct BrokenPromise: Error, CustomStringConvertible {
        /// The life's number, which replays it.
        package var seed: UInt64
        /// What was seen.
        package var what: String

        /// Says what did not hold.
        package init(seed: UInt64, what: String) {
            self.seed = seed
            self.what = what
        }

        /// A line for people.
        package var description: String { "seed \(seed): \(what)" }
    }

    let seed: UInt64
    let world: SimulatedWorld
    let store: ImageStore
    let folder: ClusterFolder
    let engine: Engine
    private var dice: SeededGenerator
    private var draft: ClusterDraft
    private let faults: Int
    /// Many small ones find more in the same time than few large ones; some are large.
    private let isLarge: Bool

    /// Begins a life.
    ///
    /// - Parameters:
    ///   - seed: says all that happens in it.
    ///   - store: a store with the simulated image.
    ///   - state: a folder of its own for what the operator's machine keeps.
    ///   - authorities: a folder with authorities for it; nil to have them made. Keys cost more than all else of a life.
    package init(seed: UInt64, store: ImageStore, state: FilePath, authorities: FilePath? = nil) {
        self.seed = seed
        self.store = store
        isLarge = seed % 8 == 0
        dice = SeededGenerator(seed: seed &* 0x9e37_79b9_7f4a_7c15 &+ 3)
        faults = [0, 10, 40].randomElement(using: &dice) ?? 0
        world = SimulatedWorld(seed: seed, faults: faults)
        draft = ClusterDraft(
            masters: (2..<(2 + ([1, 1, 3].randomElement(using: &dice) ?? 1))).map { "10.0.0.\($0)" },
            workers: (0..<Int.random(in: 0...(isLarge ? 4 : 1), using: &dice)).map { "10.0.1.\($0 + 1)" },
            ha: Bool.random(using: &dice), hasPlugins: Bool.random(using: &dice))
        draft.authorities = authorities?.string
        for address in draft.masters + draft.workers { world.add(address) }
        folder = ClusterFolder(state: state, cluster: "fleet")
        engine = Self.engine(world, store, state)
    }

    /// The real engine, with the world's hosts.
    static func engine(_ world: SimulatedWorld, _ store: ImageStore, _ state: FilePath) -> Engine {
        Engine(
            store: store, state: state, infra: SimulatedInfra(world: world),
            connector: SimulatedConnector(world: world),
            makeRuntime: {
                SimulatedKubernetes(
                    world: world, version: $0.version.description, wanted: try ConfigurationFields($0))
            },
            progress: SilentProgress(), clock: VirtualClock())
    }

    /// Lives it to its end.
    ///
    /// - Throws: `BrokenPromise`, or what the engine threw where nothing was wrong with the hosts.
    package consuming func run() async throws {
        var life = self
        try await life.live()
    }

    private mutating func live() async throws {
        let before = world.with { $0.machines }
        try await converge()
        try checkPlugins(isExact: faults == 0)
        for change in 0..<Int.random(in: 1...(isLarge ? 3 : 2), using: &dice) {
            draft.change(world, number: change, &dice)
            if let worker = draft.workers.randomElement(using: &dice), Bool.random(using: &dice) {
                try await applyWithout(worker)
            }
            try await converge()
        }
        world.with { $0.faults = 0 }
        _ = try await engine.delete("fleet")
        for (address, machine) in world.with({ $0.machines }) where before[address] != nil && !machine.isOff {
            try check(machine.programs == [], "\(machine.programs) left on \(address)")
            try check(machine.files == before[address]?.files, "\(machine.files.keys.sorted()) left on \(address)")
            try check(machine.services.isEmpty && machine.blobs.isEmpty, "services or blobs left on \(address)")
            try check(
                machine.hostname == before[address]?.hostname || machine.hostname.hasPrefix("heir-"),
                "\(address) is called \(machine.hostname)")
        }
    }

    func check(_ holds: Bool, _ what: @autoclosure () -> String) throws {
        guard holds else { throw BrokenPromise(seed: seed, what: what()) }
    }

    private func checkNothingIsViolated(_ when: String) throws {
        let violations = world.with { $0.violations }
        try check(violations == [], "\(violations), \(when)")
    }

    // MARK: - Applying

    /// Runs a command that changes nothing, again when a connection broke.
    private func again<Result>(_ body: () async throws -> Result) async throws -> Result {
        for _ in 0..<60 {
            do { return try await body() } catch  where world.with({ $0.faults > 0 }) { continue }
        }
        return try await body()
    }

    /// Applies until it ends well, as somebody would who runs the command again after each failure.
    private func converge() async throws {
        let cluster = try draft.cluster()
        for attempt in 0..<60 {
            // Whoever runs it again does not look at the plan alone first.
            let planned = attempt == 0 ? try await again { try await engine.plan(cluster) } : nil
            var reader = JournalReader(life: self)
            try reader.skip()
            do {
                let applied = try await engine.apply(cluster, .init()) { plan in
                    guard let planned else { return }
                    // Where a fault kept a worker or a host that leaves from being looked at, it is another one.
                    let isAnother =
                        faults > 0 && (plan.isPartial || planned.isPartial || plan.staying == planned.staying)
                    try check(
                        plan == planned || isAnother,
                        "the plan that is executed is not the one that is shown: \(plan.differences(from: planned))")
                }
                try check(!applied.plan.isPartial, "what did not answer is no success")
                try reader.checkSuccess(of: applied.plan)
            } catch let promise as BrokenPromise {
                throw promise
            } catch {
                try checkNothingIsViolated("attempt \(attempt)")
                try reader.checkFailure()
                guard world.with({ $0.faults > 0 }) else { throw error }
                continue
            }
            try checkNothingIsViolated("attempt \(attempt)")
            try await checkThatNothingIsLeft(cluster)
            return try await checkHosts(cluster)
        }
        throw BrokenPromise(seed: seed, what: "not what the Clusterfile says after 60 attempts")
    }

    private func checkThatNothingIsLeft(_ cluster: Cluster) async throws {
        let before = world.with { $0.writes }
        world.with { $0.faults = 0 }
        _ = try await engine.apply(cluster, .init()) { rest in
            try check(rest.isEmpty, "a finished apply leaves something to plan: \(rest.steps.map(\.summary))")
        }
        try check(world.with { $0.writes } == before, "an apply with nothing to do wrote something")
        world.with { $0.faults = faults }
    }

    /// Looks at the hosts themselves, past all that sealer says.
    private func checkHosts(_ cluster: Cluster) async throws {
        let fields = try ConfigurationFields(
            engine.settings(of: cluster, image: try await store.clusterImage(cluster.image)))
        try check(
            try world.with { $0.proxy } == fields.digest(of: .kubeProxy), "kube-proxy was told something else")
        let kubelet = Data(try fields.digest(of: .kubelet).description.utf8)
        let machines = world.with { $0.machines }
        for address in draft.masters + draft.workers {
            try check(
                machines[address]?.files[ClusterBlueprint.kubeletFiles[0]]?.bytes == kubelet,
                "kubelet of \(address) has another configuration")
        }
        for address in draft.masters {
            let serves = draft.ha || address == draft.masters[0]
            let machine = machines[address]
            try check(
                machine?.services[RegistryService.unit]?.isActive ?? false == serves, "the registry of \(address)")
            try check(machine?.hasImage == serves, "the image of \(address)")
            let names = String(decoding: machine?.files["/etc/hosts"]?.bytes ?? Data(), as: UTF8.self)
            try check(
                names.contains(
                    serves
                        ? "\(address)\tapiserver.cluster.local sea.hub\n"
                        : "\(address)\tapiserver.cluster.local\n\(draft.masters[0])\tsea.hub\n"),
                "\(address) knows \(names)")
        }
        for (address, machine) in machines
        where !machine.isOff && !(draft.masters + draft.workers).contains(address) {
            try check(
                machine.isClean,
                "\(address) left, and has \(machine.files.keys.sorted()) \(machine.programs)")
        }
        let nodes = world.with { Array($0.nodes.values) }
        try check(nodes.count == draft.masters.count + draft.workers.count, "nodes: \(nodes.map(\.name))")
        try check(nodes.allSatisfy(\.isSchedulable), "a node that stays takes no pods")
        let starts = world.with { $0.kubeletStarts }
        for node in nodes {
            try check(!node.isStale(since: starts[node.name]), "\(node.name) has not reported since its kubelet runs")
        }
    }

    /// Applies while a worker is switched off: its node stays as it is, the others get what they need, and nothing is called done.
    private func applyWithout(_ worker: String) async throws {
        let before = world.with { state in
            state.machines[worker]?.isOff = true
            for name in state.nodes.keys where state.nodes[name]?.address == worker {
                state.nodes[name]?.isReady = false
            }
            return state.nodes.values.first { $0.address == worker }
        }
        let cluster = try draft.cluster()
        var reader = JournalReader(life: self)
        try reader.skip()
        do {
            _ = try await engine.apply(cluster, .init()) { plan in
                try check(
                    plan.steps.filter { $0.host == worker }.allSatisfy { $0.action == .reach },
                    "something is planned on \(worker), which is off")
            }
            throw BrokenPromise(seed: seed, what: "\(worker) is off, and that was a success")
        } catch is Failure {
            try reader.checkFailure()
        }
        try checkNothingIsViolated("without \(worker)")
        // What remains concerns that worker, or waits for it.
        if world.with({ $0.faults == 0 }) {
            let rest = try await engine.plan(cluster)
            let ids = Set(rest.steps.map(\.id))
            let waiting = rest.steps.filter { step in
                step.id.hasPrefix("reach/") || [.verify, .launch].contains(step.phase)
                    // A registry to which that worker is led; a worker that left is reset and done with.
                    // The look at etcd before that is repeated with it.
                    || step.id.hasPrefix("etcd/") && ids.contains("reset" + step.id.dropFirst(4))
                    || step.phase == .clean && !["reset/10.0.1.", "reset/10.0.2."].contains(where: step.id.hasPrefix)
            }
            try check(
                before == nil || rest.steps.count == waiting.count, "left to do: \(rest.steps.map(\.summary))")
        }
        try check(
            before == nil || world.with { $0.nodes.values.contains { $0.address == worker } },
            "the node of \(worker) is gone")
        world.with { state in
            state.machines[worker]?.isOff = false
            for name in state.nodes.keys where state.nodes[name]?.address == worker {
                state.nodes[name]?.isReady = true
            }
        }
    }

    /// Looks at how often scripts ran on each machine.
    private func checkPlugins(isExact: Bool) throws {
        guard draft.hasPlugins else { return }
        for address in draft.masters + draft.workers {
            let runs = world.with { $0.machines[address]?.plugins.count ?? 0 }
            try check(isExact ? runs == 2 : runs >= 2, "plugins ran \(runs) times on \(address)")
        }
    }
}

extension Plan {
    /// Whether there are hosts that did not answer.
    var isPartial: Bool { steps.contains { $0.action == .reach } }

    /// The steps that have nothing to do with hosts that leave: of those that do not answer less is planned.
    var staying: [PlanStep.ID] {
        let leaving = ["drain/", "etcd/", "remove/", "reset/", "record"]
        return steps.map(\.id).filter { id in !leaving.contains(where: id.hasPrefix) && !id.contains("-clean-host/") }
    }
}
