import Clusterfile
import Remote
import Report
import TestSupport
import Testing

@testable import ApplyEngine
@testable import ClusterRuntime
@testable import Simulation

/// A worker that does not answer keeps nobody else from what they need, and no command with it is called a success.
@Suite("A host that does not answer")
struct UnreachedHostTests {
    private func switchOff(_ address: String, _ site: SimulatedSite) {
        site.change { state in
            state.machines[address]?.isOff = true
            for name in state.nodes.keys where state.nodes[name]?.address == address {
                state.nodes[name]?.isReady = false
            }
        }
    }

    private func switchOn(_ address: String, _ site: SimulatedSite) {
        site.change { state in
            state.machines[address]?.isOff = false
            for name in state.nodes.keys where state.nodes[name]?.address == address {
                state.nodes[name]?.isReady = true
            }
        }
    }

    /// The hosts are nobody's again.
    private func delete(_ site: SimulatedSite) async throws {
        _ = try await site.engine.delete("fleet")
        site.change { state in
            (state.nodes, state.etcd, state.record, state.isAlone) = ([:], [], nil, nil)
        }
    }

    @Test("is a master that leaves: it is out of etcd before one that lives leaves too, so that most members live")
    func deadMasterFirst() async throws {
        let scratch = try Scratch()
        var site = try await SimulatedSite.make(scratch.path, masters: ["10.0.0.2", "10.0.0.3", "10.0.0.4"])
        site.kill("10.0.0.4")
        site.draft.masters = ["10.0.0.3"]
        try await site.apply()
        #expect(site.world.with { $0.violations } == [])
        #expect(site.world.with { $0.etcd } == ["host-10-0-0-3"])
    }

    @Test("is named, the others are changed, and when it answers it alone is what remains")
    func worker() async throws {
        let scratch = try Scratch()
        var site = try await SimulatedSite.make(scratch.path)
        switchOff("10.0.1.1", site)
        // With nothing else to do, that is all that there is to be told, and nothing is written.
        let before = site.world.with { $0.machines.mapValues(\.files) }
        let idle = try await site.engine.plan(try site.draft.cluster())
        #expect(
            idle.steps.map(\.summary)
                == ["10.0.1.1: get to the host (it does not answer, so what it needs is not known)"])
        let failure = await #expect(throws: Failure.self) { try await site.apply() }
        #expect(failure?.kind == .unreachable)
        let words = try #require(failure.map { "\($0)" })
        #expect(words.contains("10.0.1.1: could not get to the host") && words.contains("no route to host"), "\(words)")
        #expect(site.world.with { $0.machines.mapValues(\.files) } == before)

        // Another label, and a host that comes.
        site.draft.disk = "hdd"
        site.draft.alias = "new.local"
        site.world.add("10.0.1.3")
        site.draft.workers.append("10.0.1.3")
        let partial = await #expect(throws: Failure.self) { try await site.apply() }
        #expect(partial?.kind == .unreachable)
        #expect(site.world.with { $0.violations } == [])
        #expect(site.world.with { $0.nodes["host-10-0-1-2"]?.labels["disk"] } == "hdd")
        #expect(site.world.with { $0.nodes["host-10-0-1-3"]?.isReady } == true)
        #expect(site.world.with { $0.nodes["host-10-0-1-1"]?.labels["disk"] } == "ssd")

        switchOn("10.0.1.1", site)
        let rest = try await site.apply()
        #expect(Set(rest.steps.compactMap(\.host)) == ["10.0.1.1", "10.0.0.2"], "\(rest.steps.map(\.summary))")
        #expect(rest.steps.filter { $0.host == "10.0.0.2" }.map(\.id) == ["record"])
        #expect(site.world.with { $0.nodes["host-10-0-1-1"]?.labels["disk"] } == "hdd")
        #expect(try await site.apply().isEmpty)
    }

    @Test("and is to be a member holds up what waits for all members; the others become members")
    func newcomer() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        try await delete(site)
        switchOff("10.0.1.2", site)
        let failure = await #expect(throws: Failure.self) { try await site.apply() }
        #expect(failure?.kind == .unreachable)
        #expect(Set(site.world.with { $0.nodes.keys }) == ["host-10-0-0-2", "host-10-0-1-1"])
        #expect(site.world.with { $0.record?[ClusterBlueprint.RecordKey.launch] } == nil)
        let plan = try await site.engine.plan(try site.draft.cluster())
        #expect(plan.steps.map(\.id) == ["reach/10.0.1.2", "ready", "launch", "pods", "record"])
        switchOn("10.0.1.2", site)
        try await site.apply()
        #expect(site.world.with { $0.violations } == [])
        #expect(try await site.apply().isEmpty)
    }

    @Test("leaves the registry of a master that leaves where it is, for it is led there")
    func led() async throws {
        let scratch = try Scratch()
        var site = try await SimulatedSite.make(scratch.path, masters: ["10.0.0.2", "10.0.0.3", "10.0.0.4"])
        switchOff("10.0.1.1", site)
        site.draft.masters.removeLast()
        site.draft.workers.removeLast()
        await #expect(throws: Failure.self) { try await site.apply() }
        #expect(Set(site.world.with { $0.nodes.keys }) == ["host-10-0-0-2", "host-10-0-0-3", "host-10-0-1-1"])
        #expect(site.world.with { $0.machines["10.0.0.4"]?.services[RegistryService.unit]?.isActive } == true)
        // A worker is led to by nobody.
        #expect(site.world.with { $0.machines["10.0.1.2"]?.services.isEmpty } == true)
        switchOn("10.0.1.1", site)
        try await site.apply()
        #expect(site.world.with { $0.machines["10.0.0.4"]?.services.isEmpty } == true)
        #expect(try await site.apply().isEmpty)
    }

    @Test(
        "is nobody whom the others can do without when it is a master, or when it does not let in: nothing is written")
    func needed() async throws {
        let scratch = try Scratch()
        var site = try await SimulatedSite.make(scratch.path, masters: ["10.0.0.2", "10.0.0.3", "10.0.0.4"])
        site.draft.disk = "hdd"
        let before = site.world.with { $0.writes }
        switchOff("10.0.0.3", site)
        switchOff("10.0.1.1", site)
        let failure = await #expect(throws: Failure.self) { try await site.apply() }
        #expect(failure?.kind == .unreachable)
        // Both are named.
        let words = try #require(failure.map { "\($0)" })
        #expect(words.contains("10.0.0.3: no route") && words.contains("10.0.1.1: no route"), "\(words)")
        #expect(site.world.with { $0.writes } == before)
        let place = try #require(try await SimulatedInfra(world: site.world).places(of: site.draft.cluster()).last)
        #expect(UnreachedHost(place, Failure(.unreachable, "no route")) != nil)
        #expect(UnreachedHost(place, Failure(.timeout, "silence")) != nil)
        #expect(UnreachedHost(place, Failure(.denied, "the password is wrong")) == nil)
    }

    @Test("does not make a master that is alone for the moment take pods")
    func notAlone() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        try await delete(site)
        for address in site.draft.workers { switchOff(address, site) }
        await #expect(throws: Failure.self) { try await site.apply() }
        #expect(site.world.with { $0.isAlone } == false)
    }

    @Test("is noted also when it goes silent in the middle of looking")
    func middle() async throws {
        let scratch = try Scratch()
        var site = try await SimulatedSite.make(scratch.path)
        site.draft.disk = "hdd"
        site.change { $0.machines["10.0.1.1"]?.lastWord = "inspect" }
        let failure = await #expect(throws: Failure.self) { try await site.apply() }
        #expect(failure.map { "\($0)".contains("10.0.1.1: could not get to the host") } == true)
        #expect(site.world.with { $0.nodes["host-10-0-1-2"]?.labels["disk"] } == "hdd")
    }

    @Test("is a master whatever the Clusterfile calls it now, and gives its name to no other host: nothing is written")
    func keepsWhatItIs() async throws {
        let scratch = try Scratch()
        var site = try await SimulatedSite.make(scratch.path, masters: ["10.0.0.2", "10.0.0.3", "10.0.0.4"])
        let before = site.world.with { $0.writes }
        switchOff("10.0.0.4", site)
        let draft = site.draft
        site.draft.masters = ["10.0.0.2", "10.0.0.3"]
        site.draft.workers.append("10.0.0.4")
        let failure = await #expect(throws: Failure.self) { try await site.apply() }
        #expect(failure?.what == "no route to host" && failure?.place == "10.0.0.4", "\(String(describing: failure))")
        #expect(site.world.with { $0.writes } == before)
        switchOn("10.0.0.4", site)
        site.draft = draft

        switchOff("10.0.1.2", site)
        site.world.add("10.0.1.3", hostname: "host-10-0-1-2")
        site.draft.workers.append("10.0.1.3")
        let double = await #expect(throws: Failure.self) { try await site.apply() }
        #expect(double?.kind == .invalidInput, "\(String(describing: double))")
        let words =
            "10.0.1.3: its host name host-10-0-1-2 is that of the silent member at 10.0.1.2 too"
        #expect(double?.what.contains(words) == true, "\(String(describing: double))")
    }

    @Test("keeps a host that left from being taken back twice, and notes from going that are its own too")
    func leftBehind() async throws {
        let scratch = try Scratch()
        var site = try await SimulatedSite.make(scratch.path)
        switchOff("10.0.1.1", site)
        site.draft.workers = ["10.0.1.1"]
        await #expect(throws: Failure.self) { try await site.apply() }
        #expect(site.world.with { $0.machines["10.0.1.2"]?.services.isEmpty } == true)
        #expect(
            try site.folder.readCluster(site.folder.members)?.members.map { $0.address?.description } == [
                "10.0.0.2", "10.0.1.1",
            ])
        #expect(try await site.engine.plan(try site.draft.cluster()).steps.map(\.id) == ["reach/10.0.1.1", "record"])
    }

    /// A difference of a master, with a worker that does not answer.
    private func difference(_ change: (inout ClusterDifference) -> Void) throws -> Plan {
        var difference = ClusterDifference(
            hosts: [NodeDifference(host: "a", isMaster: true)], first: "a", isInitialised: true,
            unreached: [UnreachedMember(host: "b", isMember: true)])
        change(&difference)
        return try Planner.plan(cluster: "demo", image: ContentDigest.sample, difference)
    }

    @Test("is not taken for a host that is to be made, and holds up what its own scripts hang on")
    func planned() throws {
        let cluster = try Cluster.parse(
            """
            apiVersion: sealer.io/v2
            kind: Cluster
            metadata: {name: demo}
            spec:
              image: demo
              provider: container
              masters: {count: 1}
              nodes: {count: 2}
            """, file: "Clusterfile"
        ).cluster
        let names = [(name: "a", isMaster: true), (name: "b", isMaster: false), (name: "c", isMaster: false)]
        let mixed = try difference {
            $0.add(
                fresh: .fresh(cluster, hosts: names, podNetworking: .bridge, reason: "c is not there"),
                order: names.map(\.name), registered: ["b"])
        }
        #expect(mixed.steps.filter { $0.host == "b" }.map(\.id) == ["reach/b"])
        #expect(mixed.steps.contains { $0.id == "join/c" })

        let forgetting = try difference { $0.hosts[0].forgets = "it has notes" }
        #expect(forgetting.steps.first { $0.id == "forget/a" }?.after.contains("reach/b") == true)
        // Pods are well, and launched, only with what the cluster was told.
        let told = try difference {
            $0.configuration = .init(parts: [.kubeProxy], reason: "other settings")
            ($0.launch, $0.pods) = ("another image", "not seen")
        }
        for id in ["pods", "launch"] {
            #expect(told.steps.first { $0.id == id }?.after.contains("upload-configuration") == true, "\(id)")
        }
    }
}
