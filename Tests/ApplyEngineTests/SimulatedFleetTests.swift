import ClusterRuntime
import Clusterfile
import FoundationEssentials
import OCI
import Report
import TestSupport
import Testing

@testable import ApplyEngine
@testable import Simulation

/// The life of clusters, many of them, each drawn by a number: `SEALER_FLEET_SEED=17` replays one alone, `SEALER_FLEET_LIVES` says
/// how many there are.
@Suite("A simulated fleet")
struct SimulatedFleetTests {
    private static var seeds: [UInt64] {
        let environment = ProcessInfo.processInfo.environment
        if let seed = environment["SEALER_FLEET_SEED"].flatMap(UInt64.init) { return [seed] }
        return Array(0..<(environment["SEALER_FLEET_LIVES"].flatMap(UInt64.init) ?? 1000))
    }

    private static let plugins: [Plugin] = [
        Plugin(name: "all", kind: .shell, phases: Plugin.Phase.allCases, data: "true"),
        Plugin(
            name: "hosts", kind: .shell, phases: [.preInitHost, .postInitHost, .postScaleUp], scope: ["all"],
            data: "true"),
        Plugin(name: "nodes", kind: .shell, phases: [.postJoin, .postScaleUp], scope: ["node"], data: "true"),
    ]

    private func plan(_ fleet: SimulatedFleet) throws -> Plan {
        try Planner.plan(cluster: "demo", image: ContentDigest.sample, try fleet.difference())
    }

    /// Applies until all is well, as somebody would who runs the command again after each failure.
    private func converge(_ fleet: SimulatedFleet, seed: UInt64, concurrency: Int) async throws {
        for attempt in 0..<60 {
            let plan = try plan(fleet)
            if plan.isEmpty {
                fleet.change { world in
                    for name in world.wanted {
                        let configured = world.hosts[name]?.configured
                        #expect(configured == world.configs, "seed \(seed): the files of \(name)")
                    }
                }
                return
            }
            fleet.change { ($0.effects, $0.installed) = ([], []) }
            let outcome = await PlanExecutor(
                performer: fleet, progress: SilentProgress(), journal: RecordedJournal(), concurrency: concurrency
            ).execute(plan)
            let (violations, effects) = fleet.change { ($0.violations, $0.effects) }
            #expect(violations == [], "seed \(seed), attempt \(attempt)")
            #expect(Set(effects).isSubset(of: plan.steps.map(\.id)), "seed \(seed): a step that was not planned")
            #expect(effects.count == Set(effects).count, "seed \(seed): a step was done twice")
            if outcome.failure(resume: "") == nil {
                #expect(
                    Set(outcome.done) == Set(plan.steps.map(\.id)),
                    "seed \(seed): what was done is not what was planned")
                #expect(try self.plan(fleet).isEmpty, "seed \(seed): a finished apply leaves something to plan")
            }
            guard violations.isEmpty else { return }
        }
        Issue.record(
            "seed \(seed): not what the Clusterfile says after 60 attempts: \(try plan(fleet).steps.map(\.summary))")
    }

    @Test("each of many lives converges after every change and fault, and does what its plan says")
    func lives() async throws {
        for seed in Self.seeds {
            var dice = SeededGenerator(seed: seed &* 0x9e37_79b9_7f4a_7c15 &+ 1)
            let fleet = SimulatedFleet(
                masters: [1, 1, 3, 5].randomElement(using: &dice) ?? 1, nodes: Int.random(in: 0...6, using: &dice),
                isContainer: Bool.random(using: &dice), faults: [0, 30, 150].randomElement(using: &dice) ?? 0,
                plugins: Bool.random(using: &dice) ? Self.plugins : [], seed: seed)
            let concurrency = Int.random(in: 1...16, using: &dice)
            if Bool.random(using: &dice) { fleet.change { $0.isSingle = true } }
            if Bool.random(using: &dice) { fleet.change { $0.configs = ["a": 1, "b": 1] } }
            try await converge(fleet, seed: seed, concurrency: concurrency)
            for _ in 0..<Int.random(in: 1...3, using: &dice) {
                fleet.changeAtRandom(&dice)
                try await converge(fleet, seed: seed, concurrency: concurrency)
            }
        }
    }

    @Test("a seed is always the same life")
    func replay() async throws {
        for seed: UInt64 in 1...20 {
            var lives: [[String]] = []
            for _ in 0..<3 {
                var dice = SeededGenerator(seed: seed)
                let fleet = SimulatedFleet(
                    masters: 3, nodes: 5, isContainer: false, faults: 150, plugins: Self.plugins, seed: seed)
                try await converge(fleet, seed: seed, concurrency: 16)
                fleet.changeAtRandom(&dice)
                try await converge(fleet, seed: seed, concurrency: 16)
                // Steps of one plan end in any order.
                lives.append(fleet.change { $0.life.sorted() })
            }
            #expect(lives[0].count > 50)
            #expect(lives[0] == lives[1] && lives[1] == lives[2], "seed \(seed)")
        }
    }

    @Test("a thousand hosts are planned and applied")
    func thousand() async throws {
        let fleet = SimulatedFleet(masters: 3, nodes: 997, isContainer: false, faults: 0, seed: 1)
        let plan = try plan(fleet)
        #expect(plan.steps.count > 7000)
        try await converge(fleet, seed: 1, concurrency: 64)
        #expect(fleet.change { $0.nodes.count } == 1000)
    }
}

extension SimulatedFleet {
    /// Something happens to the cluster, or its Clusterfile is changed.
    func changeAtRandom(_ dice: inout SeededGenerator) {
        let choice = Int.random(in: 0..<10, using: &dice)
        let number = Int.random(in: 0..<1_000_000, using: &dice)
        change { world in
            let nodes = world.wanted.filter { world.hosts[$0]?.isMaster == false }
            let masters = world.wanted.filter { world.hosts[$0]?.isMaster == true }
            switch choice {
            case 0:
                for suffix in ["a", "b"].prefix(number % 2 + 1) {
                    let name = "x\(number)\(suffix)"
                    world.hosts[name] = Host(isMaster: false)
                    world.wanted.append(name)
                }
            case 1: if let node = nodes.first { world.wanted.removeAll { $0 == node } }
            case 2:
                // Another image: everything on the hosts is of the old one.
                world.image += 1
                for name in world.hosts.keys {
                    world.hosts[name]?.hasImage = false
                    world.hosts[name]?.hasRootfsBytes = false
                }
            case 3:
                // Somebody tampers with a host.
                if !world.wanted.isEmpty {
                    let name = world.wanted[number % world.wanted.count]
                    world.hosts[name]?.aspects.remove(.podNetwork)
                    world.hosts[name]?.names = false
                    for path in world.configs.keys { world.hosts[name]?.configured[path] = -1 }
                }
            case 7: world.isSingle.toggle()
            case 8:
                // Another first master.
                if let last = masters.last {
                    world.wanted.removeAll { $0 == last }
                    world.wanted.insert(last, at: 0)
                }
            case 5: world.configs[number.isMultiple(of: 2) ? "a" : "c"] = number
            case 6: if let path = world.configs.keys.min() { world.configs[path] = nil }
            case 4:
                // Masters come in pairs, so that their number stays odd.
                for suffix in ["a", "b"] {
                    let name = "y\(number)\(suffix)"
                    world.hosts[name] = Host(isMaster: true)
                    world.wanted.append(name)
                }
            default:
                if masters.count > 2, let gone = masters.first { world.wanted.removeAll { $0 == gone } }
            }
        }
    }
}
