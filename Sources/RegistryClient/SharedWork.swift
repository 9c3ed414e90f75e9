import Synchronization

/// Work that several tasks want the result of at the same time, done once for all of them.
///
/// Its error is everybody's error; it is cancelled when nobody wants it any more. A task that is cancelled while others still
/// wait leaves when the work ends.
final class SharedWork<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Running {
        var task: Task<Value, any Error>
        var waiters: Int
        var number: UInt64
    }

    private struct State {
        var running: [Key: Running] = [:]
        var counter: UInt64 = 0
    }

    private let state = Mutex(State())

    /// Joins the work that is going on for `key`, or starts it.
    ///
    /// - Returns: the value, and whether the work was this caller's own.
    func value(
        for key: Key,
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> (value: Value, isOwn: Bool) {
        let (task, number, isOwn) = state.withLock { state in
            if var running = state.running[key] {
                running.waiters += 1
                state.running[key] = running
                return (running.task, running.number, false)
            }
            state.counter += 1
            let task = Task { try await body() }
            state.running[key] = Running(task: task, waiters: 1, number: state.counter)
            return (task, state.counter, true)
        }
        let left = Mutex(false)
        @Sendable func leave(ended: Bool) {
            guard
                left.withLock({ left in
                    defer { left = true }
                    return !left
                })
            else { return }
            self.leave(key, number, ended: ended)
        }
        do {
            let value = try await withTaskCancellationHandler {
                try await task.value
            } onCancel: {
                leave(ended: false)
            }
            leave(ended: true)
            return (value, isOwn)
        } catch {
            leave(ended: true)
            try Task.checkCancellation()
            throw SharedWorkError(underlying: error, isOwn: isOwn)
        }
    }

    private func leave(_ key: Key, _ number: UInt64, ended: Bool) {
        let abandoned: Task<Value, any Error>? = state.withLock { state in
            guard var running = state.running[key], running.number == number else { return nil }
            running.waiters -= 1
            if ended || running.waiters == 0 {
                state.running[key] = nil
            } else {
                state.running[key] = running
            }
            return running.waiters == 0 && !ended ? running.task : nil
        }
        abandoned?.cancel()
    }
}

/// The error of shared work, with whose work it was: who only joined may want to try on its own.
struct SharedWorkError: Error {
    var underlying: any Error
    var isOwn: Bool
}
