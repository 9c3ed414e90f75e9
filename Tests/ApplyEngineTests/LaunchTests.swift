import Report
import TestSupport
import Testing

@testable import ApplyEngine
@testable import Simulation

@Suite("What was launched")
struct LaunchTests {
    @Test("is not called well before it was seen to be: the next command looks again, and launches nothing twice")
    func unwell() async throws {
        let scratch = try Scratch()
        var site = try await SimulatedSite.make(scratch.path)
        site.draft.size = 1
        site.change { $0.hasUnwellPods = true }
        for attempt in 0..<3 {
            let failure = await #expect(throws: Failure.self, "attempt \(attempt)") { try await site.apply() }
            #expect(failure?.kind == .timeout)
        }
        let plan = try await site.engine.plan(try site.draft.cluster())
        #expect(plan.steps.map(\.id) == ["pods", "record"])
        site.change { $0.hasUnwellPods = false }
        try await site.apply()
        #expect(try await site.apply().isEmpty)
    }

    @Test("by an earlier sealer, which noted nothing of pods, was well when it was done")
    func earlier() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        #expect(site.world.with { $0.record?.removeValue(forKey: ClusterBlueprint.RecordKey.pods) } != nil)
        #expect(try await site.apply().isEmpty)
        // Which it was not yet.
        site.change { $0.record?[ClusterBlueprint.RecordKey.image] = nil }
        #expect(try await site.apply().steps.map(\.id) == ["pods", "record"])
    }
}
