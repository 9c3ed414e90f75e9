import Synchronization

/// Names one running step among all of the process.
public struct StepID: Hashable, Sendable {
    private static let counter = Atomic<UInt64>(0)
    private let number: UInt64

    /// Makes a new name that no other step of this process has.
    public init() {
        number = Self.counter.wrappingAdd(1, ordering: .relaxed).newValue
    }
}

/// What a running piece of work tells whoever watches.
public enum ProgressEvent: Sendable {
    /// A step began. `host` is the node it runs on, if it runs on one.
    case started(StepID, title: String, host: String?)
    /// A step got on: `completed` of `total` units; `total` is nil as long as nobody knows it.
    case advanced(StepID, completed: Int64, total: Int64?, unit: ProgressUnit)
    /// A remark of a step, one line (for instance a line of a command's output).
    case note(StepID, String)
    /// A step ended well; `detail` says what was found or done, if that is worth a word.
    case finished(StepID, detail: String?)
    /// A step ended badly.
    case failed(StepID, message: String)
    /// Something the user should know that belongs to no step.
    case warning(String)
}

/// What progress is counted in.
public enum ProgressUnit: Sendable {
    /// Bytes.
    case bytes
    /// Things: images, nodes, files.
    case items
}

/// Where progress goes. Sending never blocks and never fails: a slow terminal must not slow the work.
public protocol ProgressSink: Sendable {
    /// Takes one event.
    func send(_ event: ProgressEvent)
    /// Leaves the terminal to a question and its answer until `resume`. What is sent meanwhile shows afterwards.
    func pause() async
    /// Takes the terminal back.
    func resume()
}

extension ProgressSink {
    /// Does nothing: whoever only adds lines is in nobody's way.
    public func pause() async {}
    /// Does nothing.
    public func resume() {}
}

/// A sink that drops everything, for callers who do not watch.
public struct SilentProgress: ProgressSink {
    /// Makes the sink.
    public init() {}
    /// Drops the event.
    public func send(_ event: ProgressEvent) {}
}

/// The handle that a running step gets to report its progress.
public struct Step: Sendable {
    /// The step's name.
    public let id: StepID
    private let sink: any ProgressSink

    fileprivate init(id: StepID, sink: any ProgressSink) {
        self.id = id
        self.sink = sink
    }

    /// Tells how far the step is.
    public func advance(_ completed: Int64, of total: Int64?, unit: ProgressUnit = .bytes) {
        sink.send(.advanced(id, completed: completed, total: total, unit: unit))
    }

    /// Passes a line of output or a remark on.
    public func note(_ text: String) {
        sink.send(.note(id, text))
    }
}

extension ProgressSink {
    /// Runs `body` as a step: its start, its end or its failure are reported, whatever way it ends.
    public func step<Result>(
        _ title: String,
        host: String? = nil,
        isolation: isolated (any Actor)? = #isolation,
        _ body: (Step) async throws -> Result
    ) async throws -> Result {
        let id = StepID()
        send(.started(id, title: title, host: host))
        do {
            let result = try await body(Step(id: id, sink: self))
            send(.finished(id, detail: nil))
            return result
        } catch {
            send(.failed(id, message: Failure.words(of: error)))
            throw error
        }
    }
}
