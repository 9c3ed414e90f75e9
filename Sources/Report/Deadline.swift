/// Runs `body` with a limit on its time: nothing waits for ever.
///
/// - Parameters:
///   - limit: how long it may take.
///   - what: what is waited for, as the message should name it: "the API server to answer".
///   - place: the host or URL concerned.
/// - Throws: `Failure` of kind `timeout` when the limit passes first (then `body` is cancelled), else what `body` throws.
public func withLimit<Result: Sendable>(
    _ limit: Duration,
    waitingFor what: String,
    at place: String? = nil,
    remedy: String? = nil,
    _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await withThrowingTaskGroup(of: Result?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: limit)
            return nil
        }
        defer { group.cancelAll() }
        guard let first = try await group.next(), let result = first else {
            throw Failure(.timeout, "waited \(limit.inWords) for \(what), in vain", at: place, remedy: remedy)
        }
        return result
    }
}

extension Duration {
    /// The duration for people: "850 ms", "12.3 s", "4 min 10 s".
    public var inWords: String {
        let (seconds, attoseconds) = components
        let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        if milliseconds < 1000 { return "\(milliseconds) ms" }
        if seconds < 60 { return "\(milliseconds / 1000).\(milliseconds % 1000 / 100) s" }
        return seconds % 60 == 0 ? "\(seconds / 60) min" : "\(seconds / 60) min \(seconds % 60) s"
    }
}
