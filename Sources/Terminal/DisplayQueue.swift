import Dispatch
import Report
import Synchronization

/// The one thread that writes for a display, so that whoever sends an event never waits for the terminal.
final class DisplayQueue: Sendable {
    private struct State {
        var isScheduled = false
        var isFinished = false
        var last: Duration?
    }

    /// The shortest time between two drawings: ten a second are smooth, more are waste.
    static let interval = Duration.milliseconds(100)

    private let queue = DispatchQueue(label: "sealer.terminal", qos: .utility)
    private let state = Mutex(State())
    private let now: @Sendable () -> Duration

    init(now: @escaping @Sendable () -> Duration) {
        self.now = now
    }

    /// Has `draw` run soon, once for all calls until then. `draw` says whether it wants to be called again after the interval.
    func wake(_ draw: @escaping @Sendable () -> Bool) {
        let time = now()
        let delay: Duration? = state.withLock { state in
            guard !state.isScheduled, !state.isFinished else { return nil }
            state.isScheduled = true
            return state.last.map { Self.delay(sinceLast: time - $0) } ?? .zero
        }
        guard let delay else { return }
        let nanoseconds = Int(delay.components.attoseconds / 1_000_000_000)
        queue.asyncAfter(deadline: .now() + .nanoseconds(nanoseconds)) {
            let time = self.now()
            let goesOn = self.state.withLock { state in
                state.isScheduled = false
                state.last = time
                return !state.isFinished
            }
            if goesOn, draw() { self.wake(draw) }
        }
    }

    /// How long to wait before the next drawing.
    static func delay(sinceLast: Duration) -> Duration {
        min(max(interval - sinceLast, .zero), interval)
    }

    /// Runs `draw` after all that was to be drawn before, and waits for it.
    func run(_ draw: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { done in
            queue.async {
                if self.state.withLock({ !$0.isFinished }) { draw() }
                done.resume()
            }
        }
    }

    /// Runs `draw` as the last thing, and waits for it, at most two seconds. Only the first call does anything.
    func finish(_ draw: @escaping @Sendable () -> Void) {
        let isFirst = state.withLock { state in
            defer { state.isFinished = true }
            return !state.isFinished
        }
        guard isFirst else { return }
        let done = DispatchSemaphore(value: 0)
        queue.async {
            draw()
            done.signal()
        }
        _ = done.wait(timeout: .now() + 2)
    }
}

/// The time since a display began.
func timeSinceNow() -> @Sendable () -> Duration {
    let start = ContinuousClock.now
    return { ContinuousClock.now - start }
}
