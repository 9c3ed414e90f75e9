import ClusterRuntime
import FoundationEssentials
import ImageStore
import OCI
import Report
import Synchronization
import TestSupport
import Testing

@testable import ApplyEngine
@testable import Simulation

/// Keeps what happened, in order.
final class RecordedJournal: Journal {
    let events = Mutex<[String]>([])

    func write(_ event: JournalEvent, _ step: PlanStep) async throws {
        let word =
            switch event {
            case .began: "began"
            case .ended: "ended"
            case .failed: "failed"
            }
        events.withLock { $0.append("\(word) \(step.id)") }
    }

    func position(_ event: String) -> Int? { events.withLock { $0.firstIndex(of: event) } }
}

/// Does for each step what the test says.
struct ScriptedPerformer: StepPerformer {
    /// Limits that are not the plan's, in seconds.
    var limits: [PlanStep.ID: Int] = [:]
    let body: @Sendable (PlanStep) async throws -> Void

    func limit(of step: PlanStep) -> Int { limits[step.id] ?? step.limit }

    func perform(_ step: PlanStep, handle: Step) async throws { try await body(step) }
}

@Suite("Executing a plan")
struct PlanExecutorTests {
    private static let image = ContentDigest.sample

    private func step(
        _ id: String, after: [String] = [], lane: String? = nil, host: String? = nil, limit: Int = 120
    ) -> PlanStep {
        PlanStep(
            id, .install, .installRuntime, host: host, title: "do \(id)", reason: "it is not done", after: after,
            lane: lane, limit: limit)
    }

    private func execute(
        _ steps: [PlanStep], _ record: RecordedJournal = RecordedJournal(), concurrency: Int = 8,
        pause: PauseSignal = PauseSignal(), _ body: @escaping @Sendable (PlanStep) async throws -> Void
    ) async throws -> PlanExecutor.Outcome {
        await PlanExecutor(
            performer: ScriptedPerformer(body: body), progress: SilentProgress(), journal: record,
            concurrency: concurrency, pause: pause
        ).execute(try Plan(cluster: "demo", image: Self.image, steps))
    }

    @Test("a step begins only after all it waits for have ended, in random graphs")
    func order() async throws {
        var generator = SeededGenerator(seed: 11)
        for _ in 0..<30 {
            var steps: [PlanStep] = []
            for number in 0..<Int.random(in: 1...20, using: &generator) {
                let after = steps.map(\.id).filter { _ in Bool.random(using: &generator) }
                steps.append(step("\(number)", after: after))
            }
            let record = RecordedJournal()
            let outcome = try await execute(
                steps, record, concurrency: Int.random(in: 1...6, using: &generator)
            ) { _ in await Task.yield() }
            #expect(outcome.failure(resume: "again") == nil)
            #expect(Set(outcome.done) == Set(steps.map(\.id)))
            for step in steps {
                let began = try #require(record.position("began \(step.id)"))
                for other in step.after { #expect(try #require(record.position("ended \(other)")) < began) }
            }
        }
    }

    @Test("steps that do not wait for each other run at the same time")
    func parallel() async throws {
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        let outcome = try await execute([step("a"), step("b")]) { step in
            if step.id == "a" { for await _ in stream { break } } else { continuation.yield() }
        }
        #expect(outcome.done.count == 2)
    }

    @Test("no more steps run at once than allowed, and of one lane only one")
    func limits() async throws {
        let counts = Mutex<(now: Int, most: Int, lane: Int, mostLane: Int)>((0, 0, 0, 0))
        let steps = (0..<12).map { step("\($0)", lane: $0.isMultiple(of: 2) ? "etcd" : nil) }
        let outcome = try await execute(steps, concurrency: 3) { step in
            counts.withLock { counts in
                counts.now += 1
                counts.most = max(counts.most, counts.now)
                if step.lane != nil { counts.lane += 1 }
                counts.mostLane = max(counts.mostLane, counts.lane)
            }
            try await Task.sleep(for: .milliseconds(5))
            counts.withLock { counts in
                counts.now -= 1
                if step.lane != nil { counts.lane -= 1 }
            }
        }
        #expect(outcome.done.count == 12)
        #expect(counts.withLock { $0.most } <= 3)
        #expect(counts.withLock { $0.mostLane } == 1)
    }

    @Test("a failure stops what depends on it and nothing else, and names step, host, cause and the way on")
    func failure() async throws {
        let record = RecordedJournal()
        let steps = [
            step("bad", host: "h2"), step("after", after: ["bad"]), step("after-that", after: ["after"]),
            step("free", host: "h1"), step("free-too", after: ["free"]),
        ]
        let outcome = try await execute(steps, record) { step in
            if step.id == "bad" { throw Failure(.denied, "no key", at: "h2") }
        }
        #expect(Set(outcome.done) == ["free", "free-too"])
        #expect(outcome.skipped.map(\.id) == ["after", "after-that"])
        #expect(!outcome.isPaused)
        #expect(record.position("began after") == nil)
        #expect(record.position("ended bad") == nil)
        let failure = try #require(outcome.failure(resume: "sealer apply --name demo") as? Failure)
        #expect(failure.kind == .denied)
        #expect(
            failure.description == """
                1 of 5 steps failed, 2 more could not begin
                  h2: could not do bad
                    h2: no key
                  next: mend that, then go on from here with: sealer apply --name demo
                """)
    }

    @Test("asked for a pause, nothing new begins, and what runs ends in its own time")
    func pause() async throws {
        let pause = PauseSignal()
        let outcome = try await execute([step("a"), step("b", after: ["a"])], pause: pause) { _ in pause.give() }
        #expect(outcome.done == ["a"])
        #expect(outcome.skipped.map(\.id) == ["b"])
        let failure = try #require(outcome.failure(resume: "again") as? Failure)
        #expect(failure.kind == .cancelled)
        #expect(failure.description.contains("1 steps were done, 1 are left"))
    }

    @Test("cancelled, running steps end, and their end is in the journal")
    func cancelled() async throws {
        let record = RecordedJournal()
        let (started, tell) = AsyncStream<Void>.makeStream()
        let steps = [step("a"), step("b", after: ["a"])]
        let task = Task {
            try await execute(steps, record) { _ in
                tell.yield()
                try await Task.sleep(for: .seconds(600))
            }
        }
        for await _ in started { break }
        task.cancel()
        let outcome = try await task.value
        #expect(outcome.failed.map(\.step.id) == ["a"])
        #expect(record.position("failed a") != nil)
        #expect((outcome.failure(resume: "again") as? Failure)?.kind == .cancelled)
    }

    @Test("a step that takes longer than its limit fails as timed out")
    func limit() async throws {
        let outcome = try await execute([step("slow", limit: 1)]) { _ in try await Task.sleep(for: .seconds(600)) }
        #expect((outcome.failure(resume: "again") as? Failure)?.kind == .timeout)
    }

    @Test("the command's own limit of a step counts more than the plan's")
    func ownLimit() async throws {
        let plan = try Plan(cluster: "demo", image: Self.image, [step("slow", limit: 1), step("quick")])
        let performer = ScriptedPerformer(limits: ["slow": 600, "quick": 1]) { step in
            try await Task.sleep(for: .milliseconds(step.id == "quick" ? 600_000 : 1500))
        }
        let outcome = await PlanExecutor(
            performer: performer, progress: SilentProgress(), journal: RecordedJournal()
        ).execute(plan)
        #expect(outcome.done == ["slow"])
        #expect(outcome.failed.map(\.step.id) == ["quick"])
    }
}

@Suite("A plan")
struct PlanTests {
    private func step(_ id: String, after: [String] = [], reason: String = "it is not done") -> PlanStep {
        PlanStep(
            id, .prepare, .configure(.registry), host: "h", title: "do \(id)", reason: reason, after: after, limit: 1)
    }

    private func plan(_ steps: [PlanStep]) throws -> Plan {
        try Plan(cluster: "demo", image: ContentDigest.sample, steps)
    }

    @Test("whose steps wait for what does not come is refused")
    func wrongPlans() {
        #expect(throws: Failure.self) { try plan([step("a", after: ["b"]), step("b")]) }
        #expect(throws: Failure.self) { try plan([step("a"), step("a")]) }
        #expect(throws: Failure.self) { try plan([step("a", after: ["a"])]) }
    }

    @Test("goes into a file and comes back the same; other files are refused")
    func file() throws {
        let made = try plan([step("a"), step("b", after: ["a"])])
        let back = try Plan(file: made.file(), name: "p")
        #expect(back == made)
        let (digest, backDigest) = (try made.digest(), try back.digest())
        #expect(digest == backDigest)
        #expect(throws: Failure.self) { try Plan(file: Data("{}".utf8), name: "p") }
        let text = String(decoding: try made.file(), as: UTF8.self)
        let later = text.replacing(#""formatVersion":1"#, with: #""formatVersion":2"#)
        #expect(throws: Failure.self) { try Plan(file: Data(later.utf8), name: "p") }
        // A stranger's file may not bring a cycle in.
        let cycle = text.replacing(#""after":["a"]"#, with: #""after":["z"]"#)
        #expect(throws: Failure.self) { try Plan(file: Data(cycle.utf8), name: "p") }
    }

    @Test("tells how the world has moved since another plan was made")
    func differences() throws {
        let before = try plan([step("a"), step("b")])
        #expect(try plan([step("a"), step("b")]).differences(from: before) == [])
        #expect(
            try plan([step("b", reason: "it is worn out"), step("c")]).differences(from: before) == [
                "to be done now too: h: do c (it is not done)", "not to be done any more: h: do a (it is not done)",
                "b is another now: it is worn out; it was: it is not done",
            ])
        #expect(try plan([step("b"), step("a")]).differences(from: before) == ["the steps come in another order"])
    }
}
