import ClusterRuntime
import Testing

@testable import ApplyEngine
@testable import Simulation

@Suite("A host in the place of one that is gone")
struct SuccessorTests {
    private func plan(isMaster: Bool, successor: String?) throws -> Plan {
        var newcomer = NodeDifference(host: "b", isMaster: isMaster, membership: .none)
        newcomer.runtime = "it is new"
        return try Planner.plan(
            cluster: "demo", image: ContentDigest.sample,
            ClusterDifference(
                hosts: [NodeDifference(host: "a", isMaster: true), newcomer], first: "a", isInitialised: true,
                leaving: [
                    LeavingNode(host: nil, node: "old", isMaster: isMaster, isRegistered: true, successor: successor)
                ]))
    }

    private func step(_ id: PlanStep.ID, _ plan: Plan) throws -> PlanStep {
        try #require(plan.steps.first { $0.id == id })
    }

    @Test("joins after the old member has left etcd and the cluster, and nobody waits for the old one's pods")
    func order() throws {
        let masters = try plan(isMaster: true, successor: "b")
        #expect(try step("join/b", masters).after.contains("remove/old"))
        #expect(try step("remove/old", masters).after == ["etcd/old"])
        #expect(try step("etcd/old", masters).isDestructive)
        #expect(!masters.steps.contains { $0.id == "drain/old" })
        let workers = try plan(isMaster: false, successor: "b")
        #expect(try step("join/b", workers).after.contains("remove/old"))
        #expect(!workers.steps.contains { $0.id == "etcd/old" })
    }

    @Test("is not what a node that leaves for another reason has: that one goes last, and its pods are moved")
    func leaving() throws {
        let plan = try plan(isMaster: true, successor: nil)
        #expect(try step("drain/old", plan).after.contains("join/b"))
        #expect(try !step("join/b", plan).after.contains("remove/old"))
        // But nobody comes into etcd while a member of it does not answer.
        #expect(try step("join/b", plan).after.contains("etcd/old"))
    }
}
