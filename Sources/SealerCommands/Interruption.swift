import ApplyEngine
import Dispatch
import Glibc
import Synchronization

/// Ctrl-C and SIGTERM: the first asks for an orderly end, the second ends at once.
enum Interruption {
    /// Runs `body` in a task that the first signal cancels.
    static func cancelling<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws
        -> Result
    {
        let task = Task { try await body() }
        let signals = Signals { task.cancel() }
        defer { signals.stop() }
        return try await task.value
    }

    /// Runs `body` in a task. The first signal asks for a pause, the second cancels the task, the third ends the process.
    static func pausing<Result: Sendable>(
        _ pause: PauseSignal, tell: @escaping @Sendable (String) -> Void,
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        let task = Task { try await body() }
        let signals = Signals(
            first: {
                pause.give()
                tell("sealer: ending as soon as the running steps have ended; once more to stop them")
            },
            second: { task.cancel() })
        defer { signals.stop() }
        return try await task.value
    }

    /// Waits for the first signal.
    static func wait() async {
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        let signals = Signals { continuation.yield() }
        for await _ in stream { break }
        signals.stop()
    }

    /// Stays within the function that made it.
    private struct Signals {
        private let sources: [any DispatchSourceSignal]

        /// - Parameter second: what the second signal does; the one after the last ends the process.
        init(first: @escaping @Sendable () -> Void, second: (@Sendable () -> Void)? = nil) {
            let counter = Counter()
            sources = [SIGINT, SIGTERM].map { number in
                signal(number, SIG_IGN)
                let source = DispatchSource.makeSignalSource(
                    signal: number, queue: DispatchQueue(label: "sealer.signals"))
                source.setEventHandler {
                    switch (counter.next(), second) {
                    case (1, _): first()
                    case (2, let second?): second()
                    default: _exit(130)
                    }
                }
                source.resume()
                return source
            }
        }

        func stop() {
            for source in sources { source.cancel() }
        }
    }

    private final class Counter: Sendable {
        private let value = Atomic<Int>(0)

        func next() -> Int { value.wrappingAdd(1, ordering: .relaxed).newValue }
    }
}
