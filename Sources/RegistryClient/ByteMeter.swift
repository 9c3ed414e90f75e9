import NIOCore
import Report
import Synchronization

/// Watches bytes arrive and tells a registry that has stalled from a disk that is slow: only the time spent waiting for the
/// network counts.
final class ByteMeter: Sendable {
    private struct State {
        var waitingSince: ContinuousClock.Instant?
        /// Waiting since the last mark, without the wait that is going on.
        var waited: Duration = .zero
        var bytesSinceMark: Int64 = 0
    }

    private let state = Mutex(State())

    /// The reader begins to wait for bytes.
    func beginWait() {
        state.withLock { $0.waitingSince = .now }
    }

    /// The reader has got bytes, or the end.
    func endWait(bytes: Int) {
        state.withLock { state in
            if let since = state.waitingSince { state.waited += .now - since }
            state.waitingSince = nil
            state.bytesSinceMark += Int64(bytes)
        }
    }

    /// Whether fewer than `minimum` bytes came in the last `limit` of waiting; sets a new mark when enough came.
    func hasStalled(limit: Duration, minimum: Int64) -> Bool {
        state.withLock { state in
            let current = state.waitingSince.map { .now - $0 } ?? .zero
            guard state.waited + current >= limit else { return false }
            if state.bytesSinceMark < minimum { return true }
            state.waited = .zero
            state.bytesSinceMark = 0
            if state.waitingSince != nil { state.waitingSince = .now }
            return false
        }
    }
}

/// Reads a body to its end, chunk by chunk; the next chunk is only asked for when `take` is done with the last one.
///
/// - Throws: `AttemptError` of kind `timeout` when the registry stalls, what `take` throws, or the connection's error.
func drain<Body: AsyncSequence & Sendable>(
    _ body: Body,
    limits: RegistryLimits,
    origin: String,
    errand: Errand,
    take: @escaping @Sendable (ByteBuffer) async throws -> Void
) async throws where Body.Element == ByteBuffer {
    let meter = ByteMeter()
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
            var iterator = body.makeAsyncIterator()
            while true {
                meter.beginWait()
                let chunk: ByteBuffer?
                do {
                    chunk = try await iterator.next()
                } catch {
                    try Task.checkCancellation()
                    throw AttemptError.connection(error, at: origin, for: errand)
                }
                meter.endWait(bytes: chunk?.readableBytes ?? 0)
                // A cancelled body ends as if it were complete.
                try Task.checkCancellation()
                guard let chunk else { return }
                try await take(chunk)
            }
        }
        group.addTask {
            while !meter.hasStalled(limit: limits.stall, minimum: limits.stallBytes) {
                try await Task.sleep(for: limits.stall / 8)
            }
            throw AttemptError(
                Failure(
                    .timeout,
                    "the registry stalled: fewer than \(limits.stallBytes) bytes of \(errand.subject) in \(limits.stall.inWords)",
                    at: origin,
                    remedy: "see whether the registry is overloaded, then try again"
                ),
                retry: .later(nil)
            )
        }
        defer { group.cancelAll() }
        try await group.next()
    }
}
