import ApplyEngine
import Report
import Synchronization
import TestSupport
import Testing

@Suite("Executing a plan")
struct PlanExecutorTests {
    /// Keeps what happened, in order.
    private final class Record: Journal {
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

    private func executor(_ record: Record, concurrency: Int = 8) -> PlanExecutor {
        PlanExecutor(progress: SilentProgress(), journal: record, concurrency: concurrency)
    }

    @Test("a step begins only after all it waits for have ended, in random graphs")
    func order() async throws {
        var generator = SeededGenerator(seed: 11)
        for _ in 0..<30 {
            var steps: [PlanStep] = []
            for number in 0..<Int.random(in: 1...20, using: &generator) {
                let after = steps.map(\.id).filter { _ in Bool.random(using: &generator) }
                steps.append(
                    PlanStep("\(number)", "do \(number)", after: after, limit: .seconds(120)) { _ in
                        await Task.yield()
                    })
            }
            let record = Record()
            try await executor(record, concurrency: Int.random(in: 1...6, using: &generator)).execute(Plan(steps))
            for step in steps {
                let began = try #require(record.position("began \(step.id)"))
                for other in step.after { #expect(try #require(record.position("ended \(other)")) < began) }
                #expect(record.position("ended \(step.id)") != nil)
            }
        }
    }

    @Test("steps that do not wait for each other run at the same time")
    func parallel() async throws {
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        let steps = [
            PlanStep("a", "wait for b", limit: .seconds(120)) { _ in for await _ in stream { break } },
            PlanStep("b", "wake a", limit: .seconds(120)) { _ in continuation.yield() },
        ]
        try await executor(Record()).execute(Plan(steps))
    }

    @Test("after a failure nothing new begins, what runs is cancelled, and the failure names step, host and cause")
    func failure() async throws {
        let record = Record()
        let steps = [
            PlanStep("slow", "sleep", host: "h1", limit: .seconds(60)) { _ in try await Task.sleep(for: .seconds(60)) },
            PlanStep("bad", "break", host: "h2", limit: .seconds(120)) { _ in throw Failure(.denied, "no key", at: "h2")
            },
            PlanStep("later", "never", after: ["bad"], limit: .seconds(120)) { _ in },
        ]
        let error = await #expect(throws: Failure.self) { try await executor(record).execute(Plan(steps)) }
        #expect(error?.kind == .denied)
        #expect(error?.description == "h2: could not break\n  h2: no key")
        #expect(record.position("began later") == nil)
        #expect(record.position("failed slow") != nil)
        #expect(record.position("ended bad") == nil)
    }

    @Test("a step that takes longer than its limit fails as timed out")
    func limit() async throws {
        let steps = [
            PlanStep("slow", "sleep", limit: .milliseconds(20)) { _ in try await Task.sleep(for: .seconds(60)) }
        ]
        let error = await #expect(throws: Failure.self) { try await executor(Record()).execute(Plan(steps)) }
        #expect(error?.kind == .timeout)
    }

    @Test("a plan whose steps wait for what does not come is refused")
    func wrongPlans() {
        let step = { (id: String, after: [String]) in PlanStep(id, id, after: after, limit: .seconds(1)) { _ in } }
        #expect(throws: Failure.self) { try Plan([step("a", ["b"]), step("b", [])]) }
        #expect(throws: Failure.self) { try Plan([step("a", []), step("a", [])]) }
        #expect(throws: Failure.self) { try Plan([step("a", ["a"])]) }
    }
}
