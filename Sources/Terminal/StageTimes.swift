import Report
import Synchronization

/// How long the steps of a command took, in the order in which they began.
public struct StageTimes: Sendable {
    /// One step.
    public struct Stage: Sendable, Equatable {
        /// How a step ended.
        public enum Outcome: String, Sendable {
            /// It does not yet.
            case running
            /// Well.
            case finished
            /// Badly.
            case failed
        }

        /// What it did.
        public var title: String
        /// The node it ran on, if it ran on one.
        public var host: String?
        /// When it began, since recording began.
        public var started: Duration
        /// How long it took; zero as long as it runs.
        public var duration: Duration
        /// How it ended.
        public var outcome: Outcome
    }

    /// The steps.
    public var stages: [Stage] = []

    /// The steps as a table: what, where, how long.
    public var table: TextTable {
        var table = TextTable(header: ["STAGE", "HOST", "TIME"], alignments: [.left, .left, .right])
        for stage in stages {
            let time = stage.outcome == .finished ? stage.duration.inWords : stage.outcome.rawValue
            table.add([stage.title, stage.host ?? "-", time])
        }
        return table
    }
}

/// A sink that remembers how long each step took.
public final class RecordedProgress: ProgressSink {
    private struct State {
        var times = StageTimes()
        var positions: [StepID: Int] = [:]
    }

    private let now: @Sendable () -> Duration
    private let state = Mutex(State())

    /// Starts recording.
    public convenience init() {
        self.init(now: timeSinceNow())
    }

    init(now: @escaping @Sendable () -> Duration) {
        self.now = now
    }

    /// What was recorded so far.
    public var times: StageTimes { state.withLock { $0.times } }

    /// Takes an event.
    public func send(_ event: ProgressEvent) {
        let time = now()
        state.withLock { state in
            switch event {
            case .started(let id, let title, let host):
                state.positions[id] = state.times.stages.count
                state.times.stages.append(
                    StageTimes.Stage(title: title, host: host, started: time, duration: .zero, outcome: .running)
                )
            case .finished(let id, _): Self.end(id, .finished, time, &state)
            case .failed(let id, _): Self.end(id, .failed, time, &state)
            case .advanced, .note, .warning: break
            }
        }
    }

    private static func end(_ id: StepID, _ outcome: StageTimes.Stage.Outcome, _ time: Duration, _ state: inout State) {
        guard let position = state.positions.removeValue(forKey: id) else { return }
        state.times.stages[position].outcome = outcome
        state.times.stages[position].duration = time - state.times.stages[position].started
    }
}
