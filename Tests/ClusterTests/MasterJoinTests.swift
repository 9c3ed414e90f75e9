import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// A second master is the most dangerous one: of two members of etcd both must run.
extension ClusterTests {
    @Test(
        "the operator is killed at each moment of a second master's way into etcd: the cluster goes on, and so does the next command",
        .timeLimit(.minutes(12)))
    func killedWhileMasterJoins() async throws {
        try await withCluster("test-second") { cluster in
            let name = cluster.name
            let (first, second) = ("\(name)-master-0", "\(name)-master-1")
            var arguments = cluster.run + ["--masters", "2", "--nodes", "0"]
            for (point, members) in [("learner", 2), ("etcd-manifest", 2), ("vote", 2)] {
                let outcome = try await cluster.sealer(arguments, failpoints: "\(point) \(second)=kill")
                try #require(outcome.status == 137, "\(point): \(outcome.status) \(outcome.error)")
                // The first master has its quorum, whatever has become of the second.
                #expect(try await cluster.etcdMembers(on: first).count == members, "\(point)")
                arguments = ["apply", "--name", name, "--yes"]
            }
            try await cluster.check(arguments)
            try await cluster.expectNothingToDo()
            let members = try await cluster.etcdMembers(on: first)
            #expect(members.filter { $0.contains("started") && $0.hasSuffix("false") }.count == 2, "\(members)")
            try await killWhileMasterLeaves(cluster, first: first, second: second)
            try await cluster.check(["delete", "--name", name])
        }
    }

    /// The operator dies at each point of the second master's way out of etcd and of the cluster.
    private func killWhileMasterLeaves(_ cluster: TestCluster, first: String, second: String) async throws {
        let apply = ["apply", "--name", cluster.name, "--yes"]
        let down = ["scale-down", "--name", cluster.name, "--masters", "1", "--yes"]
        let steps = try await cluster.plannedSteps(down + ["--dry-run"])
        for step in ["drain", "etcd", "remove", "reset"] { #expect(steps.contains("\(step)/\(second)"), "\(steps)") }
        var arguments = down
        for step in steps where step.hasSuffix("/\(second)") {
            for point in Self.points(of: [step]) {
                try await cluster.expectKilled(arguments, at: point)
                arguments = apply
                if point == "plan drain/\(second)" {
                    // The machine is switched off: the Clusterfile has one master, etcd has two.
                    try await cluster.machine.check(["docker", "kill", first, second])
                    continue
                }
                // One who has left is in nobody's way.
                let members = try await cluster.etcdMembers(on: first)
                #expect(members.count(where: { $0.contains(first) }) == 1, "\(point): \(members)")
                if point.hasPrefix("end etcd/") { #expect(members.count == 1, "\(point): \(members)") }
            }
        }
        try await cluster.check(apply)
        try await cluster.expectNothingToDo()
        let members = try await cluster.etcdMembers(on: first)
        #expect(members.count == 1, "\(members)")
        #expect(try await cluster.nodes(through: first) == ["\(first)=True"])
    }
}
