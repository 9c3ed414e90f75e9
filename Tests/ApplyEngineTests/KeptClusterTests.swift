import ClusterRuntime
import Clusterfile
import FoundationEssentials
import Report
import SystemPackage
import TestSupport
import Testing

@testable import ApplyEngine
@testable import Simulation

@Suite("What a cluster must not lose")
struct KeptClusterTests {
    @Test("the only master of a cluster is not begun anew where somebody has deleted its node")
    func deletedNode() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        let before = site.world.with { $0.writes }
        site.change { $0.nodes["host-10-0-0-2"] = nil }
        let failure = await #expect(throws: Failure.self) { try await site.apply() }
        #expect(failure?.kind == .conflict && failure?.place == "10.0.0.2", "\(String(describing: failure))")
        #expect(failure?.remedy?.contains("systemctl restart kubelet") == true)
        #expect(site.world.with { $0.writes } == before && site.world.with { $0.etcd } == ["host-10-0-0-2"])
    }

    @Test("one of several is begun anew through another one, which is destructive")
    func deletedNodeOfMany() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path, masters: ["10.0.0.2", "10.0.0.3", "10.0.0.4"])
        site.change { $0.nodes["host-10-0-0-2"] = nil }
        let plan = try await site.engine.plan(try site.draft.cluster())
        let clean = try #require(plan.steps.first { $0.id == "clean/10.0.0.2" })
        #expect(clean.isDestructive && clean.title == "end the former membership", "\(clean)")
        try await site.apply()
        #expect(site.world.with { $0.violations } == [])
        #expect(site.world.with { $0.etcd.count } == 3 && site.world.with { $0.nodes.count } == 5)
        #expect(try await site.apply().isEmpty)
    }

    @Test("other masters in the Clusterfile do not make a second, empty cluster beside the one that is there")
    func otherMasters() async throws {
        let scratch = try Scratch()
        var site = try await SimulatedSite.make(scratch.path)
        site.world.add("10.0.0.9")
        site.draft.masters = ["10.0.0.9"]
        let failure = await #expect(throws: Failure.self) { try await site.apply() }
        #expect(
            failure?.kind == .conflict && failure?.what.contains("10.0.0.2") == true, "\(String(describing: failure))")
        #expect(site.world.with { $0.etcd } == ["host-10-0-0-2"] && site.world.with { $0.nodes.count } == 3)
        // The way that the message tells.
        site.draft.masters = ["10.0.0.2", "10.0.0.9"]
        try await site.apply()
        site.draft.masters = ["10.0.0.9"]
        try await site.apply()
        #expect(site.world.with { $0.violations } == [] && site.world.with { $0.etcd } == ["host-10-0-0-9"])
        #expect(try await site.apply().isEmpty)
    }

    @Test("a cluster whose only master lost its disk is told to be lost, and its workers come to the new one at once")
    func lostMaster() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        site.change { state in
            let name = state.machines["10.0.0.2"]?.hostname ?? ""
            state.machines["10.0.0.2"] = .init(hostname: name)
            (state.nodes, state.etcd, state.record) = ([:], [], nil)
        }
        let plan = try await site.engine.plan(try site.draft.cluster())
        let start = try #require(plan.steps.first { $0.id == "init" })
        #expect(start.isDestructive && start.reason.contains("the masters of the cluster are gone"), "\(start)")
        try await site.apply()
        #expect(site.world.with { $0.violations } == [] && site.world.with { $0.nodes.count } == 3)
        #expect(try await site.apply().isEmpty)
    }

    @Test("a master whose own API server does not answer is something to do, though another one's does")
    func deafMaster() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path, masters: ["10.0.0.2", "10.0.0.3", "10.0.0.4"])
        site.change { $0.deafMasters = ["10.0.0.3"] }
        let plan = try await site.engine.plan(try site.draft.cluster())
        #expect(plan.steps.map(\.id) == ["ready", "pods"])
        #expect(plan.steps.first?.reason == "10.0.0.3: its API server does not answer")
        let status = try await site.status()
        #expect(status.drift?.contains { $0.contains("its API server does not answer") } == true, "\(status)")
    }

    @Test("a node that is Ready by what its kubelet said before it was started is waited for")
    func startedKubelet() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        site.change { $0.kubeletStarts["host-10-0-1-1"] = 100 }
        let plan = try await site.engine.plan(try site.draft.cluster())
        #expect(plan.steps.first?.reason == "10.0.1.1: its kubelet was started and has not reported since")
        try await site.apply()
        #expect(try await site.apply().isEmpty)
    }

    @Test("a host that was to leave, and stays after all, takes pods again")
    func stays() async throws {
        let scratch = try Scratch()
        var site = try await SimulatedSite.make(scratch.path)
        let (draft, path) = (site.draft, "/var/lib/sealer/node.json")
        let node = site.world.with { $0.nodes["host-10-0-1-2"] }
        site.draft.workers.removeLast()
        // It is noted before its pods are moved.
        site.change { $0.machines["10.0.1.2"]?.lastWord = "run" }
        await #expect(throws: Failure.self) { try await site.apply() }
        let bytes = try #require(site.world.with { $0.machines["10.0.1.2"]?.files[path]?.bytes })
        #expect(try JSONDecoder().decode(NodeMark.self, from: bytes).isDrained == true)
        // Nothing came of it after that.
        site.change { state in
            state.machines["10.0.1.2"]?.isOff = false
            state.machines["10.0.1.2"]?.lastWord = nil
            state.nodes["host-10-0-1-2"] = node
            state.nodes["host-10-0-1-2"]?.isSchedulable = false
        }
        site.draft = draft
        let plan = try await site.apply()
        #expect(plan.steps.contains { $0.id == "label/10.0.1.2" && $0.reason.contains("it was to leave") })
        #expect(site.world.with { $0.nodes["host-10-0-1-2"]?.isSchedulable } == true)
        #expect(try await site.apply().isEmpty)
    }

    @Test("a plan is for what the Clusterfile said, though its steps are the same")
    func otherScript() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        var cluster = try site.draft.cluster()
        func plugin(_ data: String) -> Plugin {
            Plugin(name: "p", kind: .shell, phases: [.preCleanHost], scope: ["all"], data: data)
        }
        cluster.plugins = [plugin("echo one")]
        let plan = try Plan(file: try await site.engine.plan(cluster).file(), name: "plan.json")
        cluster.plugins = [plugin("echo two")]
        let now = try await site.engine.plan(cluster)
        #expect(now.steps == plan.steps)
        #expect(now.differences(from: plan) == ["the Clusterfile says something else"])
    }

    @Test("a cluster is deleted without a host that is gone for good only when its user says so")
    func goneForGood() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        site.change { $0.machines["10.0.1.2"]?.isOff = true }
        let failure = await #expect(throws: Failure.self) { try await site.engine.delete("fleet") }
        #expect(failure?.remedy?.contains("--skip-unreachable") == true, "\(String(describing: failure))")
        #expect(try site.folder.readCluster(site.folder.members) != nil)
        let removed = try await site.engine.delete("fleet", givesUpSilent: true)
        #expect(removed.contains("what was on host 10.0.1.1") && !removed.contains("what was on host 10.0.1.2"))
        #expect(try site.folder.readCluster(site.folder.members) == nil)
        #expect(site.world.with { $0.machines["10.0.1.1"]?.services.isEmpty } == true)
    }

    @Test("a host that leaves and is another cluster's by now is left to that")
    func otherOwner() async throws {
        let scratch = try Scratch()
        var site = try await SimulatedSite.make(scratch.path)
        // It is another cluster's by now.
        var mark = NodeMark(cluster: "other", dataRoot: "/var/lib/sealer/data")
        mark.membership = .complete
        let bytes = try JSONEncoder().encode(mark)
        site.change { $0.machines["10.0.1.2"]?.files["/var/lib/sealer/node.json"]?.bytes = bytes }
        let draft = site.draft
        site.draft.workers.removeLast()
        try await site.apply()
        #expect(site.world.with { $0.machines["10.0.1.2"]?.services.isEmpty } == false)
        #expect(try await site.apply().isEmpty)
        // So does deleting a cluster that had it last.
        try site.folder.write(draft.cluster(), to: site.folder.members)
        try site.folder.write(draft.cluster(), to: site.folder.clusterfile)
        _ = try await site.engine.delete("fleet")
        #expect(site.world.with { $0.machines["10.0.1.2"]?.services.isEmpty } == false)
        #expect(site.world.with { $0.machines["10.0.1.1"]?.services.isEmpty } == true)
    }
}
