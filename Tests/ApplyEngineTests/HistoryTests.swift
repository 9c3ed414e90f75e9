import ApplyEngine
import FoundationEssentials
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

@testable import Simulation

@Suite("The journal")
struct HistoryTests {
    private let steps = ["a", "b"].map {
        PlanStep($0, .prepare, .launch, host: "h", title: "do \($0)", reason: "r", limit: 1)
    }

    private func plan() throws -> Plan { try Plan(cluster: "demo", image: ContentDigest.sample, steps) }

    @Test("tells each run: how much was done, what failed, and what nobody saw the end of")
    func runs() async throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("journal.jsonl")
        #expect(try History.read(path).runs.isEmpty)

        let good = FileJournal(path)
        try await good.open(command: "run", plan: plan())
        for step in steps {
            try await good.write(.began, step)
            try await good.write(.ended, step)
        }
        try await good.close(done: 2, message: nil)

        let bad = FileJournal(path)
        try await bad.open(command: "apply", plan: plan())
        try await bad.write(.began, steps[0])
        try await bad.write(.failed("no disk"), steps[0])
        try await bad.close(done: 0, message: "1 step failed")

        let killed = FileJournal(path)
        try await killed.open(command: "apply", plan: plan())
        try await killed.write(.began, steps[0])
        try await killed.write(.ended, steps[0])
        try await killed.write(.began, steps[1])

        let runs = try History.read(path).runs
        #expect(runs.map(\.end) == [.done, .failed, .unknown])
        #expect(runs.map(\.done) == [2, 0, 1])
        #expect(runs.map(\.planned) == [2, 2, 2])
        #expect(runs.map(\.command) == ["run", "apply", "apply"])
        #expect(runs[1].troubles.map(\.message) == ["no disk"])
        #expect(runs[2].troubles.map(\.step) == ["b"])
        #expect(runs[2].troubles[0].message == nil)
        #expect(runs[1].message == "1 step failed")
        #expect(runs.allSatisfy { $0.began.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil }, "\(runs)")
    }

    @Test("a line that a kill cut short loses nothing but itself")
    func cutShort() async throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("journal.jsonl")
        let first = FileJournal(path)
        try await first.open(command: "run", plan: plan())
        let bytes = try readFile(path, limit: 1 << 20)
        try AtomicFile.write(bytes + Array(#"{"at":"2026","eve"#.utf8), to: path)
        let second = FileJournal(path)
        try await second.open(command: "apply", plan: plan())
        #expect(try History.read(path).runs.map(\.command) == ["run", "apply"])
    }
}
