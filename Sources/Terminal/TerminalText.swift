/// Text of strangers (a command's output, names out of an image), made fit to print.
///
/// A terminal obeys control sequences: they can rewrite what stands on the screen, set the title, or type into the shell. So they are
/// taken out, and so are the marks that turn the direction of writing around.
public enum TerminalText {
    /// The text as one line: line breaks and tabs become spaces, controls go.
    public static func line(_ text: String) -> String {
        var line = ""
        line.unicodeScalars.reserveCapacity(text.unicodeScalars.count)
        for scalar in withoutSequences(text) {
            if scalar == "\n" || scalar == "\t" || scalar == "\u{2028}" || scalar == "\u{2029}" {
                line.unicodeScalars.append(" ")
            } else if !isControl(scalar) {
                line.unicodeScalars.append(scalar)
            }
        }
        return line
    }

    /// The text with its line breaks; tabs become spaces, controls go.
    public static func block(_ text: String) -> String {
        text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }.map { line(String($0)) }.joined(
            separator: "\n")
    }

    /// What a terminal would show of a line of output that overwrites itself by carriage returns: the last part.
    static func lastState(_ text: String) -> String {
        let parts = text.unicodeScalars.split(separator: "\r")
        return parts.last.map { line(String($0)) } ?? ""
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7f..<0xa0: true
        // Bidirectional overrides, isolates and marks.
        case 0x200e, 0x200f, 0x202a...0x202e, 0x2066...0x2069, 0x61c: true
        default: false
        }
    }

    /// The scalars without escape sequences (ECMA-48, 5.4 and 5.6).
    private static func withoutSequences(_ text: String) -> [Unicode.Scalar] {
        var kept: [Unicode.Scalar] = []
        var rest = text.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            switch scalar {
            case "\u{1b}":
                guard let next = rest.popFirst() else { break }
                switch next {
                case "[": skipControlSequence(&rest)
                case "]", "P", "X", "^", "_": skipString(&rest)
                case "\u{1b}": rest = text.unicodeScalars[text.unicodeScalars.index(before: rest.startIndex)...]
                case " "..."/":
                    // Intermediate characters, then a final one.
                    while let byte = rest.first, (" "..."/").contains(byte) { rest.removeFirst() }
                    _ = rest.popFirst()
                default: if isControl(next) { kept.append(next) }
                }
            case "\u{9b}": skipControlSequence(&rest)
            case "\u{90}", "\u{98}", "\u{9d}", "\u{9e}", "\u{9f}": skipString(&rest)
            default: kept.append(scalar)
            }
        }
        return kept
    }

    /// Skips parameters and the final character of a control sequence.
    private static func skipControlSequence(_ rest: inout Substring.UnicodeScalarView) {
        while let scalar = rest.first, (" "..."?").contains(scalar) { rest.removeFirst() }
        if let final = rest.first, ("@"..."~").contains(final) { rest.removeFirst() }
    }

    /// Skips a control string up to its end mark, or to the end of the line when there is none.
    private static func skipString(_ rest: inout Substring.UnicodeScalarView) {
        while let scalar = rest.first, scalar != "\n" {
            rest.removeFirst()
            if scalar == "\u{7}" || scalar == "\u{9c}" { return }
            if scalar == "\u{1b}", rest.first == "\\" {
                rest.removeFirst()
                return
            }
        }
    }

    // MARK: Width

    /// How many columns of a terminal the text takes.
    public static func width(_ text: String) -> Int {
        text.reduce(0) { $0 + width($1) }
    }

    private static func width(_ character: Character) -> Int {
        character.unicodeScalars.map(width).max() ?? 0
    }

    private static func width(_ scalar: Unicode.Scalar) -> Int {
        switch scalar.value {
        case 0..<0x20, 0x7f..<0xa0: return 0
        case 0x1100...0x115f, 0x2e80...0x303e, 0x3041...0x4dbf, 0x4e00...0xa4cf, 0xac00...0xd7a3, 0xf900...0xfaff,
            0xfe30...0xfe6f, 0xff00...0xff60, 0xffe0...0xffe6, 0x1f1e6...0x1f1ff, 0x1f300...0x1f64f, 0x1f680...0x1f6ff,
            0x1f900...0x1f9ff, 0x20000...0x3fffd:
            return 2
        default:
            switch scalar.properties.generalCategory {
            case .nonspacingMark, .enclosingMark, .format: return 0
            default: return 1
            }
        }
    }

    /// The text, cut to at most `columns` columns with an ellipsis at the end if it is longer.
    public static func shortened(_ text: String, to columns: Int) -> String {
        guard width(text) > columns else { return text }
        guard columns > 0 else { return "" }
        var taken = 0
        let kept = text.prefix { character in
            taken += width(character)
            return taken <= columns - 1
        }
        return kept + "…"
    }
}
