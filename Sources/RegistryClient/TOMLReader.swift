import Report

/// Reads the part of TOML 1.0 that `containers-registries.conf` is written in: tables, arrays of tables, inline tables,
/// one-line strings, booleans, decimal integers, arrays and comments. Everything else is an error that says so.
///
/// It stops at the first mistake: after one, the meaning of the rest is a guess.
struct TOMLReader {
    /// Arrays and inline tables may lie this deep in each other.
    static let depthLimit = 16

    private let file: String
    private let scalars: [Unicode.Scalar]
    private var position = 0
    private var line = 1
    private var lineStart = 0

    private init(_ text: String, file: String) {
        self.file = file
        scalars = Array(text.unicodeScalars)
    }

    /// Parses a whole text into its root table.
    ///
    /// - Throws: `InvalidText` with one diagnostic.
    static func parse(_ text: String, file: String) throws(InvalidText) -> TOMLNode {
        var reader = TOMLReader(text, file: file)
        return try reader.document()
    }

    // MARK: - Document

    private mutating func document() throws(InvalidText) -> TOMLNode {
        let root = TOMLTableBuilder(.header, at: place)
        var current = root
        if peek == "\u{FEFF}" { position += 1 }
        while true {
            try skipBlank(withLines: true)
            guard let next = peek else { return root.node }
            if next == "[" {
                current = try header(in: root)
            } else {
                try assignment(in: current)
            }
            try endOfLine()
        }
    }

    private mutating func header(in root: TOMLTableBuilder) throws(InvalidText) -> TOMLTableBuilder {
        position += 1
        let isArray = peek == "["
        if isArray { position += 1 }
        try skipBlank()
        let path = try dottedKey()
        try skipBlank()
        try expect("]")
        if isArray { try expect("]") }
        guard let last = path.last else { throw wrong("the name of the table is missing") }

        var table = root
        for part in path.dropLast() { table = try descend(from: table, to: part, making: .implied) }
        switch (table.entries[last.name], isArray) {
        case (nil, false):
            let new = TOMLTableBuilder(.header, at: last.place)
            table.entries[last.name] = .table(new)
            return new
        case (.table(let old), false) where old.origin == .implied:
            old.origin = .header
            return old
        case (nil, true):
            let new = TOMLTableBuilder(.header, at: last.place)
            table.entries[last.name] = .tables([new])
            return new
        case (.tables(let old), true):
            let new = TOMLTableBuilder(.header, at: last.place)
            table.entries[last.name] = .tables(old + [new])
            return new
        default:
            throw wrong("\"\(last.name)\" is there already", at: last.place)
        }
    }

    private func descend(
        from table: TOMLTableBuilder,
        to part: Key,
        making origin: TOMLTableBuilder.Origin
    ) throws(InvalidText) -> TOMLTableBuilder {
        switch table.entries[part.name] {
        case nil:
            let new = TOMLTableBuilder(origin, at: part.place)
            table.entries[part.name] = .table(new)
            return new
        case .table(let inner) where origin == .implied && inner.origin != .inline: return inner
        case .table(let inner) where origin == .dottedKey && inner.origin == .dottedKey: return inner
        case .tables(let list) where origin == .implied:
            if let last = list.last { return last }
            throw wrong("\"\(part.name)\" is an empty array", at: part.place)
        default: throw wrong("\"\(part.name)\" is there already and cannot be added to", at: part.place)
        }
    }

    private mutating func assignment(in table: TOMLTableBuilder, depth: Int = 0) throws(InvalidText) {
        let path = try dottedKey()
        try skipBlank()
        try expect("=", "after the key")
        try skipBlank()
        let value = try value(depth: depth)
        guard let last = path.last else { throw wrong("the key is missing") }
        var target = table
        for part in path.dropLast() { target = try descend(from: target, to: part, making: .dottedKey) }
        guard target.entries[last.name] == nil else {
            throw wrong("the key \"\(last.name)\" is there already", at: last.place)
        }
        target.entries[last.name] = .value(value)
    }

    // MARK: - Keys

    private struct Key {
        var name: String
        var place: TOMLNode.Place
    }

    private mutating func dottedKey() throws(InvalidText) -> [Key] {
        var path: [Key] = []
        while true {
            guard path.count < Self.depthLimit else { throw wrong("the name has more than \(Self.depthLimit) parts") }
            path.append(try simpleKey())
            try skipBlank()
            guard peek == "." else { return path }
            position += 1
            try skipBlank()
        }
    }

    private mutating func simpleKey() throws(InvalidText) -> Key {
        let start = place
        if peek == "\"" || peek == "'" { return Key(name: try string(), place: start) }
        var name = String.UnicodeScalarView()
        while let next = peek, Self.isBareKey(next) {
            name.append(next)
            position += 1
        }
        guard !name.isEmpty else { throw wrong("expected a key, found \(found)") }
        return Key(name: String(name), place: start)
    }

    private static func isBareKey(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", "_", "-": true
        default: false
        }
    }

    // MARK: - Values

    private mutating func value(depth: Int) throws(InvalidText) -> TOMLNode {
        let start = place
        guard depth < Self.depthLimit else {
            throw wrong("arrays and tables lie more than \(Self.depthLimit) deep in each other")
        }
        switch peek {
        case "\"", "'": return TOMLNode(value: .string(try string()), place: start)
        case "[": return TOMLNode(value: .array(try array(depth: depth)), place: start)
        case "{": return try inlineTable(depth: depth)
        default: return TOMLNode(value: try word(), place: start)
        }
    }

    private mutating func array(depth: Int) throws(InvalidText) -> [TOMLNode] {
        position += 1
        var items: [TOMLNode] = []
        while true {
            try skipBlank(withLines: true)
            if peek == "]" { break }
            items.append(try value(depth: depth + 1))
            try skipBlank(withLines: true)
            if peek == "," {
                position += 1
            } else if peek != "]" {
                throw wrong("expected , or ] in the array, found \(found)")
            }
        }
        position += 1
        return items
    }

    private mutating func inlineTable(depth: Int) throws(InvalidText) -> TOMLNode {
        let table = TOMLTableBuilder(.inline, at: place)
        position += 1
        try skipBlank()
        if peek != "}" {
            while true {
                try assignment(in: table, depth: depth + 1)
                try skipBlank()
                guard peek == "," else { break }
                position += 1
                try skipBlank()
            }
        }
        try expect("}", "at the end of the inline table")
        return table.node
    }

    /// A boolean or an integer.
    private mutating func word() throws(InvalidText) -> TOMLNode.Value {
        let start = place
        var word = ""
        while let next = peek, Self.isBareKey(next) || "+.:".unicodeScalars.contains(next) {
            word.unicodeScalars.append(next)
            position += 1
        }
        if word.isEmpty { throw wrong("expected a value, found \(found)", at: start) }
        if word == "true" { return .boolean(true) }
        if word == "false" { return .boolean(false) }
        if let number = Self.integer(word) { return .integer(number) }
        throw wrong(
            "\"\(word.prefix(40))\" is not a string in quotes, true, false or a decimal integer"
                + " (other TOML values are not used in this file)",
            at: start
        )
    }

    /// TOML's decimal integers: no leading zeros, underscores only between digits.
    private static func integer(_ word: String) -> Int64? {
        var digits = Substring(word)
        if digits.first == "+" || digits.first == "-" { digits = digits.dropFirst() }
        let groups = digits.split(separator: "_", omittingEmptySubsequences: false)
        guard groups.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (48...57).contains($0) } }) else { return nil }
        if digits.count > 1, digits.first == "0" { return nil }
        return Int64(word.filter { $0 != "_" })
    }

    // MARK: - Strings

    private mutating func string() throws(InvalidText) -> String {
        let start = place
        guard let quote = peek else { throw wrong("expected a string") }
        position += 1
        if peek == quote, peek(1) == quote {
            throw wrong("strings over several lines are not used in this file", at: start)
        }
        var text = String.UnicodeScalarView()
        while true {
            guard let next = peek, next != "\n" else { throw wrong("the string has no end", at: start) }
            if next == quote {
                position += 1
                return String(text)
            }
            if next == "\\", quote == "\"" {
                text.append(try escape())
                continue
            }
            guard next == "\t" || (next.value >= 0x20 && next.value != 0x7F) else {
                throw wrong("a string may not hold the control character \(next.value)")
            }
            text.append(next)
            position += 1
        }
    }

    private mutating func escape() throws(InvalidText) -> Unicode.Scalar {
        let start = place
        position += 1
        let letter = peek
        position += 1
        switch letter {
        case "b": return "\u{8}"
        case "t": return "\t"
        case "n": return "\n"
        case "f": return "\u{C}"
        case "r": return "\r"
        case "\"": return "\""
        case "\\": return "\\"
        case "u": return try escapedCodePoint(digits: 4, from: start)
        case "U": return try escapedCodePoint(digits: 8, from: start)
        default: throw wrong("unknown escape in the string, use '…' for text with backslashes", at: start)
        }
    }

    private mutating func escapedCodePoint(
        digits: Int,
        from start: TOMLNode.Place
    ) throws(InvalidText) -> Unicode.Scalar {
        var value: UInt32 = 0
        for _ in 0..<digits {
            guard let next = peek, next.isASCII, let digit = Character(next).hexDigitValue else {
                throw wrong("expected \(digits) hexadecimal digits in the escape", at: start)
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        guard let scalar = Unicode.Scalar(value) else { throw wrong("the escape is no Unicode character", at: start) }
        return scalar
    }

    // MARK: - Characters

    private var peek: Unicode.Scalar? { peek(0) }

    private func peek(_ offset: Int) -> Unicode.Scalar? {
        position + offset < scalars.count ? scalars[position + offset] : nil
    }

    private var place: TOMLNode.Place {
        TOMLNode.Place(line: line, column: min(position, scalars.count) - lineStart + 1)
    }

    private var found: String {
        guard let next = peek, next != "\n", next != "\r" else { return "the end of the line" }
        return next.value < 0x20 ? "a control character" : "\"\(next)\""
    }

    private func wrong(_ message: String, at place: TOMLNode.Place? = nil) -> InvalidText {
        let place = place ?? self.place
        return InvalidText([Diagnostic(file: file, line: place.line, column: place.column, message: message)])
    }

    private mutating func expect(_ scalar: Unicode.Scalar, _ why: String = "") throws(InvalidText) {
        guard peek == scalar else {
            throw wrong("expected \(scalar)\(why.isEmpty ? "" : " ")\(why), found \(found)")
        }
        position += 1
    }

    /// Skips blanks, and with `withLines` comments and line ends too.
    private mutating func skipBlank(withLines: Bool = false) throws(InvalidText) {
        while let next = peek {
            if next == " " || next == "\t" {
                position += 1
            } else if withLines, next == "#" {
                try comment()
            } else if withLines, next == "\n" || (next == "\r" && peek(1) == "\n") {
                newLine()
            } else {
                return
            }
        }
    }

    private mutating func comment() throws(InvalidText) {
        while let next = peek, next != "\n" {
            guard next == "\t" || next == "\r" || (next.value >= 0x20 && next.value != 0x7F) else {
                throw wrong("a comment may not hold the control character \(next.value)")
            }
            position += 1
        }
    }

    private mutating func newLine() {
        position += peek == "\r" ? 2 : 1
        line += 1
        lineStart = position
    }

    private mutating func endOfLine() throws(InvalidText) {
        try skipBlank()
        if peek == "#" { try comment() }
        switch peek {
        case nil: return
        case "\n": newLine()
        case "\r" where peek(1) == "\n": newLine()
        default: throw wrong("expected the end of the line, found \(found)")
        }
    }
}
