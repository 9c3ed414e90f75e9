extension YAMLNode {
    /// The document as a text, in block form, keys in the order given, with a line end at its end.
    ///
    /// What it writes is read back as an equal node: strings that look like something else are quoted, strings of several
    /// lines become literal blocks where that keeps every character.
    public var text: String {
        var emitter = Emitter()
        emitter.write(self, indent: 0, after: .start)
        return emitter.output
    }

    /// Several documents as one text, parted by `---`.
    public static func text(of documents: [YAMLNode]) -> String {
        documents.map(\.text).joined(separator: "---\n")
    }
}

/// Writes nodes in block form.
private struct Emitter {
    /// What stands before the node on its line.
    enum Context {
        case start, dash, key
    }

    var output = ""

    /// Longer keys need the form with a question mark: readers look for the colon in 1024 characters only.
    private static let longestSimpleKey = 128

    mutating func write(_ node: YAMLNode, indent: Int, after context: Context) {
        switch node.content {
        case .scalar(let scalar):
            if context == .key { output += " " }
            write(scalar, indent: indent)
        case .sequence(let items):
            guard !items.isEmpty else {
                output += context == .key ? " []\n" : "[]\n"
                return
            }
            if context == .key { output += "\n" }
            for (index, item) in items.enumerated() {
                if index > 0 || context != .dash { pad(indent) }
                output += "- "
                write(item, indent: indent + 2, after: .dash)
            }
        case .mapping(let mapping):
            guard !mapping.isEmpty else {
                output += context == .key ? " {}\n" : "{}\n"
                return
            }
            if context == .key { output += "\n" }
            for (index, entry) in mapping.entries.enumerated() {
                if index > 0 || context != .dash { pad(indent) }
                write(entry, indent: indent)
            }
        }
    }

    private mutating func write(_ entry: YAMLMapping.Entry, indent: Int) {
        let key = Self.isPlain(entry.key) ? entry.key : Self.quoted(entry.key)
        if key.unicodeScalars.count > Self.longestSimpleKey {
            output += "? \(key)\n"
            pad(indent)
        } else {
            output += key
        }
        output += ":"
        write(entry.value, indent: indent + 2, after: .key)
    }

    private mutating func write(_ scalar: YAMLScalar, indent: Int) {
        let text = scalar.text
        if scalar.style == .plain, case .string = scalar.value {
            // A word without quotes that means itself; what it was read from may have been on several lines.
            output += (Self.isPlain(text) ? text : Self.quoted(text)) + "\n"
        } else if scalar.style == .plain {
            output += (text.isEmpty ? "null" : text) + "\n"
        } else if Self.fitsBlock(text) {
            writeBlock(text, indent: max(indent, 2))
        } else {
            output += (Self.isPlain(text) ? text : Self.quoted(text)) + "\n"
        }
    }

    private mutating func writeBlock(_ text: String, indent: Int) {
        output += "|"
        // With blanks in front the reader could not tell the indentation from the text.
        if let first = text.unicodeScalars.first, " \n\t".unicodeScalars.contains(first) { output += "2" }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        if lines.last == "" {
            lines.removeLast()
            if lines.last == "" { output += "+" }
        } else {
            output += "-"
        }
        output += "\n"
        for line in lines {
            if !line.isEmpty { pad(indent) }
            output += line + "\n"
        }
    }

    private mutating func pad(_ indent: Int) { output += String(repeating: " ", count: indent) }

    // MARK: - Which form a string can take

    /// Whether the text can stand as a literal block and come back as it was.
    static func fitsBlock(_ text: String) -> Bool {
        let scalars = text.unicodeScalars
        guard scalars.contains("\n"), scalars.contains(where: { $0 != "\n" }) else { return false }
        guard scalars.allSatisfy({ $0 == "\n" || isPrintable($0) }) else { return false }
        return scalars.split(separator: "\n").allSatisfy { line in line.last != " " && line.last != "\t" }
    }

    /// Whether the text can stand without quotes and be a string for every reader of YAML 1.1 and 1.2.
    static func isPlain(_ text: String) -> Bool {
        let scalars = text.unicodeScalars
        guard let first = scalars.first, let last = scalars.last else { return false }
        guard case .string = YAMLValue(plain: text) else { return false }
        guard !"-?:,[]{}#&*!|>'\"%@`= ".unicodeScalars.contains(first), last != " ", last != ":" else { return false }
        guard text != "<<", !text.hasPrefix("...") else { return false }
        if "+.0123456789".unicodeScalars.contains(first) {
            // Dates, times, sexagesimals and what one reader or the other takes for a number.
            let numeric = "0123456789abcdefABCDEFxXoO_.:+-tTzZ ".unicodeScalars
            if scalars.allSatisfy(numeric.contains) { return false }
        }
        var previous: Unicode.Scalar = "\n"
        for scalar in scalars {
            guard isPrintable(scalar), scalar != "\t" else { return false }
            if previous == ":", scalar == " " { return false }
            if previous == " ", scalar == "#" { return false }
            previous = scalar
        }
        return true
    }

    /// Printable by YAML 1.1, without the characters that some reader takes for a line end.
    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09, 0x20...0x7e, 0xa0...0x2027, 0x202a...0xd7ff, 0xe000...0xfefe, 0xff00...0xfffd, 0x10000...0x10ffff:
            true
        default: false
        }
    }

    /// The text in double quotes.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if isPrintable(scalar) {
                    result.unicodeScalars.append(scalar)
                } else {
                    result += escape(scalar.value)
                }
            }
        }
        return result + "\""
    }

    private static func escape(_ value: UInt32) -> String {
        let digits = String(value, radix: 16)
        let (letter, width) = value <= 0xff ? ("x", 2) : value <= 0xffff ? ("u", 4) : ("U", 8)
        return "\\\(letter)\(String(repeating: "0", count: width - digits.count))\(digits)"
    }
}
