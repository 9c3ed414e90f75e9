import Report

/// One instruction's characters: a line of the file, or several that `\` joined.
struct LogicalLine {
    /// The characters, without the joints and without blanks at the ends.
    var characters: ArraySlice<SourceCharacter>
    /// Where the text ends, for what is missing there.
    var end: SourcePosition
    /// The number of the file's line that the instruction ends with.
    var lastLine: Int
}

/// Cuts a Kubefile into logical lines, on demand, so that the parser can pass over here-documents.
struct LineReader {
    private let lines: [[Unicode.Scalar]]
    private var next = 0
    /// Remarks on the way.
    private(set) var warnings: [(position: SourcePosition, message: String)] = []

    init(_ text: String) {
        var scalars = Array(text.unicodeScalars)
        if scalars.first == "\u{feff}" { scalars.removeFirst() }
        lines = scalars.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.last == "\r" ? Array(line.dropLast()) : Array(line)
        }
    }

    /// The parser directives (`# escape=\`) that stand before everything else: their names, values and places.
    func directives() -> [(name: String, value: String, position: SourcePosition)] {
        var found: [(name: String, value: String, position: SourcePosition)] = []
        for (number, line) in lines.enumerated() {
            let text = line.drop(while: isBlank)
            guard text.first == "#", let equals = text.firstIndex(of: "=") else { return found }
            let name = Self.trimmed(text[text.index(after: text.startIndex)..<equals])
            guard !name.isEmpty, name.utf8.allSatisfy({ $0 < 0x80 && isNameScalar(Unicode.Scalar($0)) }) else {
                return found
            }
            let position = SourcePosition(line: number + 1, column: text.startIndex + 1)
            found.append((name.lowercased(), Self.trimmed(text[(equals + 1)...]), position))
        }
        return found
    }

    /// The next logical line; nil at the end of the file.
    mutating func read() -> LogicalLine? {
        while next < lines.count, Self.isBlankLine(lines[next]) || Self.isComment(lines[next]) { next += 1 }
        guard next < lines.count else { return nil }
        var characters: [SourceCharacter] = []
        var end = SourcePosition(line: next + 1, column: 1)
        var lastLine = next + 1
        let firstLine = next + 1
        while next < lines.count {
            var line = lines[next][...]
            let number = next + 1
            next += 1
            if number > firstLine {
                if Self.isComment(Array(line)) { continue }
                if Self.isBlankLine(Array(line)) {
                    let position = SourcePosition(line: number, column: 1)
                    warnings.append((position, "an empty line within an instruction that \\ continues, passed over"))
                    continue
                }
            }
            while let last = line.last, isBlank(last) { line.removeLast() }
            let isContinued = line.last == "\\"
            if isContinued { line.removeLast() }
            for (column, scalar) in line.enumerated() {
                let position = SourcePosition(line: number, column: column + 1)
                characters.append(SourceCharacter(scalar: scalar, position: position))
            }
            lastLine = number
            end = SourcePosition(line: number, column: line.count + 1)
            if !isContinued { break }
            if next == lines.count { warnings.append((end, "\\ at the end of the file continues nothing")) }
        }
        return LogicalLine(characters: characters[...].trimmed, end: end, lastLine: lastLine)
    }

    /// Passes over a here-document's lines up to the one that holds only `delimiter`.
    ///
    /// - Returns: false, and nothing is passed over, when that line does not come.
    mutating func skipHereDocument(until delimiter: String, indented: Bool) -> Bool {
        for index in next..<max(next, lines.count) {
            let line = indented ? lines[index].drop { $0 == "\t" } : lines[index][...]
            if String(String.UnicodeScalarView(line)) == delimiter {
                next = index + 1
                return true
            }
        }
        return false
    }

    private static func isBlankLine(_ line: [Unicode.Scalar]) -> Bool {
        line.allSatisfy(Kubefile.isBlank)
    }

    private static func isComment(_ line: [Unicode.Scalar]) -> Bool {
        line.first { !Kubefile.isBlank($0) } == "#"
    }

    private static func trimmed(_ part: ArraySlice<Unicode.Scalar>) -> String {
        var part = part.drop(while: Kubefile.isBlank)
        while let last = part.last, Kubefile.isBlank(last) { part.removeLast() }
        return String(String.UnicodeScalarView(part))
    }
}
