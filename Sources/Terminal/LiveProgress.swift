import Report
import Synchronization

/// Shows progress on a terminal: a line for each running step, redrawn in place; what ends scrolls up.
///
/// The cursor is never hidden, so whatever way the process ends, there is nothing to restore.
public final class LiveProgress: ProgressDisplay {
    private struct State {
        var board = ProgressBoard()
        var frame: LiveFrame
        var scroll: [String] = []
        var isPaused = false
    }

    private let terminal: any TerminalDevice
    private let style: TerminalStyle
    private let now: @Sendable () -> Duration
    private let queue: DisplayQueue
    private let state: Mutex<State>

    /// Shows on a terminal.
    public convenience init(_ terminal: any TerminalDevice, style: TerminalStyle) {
        self.init(terminal, style: style, now: timeSinceNow())
    }

    init(_ terminal: any TerminalDevice, style: TerminalStyle, now: @escaping @Sendable () -> Duration) {
        self.terminal = terminal
        self.style = style
        self.now = now
        queue = DisplayQueue(now: now)
        state = Mutex(State(frame: LiveFrame(style: style)))
    }

    /// Takes an event; the terminal sees it within a tenth of a second.
    public func send(_ event: ProgressEvent) {
        let time = now()
        state.withLock { state in
            guard let change = state.board.apply(event, at: time), let line = line(change, at: time) else { return }
            state.scroll.append(line)
        }
        queue.wake { [weak self] in self?.draw() ?? false }
    }

    /// Takes the live lines away and draws no more.
    public func pause() async {
        await queue.run {
            let time = self.now()
            let size = self.terminal.size
            let text = self.state.withLock { state in
                defer { (state.scroll, state.isPaused) = ([], true) }
                return state.frame.compose(scroll: state.scroll, running: [], now: time, size: size)
            }
            if !text.isEmpty { self.terminal.write(text) }
        }
    }

    /// Draws again, what came meanwhile first.
    public func resume() {
        state.withLock { $0.isPaused = false }
        queue.wake { [weak self] in self?.draw() ?? false }
    }

    /// Draws what is left and takes the live lines away; steps that did not end are named.
    public func finish() {
        queue.finish {
            let time = self.now()
            let size = self.terminal.size
            let text = self.state.withLock { state in
                let interrupted = state.board.running.map {
                    "\(self.style.yellow("-")) \($0.name)  not finished after \((time - $0.started).inWords)"
                }
                defer { state.scroll = [] }
                return state.frame.compose(scroll: state.scroll + interrupted, running: [], now: time, size: size)
            }
            self.terminal.write(text)
        }
    }

    /// - Returns: whether something is running that wants to be redrawn.
    private func draw() -> Bool {
        let time = now()
        let size = terminal.size
        let (text, isBusy) = state.withLock { state -> (String, Bool) in
            guard !state.isPaused else { return ("", false) }
            defer { state.scroll = [] }
            let text = state.frame.compose(scroll: state.scroll, running: state.board.running, now: time, size: size)
            return (text, !state.board.running.isEmpty)
        }
        if !text.isEmpty { terminal.write(text) }
        return isBusy
    }

    /// The line that stays, for a change that leaves one.
    private func line(_ change: ProgressBoard.Change, at time: Duration) -> String? {
        switch change {
        case .started, .advanced, .note: return nil
        case .finished(let entry, let detail):
            let words = (time - entry.started).inWords
            return "\(style.green("✓")) \(entry.name)  \(words)" + (detail.map { "  " + style.dim($0) } ?? "")
        case .failed(let entry, let message):
            // The whole message comes as the command's error at the end.
            let first = message.split(separator: "\n").first.map { ": \($0)" } ?? ""
            return "\(style.red("✗")) \(entry.name)  \((time - entry.started).inWords)\(first)"
        case .warning(let text):
            return style.yellow("warning: ") + text
        }
    }
}
