import Report
import Synchronization
import Testing

@Suite("What the user is told")
struct ReportTests {
    @Test("a failure shows event, place, causes and the next step")
    func failure() {
        let cause = Failure(.timeout, "no answer", at: "10.0.0.1")
        let failure = Failure(.unreachable, "cannot pull", at: "a/b:1", remedy: "look at the network", causes: [cause])
        #expect(
            failure.description == """
                a/b:1: cannot pull
                  10.0.0.1: no answer
                  next: look at the network
                """
        )
    }

    @Test("a cancelled piece of work is called interrupted, not by a type's name")
    func cancellation() {
        let failure = Failure(.commandFailed, "2 steps failed", causes: [CancellationError()])
        #expect(failure.description == "2 steps failed\n  interrupted")
    }

    @Test("every kind of failure has an exit code of its own")
    func exitCodes() {
        let codes = Failure.Kind.allCases.map(\.exitCode)
        #expect(Set(codes).count == codes.count)
        #expect(codes.allSatisfy { (1...130).contains($0) })
    }

    @Test("diagnostics are sorted by their place")
    func diagnostics() {
        let text = InvalidText([
            Diagnostic(file: "Kubefile", line: 10, column: 1, message: "b"),
            Diagnostic(file: "Kubefile", line: 9, column: 4, severity: .warning, message: "a"),
        ]).description
        #expect(text == "Kubefile:9:4: warning: a\nKubefile:10:1: b")
    }

    @Test("a wait ends at its limit and says what it waited for")
    func limit() async {
        let failure = await #expect(throws: Failure.self) {
            try await withLimit(.milliseconds(20), waitingFor: "the moon", at: "the sky") {
                try await Task.sleep(for: .seconds(60))
            }
        }
        #expect(failure?.kind == .timeout)
        #expect(failure?.description == "the sky: waited 20 ms for the moon, in vain")
    }

    @Test(
        "durations are told in words",
        arguments: [
            (Duration.milliseconds(850), "850 ms"), (.milliseconds(12_345), "12.3 s"), (.seconds(240), "4 min"),
            (.seconds(250), "4 min 10 s"),
        ])
    func durations(duration: Duration, words: String) {
        #expect(duration.inWords == words)
    }

    @Test("a step reports its end whatever way it ends")
    func steps() async throws {
        let sink = Recorder()
        try await sink.step("good") { $0.note("hm") }
        await #expect(throws: Failure.self) {
            try await sink.step("bad", host: "h") { _ in throw Failure(.system, "oh") }
        }
        #expect(sink.lines.withLock { $0 } == ["start good", "note hm", "end", "start bad on h", "fail oh"])
    }

    private final class Recorder: ProgressSink {
        let lines = Mutex<[String]>([])

        func send(_ event: ProgressEvent) {
            let line =
                switch event {
                case .started(_, let title, let host): "start \(title)" + (host.map { " on \($0)" } ?? "")
                case .note(_, let text): "note \(text)"
                case .finished: "end"
                case .failed(_, let message): "fail \(message)"
                case .advanced, .warning: "other"
                }
            lines.withLock { $0.append(line) }
        }
    }
}
