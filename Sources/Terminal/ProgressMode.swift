import Glibc
import Report

/// How progress is shown.
public enum ProgressMode: String, Sendable, CaseIterable {
    /// Live on a terminal that can do it, plain otherwise.
    case auto
    /// A line at the start and the end of each step, for logs and pipes.
    case plain
    /// One line for each running step, redrawn as it goes on.
    case live
    /// Nothing but warnings.
    case none

    /// Makes what shows progress in this mode.
    ///
    /// - Parameters:
    ///   - descriptor: where it goes, normally standard error.
    ///   - environment: of the process: `TERM=dumb` (or none) rules live out, `NO_COLOR` colours.
    public func display(on descriptor: Int32 = 2, environment: [String: String]) -> any ProgressDisplay {
        let terminal = DescriptorTerminal(descriptor)
        switch resolved(isTerminal: isatty(descriptor) == 1, environment: environment) {
        case .live: return LiveProgress(terminal, style: TerminalStyle(environment: environment))
        case .plain, .auto: return PlainProgress(terminal)
        case .none: return WarningsOnly(PlainProgress(terminal))
        }
    }

    /// The mode that `auto` and `live` come to.
    func resolved(isTerminal: Bool, environment: [String: String]) -> ProgressMode {
        let term = environment["TERM"] ?? ""
        let canDraw = isTerminal && !term.isEmpty && term != "dumb"
        switch self {
        case .auto, .live: return canDraw ? .live : .plain
        case .plain, .none: return self
        }
    }
}

/// A sink that shows progress to people.
public protocol ProgressDisplay: ProgressSink {
    /// Shows what is not yet shown and ends: what is sent afterwards is dropped. Waits at most two seconds for a terminal that does
    /// not take it.
    func finish()
}

/// Shows warnings and drops the rest: what the user should know is no progress.
struct WarningsOnly: ProgressDisplay {
    private let display: PlainProgress

    init(_ display: PlainProgress) {
        self.display = display
    }

    func send(_ event: ProgressEvent) {
        if case .warning = event { display.send(event) }
    }

    func finish() { display.finish() }
}

/// Passes progress on to several sinks.
public struct CombinedProgress: ProgressSink {
    private let sinks: [any ProgressSink]

    /// Makes a sink of several.
    public init(_ sinks: [any ProgressSink]) {
        self.sinks = sinks
    }

    /// Sends the event to each.
    public func send(_ event: ProgressEvent) {
        for sink in sinks { sink.send(event) }
    }

    /// Pauses each.
    public func pause() async {
        for sink in sinks { await sink.pause() }
    }

    /// Has each go on.
    public func resume() {
        for sink in sinks { sink.resume() }
    }
}

/// Colours, or their absence (no-color.org).
public struct TerminalStyle: Sendable {
    private let hasColor: Bool

    /// Makes a style.
    public init(hasColor: Bool) {
        self.hasColor = hasColor
    }

    /// No colour when `NO_COLOR` is there and not empty.
    public init(environment: [String: String]) {
        hasColor = (environment["NO_COLOR"] ?? "").isEmpty
    }

    /// Good.
    public func green(_ text: String) -> String { painted(text, "32") }
    /// Bad.
    public func red(_ text: String) -> String { painted(text, "31") }
    /// Remarkable.
    public func yellow(_ text: String) -> String { painted(text, "33") }
    /// Less important.
    public func dim(_ text: String) -> String { painted(text, "2") }

    private func painted(_ text: String, _ code: String) -> String {
        hasColor && !text.isEmpty ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text
    }
}
