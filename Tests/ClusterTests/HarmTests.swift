import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// What a command came to while harm was done.
struct HarmedRun: Sendable {
    var outcome: Machine.Outcome
    /// The points at which harm was done.
    var points: [String]
}

extension TestCluster {
    /// Runs sealer, which waits at each of these points until harm has been done.
    func sealer(
        _ arguments: [String], holdingAt points: [String], harm: @escaping @Sendable (String) async throws -> Void
    ) async throws -> HarmedRun {
        let folder = self.folder.appending("held")
        if FileManager.default.fileExists(atPath: folder.string) {
            try FileManager.default.removeItem(atPath: folder.string)
        }
        try FileManager.default.createDirectory(atPath: folder.string, withIntermediateDirectories: true)
        return try await withThrowingTaskGroup(of: HarmedRun?.self) { group in
            group.addTask {
                let outcome = try await sealer(
                    arguments, failpoints: points.map { "\($0)=hold:\(folder)" }.joined(separator: ","))
                return HarmedRun(outcome: outcome, points: [])
            }
            let reached = Reached()
            group.addTask {
                while !Task.isCancelled {
                    for name in try FileManager.default.contentsOfDirectory(atPath: folder.string).sorted() {
                        let point = name.replacing("%2F", with: "/")
                        try await harm(point)
                        await reached.add(point)
                        try FileManager.default.removeItem(atPath: folder.appending(name).string)
                    }
                    try await Task.sleep(for: .milliseconds(50))
                }
                return nil
            }
            guard var run = try await group.next() ?? nil else { throw CancellationError() }
            group.cancelAll()
            run.points = await reached.points
            return run
        }
    }

    private actor Reached {
        private(set) var points: [String] = []
        func add(_ point: String) { points.append(point) }
    }
}

/// Hosts and the ways to them are lost before, in and after every step.
extension ClusterTests {
    /// The points of these steps.
    static func points(of steps: [String]) -> [String] {
        steps.flatMap { step in ["plan", "begin", "end"].map { "\($0) \(step)" } }
    }

    /// The points at which harm is done today: one of so many, another one each day. `SEALER_TEST_HARM=all` has it done at all,
    /// which takes minutes more.
    static func today(_ points: [String], oneOf share: Int) -> [String] {
        if ProcessInfo.processInfo.environment["SEALER_TEST_HARM"] == "all" { return points }
        let day = Int(Date.now.timeIntervalSince1970 / 86_400)
        // Of each step another point than of the one before.
        let chosen = points.indices.filter { ($0 / 3 + $0 + day).isMultiple(of: share) }.map { points[$0] }
        print("harm is done at: \(chosen.joined(separator: ", "))")
        return chosen
    }

    @Test(
        "nodes that lose their power at points of the way come back, and the next command goes on from there",
        .timeLimit(.minutes(40)))
    func powerCuts() async throws {
        try await withCluster("test-power") { cluster in
            let name = cluster.name
            let run = cluster.run + ["--masters", "1", "--nodes", "1"]
            let (master, worker) = ("\(name)-master-0", "\(name)-node-0")
            let steps = try await cluster.plannedSteps(run + ["--dry-run"]).filter { $0 != "provision" }
            let all = Self.points(of: steps)
            var left = Self.today(all, oneOf: 6)
            let count = left.count
            var arguments = run
            for attempt in 0... {
                print("attempt \(attempt), \(left.count) points left")
                try #require(attempt < 2 * all.count, "it does not get on; left: \(left)")
                let run = try await cluster.sealer(arguments, holdingAt: left) { point in
                    let node = point.hasSuffix(worker) ? worker : master
                    for verb in ["kill", "start"] { try await cluster.machine.check(["docker", verb, node]) }
                }
                left.removeAll { run.points.contains($0) }
                if run.outcome.status == 0 { break }
                // It says on which host.
                #expect(run.outcome.error.contains("\(name)-"), "\(run.points): \(run.outcome.error)")
                arguments = ["apply", "--name", name]
            }
            #expect(left.count < count / 2, "the power was cut at few points only; left: \(left)")
            // A step of which a former attempt had done all is not planned again.
            #expect(left.allSatisfy { $0.hasPrefix("end ") || $0.hasPrefix("begin ") }, "\(left)")
            // The last ones may have been at the very end.
            try await waitUntil("the plan is empty", limit: 120) {
                try await cluster.sealer(["plan", "--name", name, "--detailed-exitcode"]).status == 0
            }
            try await cluster.expectNoWrite(on: [master, worker])
            let address = try await cluster.machine.check([
                "docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", worker,
            ])
            try await cluster.expectAnswer(from: address.filter { !$0.isNewline })
            try await cluster.check(["delete", "--name", name])
        }
    }
}
