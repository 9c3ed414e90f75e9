import Synchronization

/// How many clients all services of a balancer have together.
final class ConnectionCount: Sendable {
    private let value = Mutex(0)

    /// Counts one more, unless there are `limit` already.
    func increment(upTo limit: Int) -> Bool {
        value.withLock { value in
            guard value < limit else { return false }
            value += 1
            return true
        }
    }

    func decrement() { value.withLock { $0 -= 1 } }
}
