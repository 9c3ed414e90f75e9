import Report
import Synchronization

@testable import Terminal

/// A clock that stands still until it is told to go on.
final class FakeClock: Sendable {
    private let time = Mutex(Duration.zero)
    var now: @Sendable () -> Duration { { self.time.withLock { $0 } } }
    func advance(_ duration: Duration) { time.withLock { $0 += duration } }
}

/// A terminal that understands the sequences that we use, and can say what it shows.
final class FakeTerminal: TerminalDevice {
    private struct Screen {
        var size: TerminalSize
        var rows: [[Character]] = [[]]
        var row = 0
        var column = 0
        var written = ""
    }

    private let screen: Mutex<Screen>

    init(columns: Int = 60, rows: Int = 10) { screen = Mutex(Screen(size: TerminalSize(columns: columns, rows: rows))) }

    var size: TerminalSize { screen.withLock { $0.size } }
    /// All bytes as they came.
    var written: String { screen.withLock { $0.written } }
    /// The lines on the screen and above it, without the empty ones at the end.
    var lines: [String] {
        var lines = screen.withLock { screen in
            screen.rows.map { row in String(String(row).reversed().drop { $0 == " " }.reversed()) }
        }
        while lines.last == "" { lines.removeLast() }
        return lines
    }
    var column: Int { screen.withLock { $0.column } }

    func write(_ text: String) {
        screen.withLock { screen in
            screen.written += text
            var rest = text[...]
            while let character = rest.popFirst() {
                switch character {
                case "\n": Self.newLine(&screen)
                case "\r": screen.column = 0
                case "\u{1b}": Self.sequence(&rest, &screen)
                default:
                    if screen.column == screen.size.columns { Self.newLine(&screen) }
                    while screen.rows[screen.row].count <= screen.column { screen.rows[screen.row].append(" ") }
                    screen.rows[screen.row][screen.column] = character
                    screen.column += 1
                }
            }
        }
    }

    private static func newLine(_ screen: inout Screen) {
        screen.row += 1
        screen.column = 0
        if screen.row == screen.rows.count { screen.rows.append([]) }
    }

    private static func sequence(_ rest: inout Substring, _ screen: inout Screen) {
        guard rest.popFirst() == "[" else { return }
        let digits = rest.prefix { $0.isNumber }
        rest = rest.dropFirst(digits.count)
        switch rest.popFirst() {
        case "A": screen.row = max(screen.row - (Int(digits) ?? 1), screen.rows.count - screen.size.rows, 0)
        case "J":
            screen.rows[screen.row] = Array(screen.rows[screen.row].prefix(screen.column))
            screen.rows.removeSubrange((screen.row + 1)...)
        default: break
        }
    }
}
