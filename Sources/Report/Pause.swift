import CLinux
import Synchronization

/// Lets the task rest for a while; ends early, by throwing, when the task is cancelled.
///
/// It stands for `Task.sleep(for:)`, whose timers run their tasks on libdispatch's threads, beside the executable's own executor.
///
/// - Throws: `CancellationError`.
public func pause(for duration: Duration) async throws {
    let timer = PauseTimer()
    try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { timer.start(duration, $0) }
    } onCancel: {
        timer.end(with: .failure(CancellationError()))
    }
}

/// Resumes a task once: when the time is over or when it is cancelled, whichever is first.
private final class PauseTimer: Sendable {
    private enum State {
        case new
        case waiting(CheckedContinuation<Void, any Error>)
        case ended
    }

    private let state = Mutex(State.new)

    func start(_ duration: Duration, _ continuation: CheckedContinuation<Void, any Error>) {
        let isCancelled = state.withLock { state in
            if case .ended = state { return true }
            state = .waiting(continuation)
            return false
        }
        guard !isCancelled else { return continuation.resume(throwing: CancellationError()) }
        let (seconds, attoseconds) = duration.components
        let nanoseconds =
            UInt64(max(0, min(seconds, 1 << 32))) * 1_000_000_000 + UInt64(max(0, attoseconds / 1_000_000_000))
        let box = Unmanaged.passRetained(self).toOpaque()
        sealer_timer_start(
            nanoseconds,
            { box in
                guard let box else { return }
                Unmanaged<PauseTimer>.fromOpaque(box).takeRetainedValue().end(with: .success(()))
            },
            box
        )
    }

    func end(with result: Result<Void, any Error>) {
        let continuation: CheckedContinuation<Void, any Error>? = state.withLock { state in
            defer { state = .ended }
            if case .waiting(let continuation) = state { return continuation }
            return nil
        }
        continuation?.resume(with: result)
    }
}
