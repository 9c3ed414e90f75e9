import Synchronization

/// Threads for work that blocks (files, archives, hashing, waiting for processes), so that Swift's cooperative pool, which
/// has one thread a core, never stands still.
public final class BlockingPool: Sendable {
    /// The pool that the process shares.
    public static let shared = BlockingPool(width: 16)

    private let queue: WorkQueue

    /// Makes a pool that runs at most `width` pieces of work at once; further ones wait their turn.
    public init(width: Int) {
        queue = WorkQueue(width: width)
    }

    /// Runs synchronous work on a thread of the pool.
    ///
    /// Cancellation is not seen by blocking calls: long work asks `cancellation.isCancelled` between chunks.
    public func run<Result: Sendable>(
        _ work: @escaping @Sendable (_ cancellation: CancellationFlag) throws -> Result
    ) async throws -> Result {
        let flag = CancellationFlag()
        return try await withTaskCancellationHandler {
            try Task.checkCancellation()
            return try await withCheckedThrowingContinuation { continuation in
                queue.async { continuation.resume(with: Swift.Result { try work(flag) }) }
            }
        } onCancel: {
            flag.cancel()
        }
    }

    /// Runs short synchronous work that has no need to look at cancellation.
    public func run<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await run { (_: CancellationFlag) in try work() }
    }
}

/// Tells blocking work that its task was cancelled.
public final class CancellationFlag: Sendable {
    private let flag = Atomic<Bool>(false)

    /// Makes a flag that is not set.
    public init() {}

    /// Whether the task was cancelled.
    public var isCancelled: Bool { flag.load(ordering: .relaxed) }

    /// Throws `CancellationError` when the task was cancelled.
    public func check() throws {
        if isCancelled { throw CancellationError() }
    }

    fileprivate func cancel() { flag.store(true, ordering: .relaxed) }
}
