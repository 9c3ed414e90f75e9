import Report
import Synchronization

/// Shows progress as lines of a log: when a step starts and ends, what it remarks, and now and then how far it is.
public final class PlainProgress: ProgressDisplay {
    private struct State {
        var board = ProgressBoard()
        var lines: [String] = []
        var leftOut = 0
        var told: [StepID: Duration] = [:]
    }

    /// The shortest time between two lines about how far a step is.
    static let interval = Duration.seconds(5)

    /// The most lines that wait for an output that does not take them.
    static let limit = 10_000

    private let output: any TextOutput
    private let now: @Sendable () -> Duration
    private let queue: DisplayQueue
    private let state = Mutex(State())

    /// Shows on an output.
    public convenience init(_ output: any TextOutput) {
        self.init(output, now: timeSinceNow())
    }

    init(_ output: any TextOutput, now: @escaping @Sendable () -> Duration) {
        self.output = output
        self.now = now
        queue = DisplayQueue(now: now)
    }

    /// Takes an event; the output sees it within a tenth of a second.
    public func send(_ event: ProgressEvent) {
        let time = now()
        let hasNews = state.withLock { state in
            guard let change = state.board.apply(event, at: time), let line = line(change, at: time, &state) else {
                return false
            }
            guard state.lines.count < Self.limit else {
                state.leftOut += 1
                return true
            }
            state.lines += line.split(separator: "\n", omittingEmptySubsequences: false).map {
                "[\(Self.stamp(time))] \($0)\n"
            }
            return true
        }
        if hasNews { queue.wake { [weak self] in self?.flush() ?? false } }
    }

    /// Writes what is left; steps that did not end are named.
    public func finish() {
        queue.finish {
            let time = self.now()
            self.state.withLock { state in
                state.lines += state.board.running.map {
                    "[\(Self.stamp(time))] \(Self.name($0)): not finished after \((time - $0.started).inWords)\n"
                }
            }
            _ = self.flush()
        }
    }

    private func flush() -> Bool {
        let lines = state.withLock { state in
            defer { (state.lines, state.leftOut) = ([], 0) }
            return state.lines + (state.leftOut > 0 ? ["… \(state.leftOut) lines left out\n"] : [])
        }
        if !lines.isEmpty { output.write(lines.joined()) }
        return false
    }

    private func line(_ change: ProgressBoard.Change, at time: Duration, _ state: inout State) -> String? {
        switch change {
        case .started(let entry):
            state.told[entry.id] = time
            return "\(Self.name(entry)) …"
        case .advanced(let entry):
            guard let amount = entry.amount, let told = state.told[entry.id], time - told >= Self.interval else {
                return nil
            }
            state.told[entry.id] = time
            return "\(Self.name(entry)): \(amount)"
        case .note(let entry, let text):
            return text.isEmpty ? nil : "\(Self.name(entry)) | \(text)"
        case .finished(let entry, let detail):
            state.told[entry.id] = nil
            return "\(Self.name(entry)): done in \((time - entry.started).inWords)" + (detail.map { ", \($0)" } ?? "")
        case .failed(let entry, let message):
            state.told[entry.id] = nil
            let first = message.split(separator: "\n").first.map { ": \($0)" } ?? ""
            return "\(Self.name(entry)): failed after \((time - entry.started).inWords)\(first)"
        case .warning(let text):
            return "warning: \(text)"
        }
    }

    private static func name(_ entry: ProgressBoard.Entry) -> String {
        entry.host.map { "\($0): \(entry.title)" } ?? entry.title
    }

    /// The time since the start: `12.3s`.
    private static func stamp(_ time: Duration) -> String {
        let tenths = Int(time / .milliseconds(100))
        return "\(tenths / 10).\(tenths % 10)s"
    }
}
