import Report

/// Draws the lines of running steps at the bottom of the screen, above them what scrolls away.
struct LiveFrame {
    private static let spinner = Array("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏").map(String.init)

    let style: TerminalStyle
    /// The widths of the lines that stand on the screen from the last time.
    private var drawn: [Int] = []

    init(style: TerminalStyle) {
        self.style = style
    }

    /// What to write to get from the last frame to this one; the cursor ends at the start of the line below.
    mutating func compose(scroll: [String], running: [ProgressBoard.Entry], now: Duration, size: TerminalSize) -> String
    {
        let lines = live(running, now: now, size: size)
        guard !scroll.isEmpty || !lines.isEmpty || !drawn.isEmpty else { return "" }
        // Lines that were drawn on a wider screen take several rows by now.
        let rows = drawn.reduce(0) { $0 + max(1, ($1 + size.columns - 1) / max(size.columns, 1)) }
        var text = rows > 0 ? "\r\u{1b}[\(rows)A\u{1b}[J" : ""
        for line in scroll { text += line + "\n" }
        for line in lines { text += line.styled + "\n" }
        drawn = lines.map(\.width)
        return text
    }

    private struct Line {
        var styled: String
        var width: Int
    }

    private func live(_ running: [ProgressBoard.Entry], now: Duration, size: TerminalSize) -> [Line] {
        // One row stays free for the cursor; in the last column some terminals wrap.
        let room = size.rows - 1
        let columns = max(size.columns - 1, 1)
        guard room > 0 else { return [] }
        guard running.count > room else { return running.map { line($0, now: now, columns: columns) } }
        let more = TerminalText.shortened("… and \(running.count - room + 1) more", to: columns)
        return running.prefix(room - 1).map { line($0, now: now, columns: columns) }
            + [Line(styled: style.dim(more), width: TerminalText.width(more))]
    }

    private func line(_ entry: ProgressBoard.Entry, now: Duration, columns: Int) -> Line {
        let elapsed = max(now - entry.started, .zero)
        let symbol = Self.spinner[Int(elapsed / DisplayQueue.interval) % Self.spinner.count]
        let facts = [entry.amount, elapsed.inWords].compactMap(\.self).joined(separator: "  ")
        let room = columns - 2 - 2 - TerminalText.width(facts)
        guard room >= 8 else {
            // A very narrow window: the name alone, as far as it goes.
            let text = TerminalText.shortened("\(symbol) \(entry.name)", to: columns)
            return Line(styled: text, width: TerminalText.width(text))
        }
        let name = TerminalText.shortened(entry.name, to: room)
        var styled = "\(symbol) \(name)  \(facts)"
        var width = TerminalText.width(styled)
        if let note = entry.note, !note.isEmpty, columns - width - 2 >= 8 {
            let shown = TerminalText.shortened(note, to: columns - width - 2)
            styled += "  " + style.dim(shown)
            width += 2 + TerminalText.width(shown)
        }
        return Line(styled: styled, width: width)
    }
}
