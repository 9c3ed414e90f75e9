/// Cuts the characters of an instruction into words.
struct WordScanner {
    /// How quotes and blanks are taken.
    enum Quoting {
        /// Quotes group, blanks part words.
        case shell
        /// As `.shell`, but blanks belong to the word: the rest of `ENV NAME rest of the line`.
        case wholeLine
        /// No quotes: the text of a JSON string.
        case none
    }

    /// A mistake, for the parser's list.
    struct Mistake: Error {
        var position: SourcePosition
        var message: String
    }

    private let characters: ArraySlice<SourceCharacter>
    private let end: SourcePosition
    private var index: Int

    /// - Parameter end: where to point when something is missing at the end.
    init(_ characters: ArraySlice<SourceCharacter>, end: SourcePosition) {
        self.characters = characters
        self.end = end
        index = characters.startIndex
    }

    /// The words parted by blanks.
    static func words(_ characters: ArraySlice<SourceCharacter>, end: SourcePosition) throws(Mistake) -> [Word] {
        var scanner = WordScanner(characters, end: end)
        var words: [Word] = []
        while let word = try scanner.nextWord() { words.append(word) }
        return words
    }

    /// All characters as one word.
    static func word(
        _ characters: ArraySlice<SourceCharacter>,
        quoting: Quoting,
        end: SourcePosition
    ) throws(Mistake) -> Word {
        var scanner = WordScanner(characters, end: end)
        let pieces = try scanner.pieces(quoting: quoting, until: nil)
        return Word(source: characters.text, pieces: pieces, position: characters.first?.position ?? end)
    }

    /// Where each word parted by blanks stands, quotes observed, without looking into the words.
    static func spans(
        _ characters: ArraySlice<SourceCharacter>,
        end: SourcePosition
    ) throws(Mistake) -> [ArraySlice<SourceCharacter>] {
        var scanner = WordScanner(characters, end: end)
        var spans: [ArraySlice<SourceCharacter>] = []
        while true {
            scanner.skipBlanks()
            let start = scanner.index
            guard start < characters.endIndex else { return spans }
            _ = try scanner.pieces(quoting: .shell, until: nil)
            spans.append(characters[start..<scanner.index])
        }
    }

    private mutating func skipBlanks() {
        while index < characters.endIndex, characters[index].isBlank { index += 1 }
    }

    private mutating func nextWord() throws(Mistake) -> Word? {
        skipBlanks()
        guard index < characters.endIndex else { return nil }
        let start = index
        let pieces = try pieces(quoting: .shell, until: nil)
        return Word(source: characters[start..<index].text, pieces: pieces, position: characters[start].position)
    }

    /// Reads pieces up to the word's end, or to `closing` at the end of a fallback.
    private mutating func pieces(quoting: Quoting, until closing: Unicode.Scalar?) throws(Mistake) -> [Word.Piece] {
        var collected = PieceCollector()
        while index < characters.endIndex {
            let character = characters[index]
            switch character.scalar {
            case closing: return collected.pieces
            case _ where quoting == .shell && closing == nil && character.isBlank: return collected.pieces
            case "\\":
                index += 1
                guard index < characters.endIndex else {
                    collected.add("\\")
                    continue
                }
                let next = characters[index].scalar
                if quoting == .none, next != "$", next != "\\" { collected.add("\\") }
                collected.add(next)
                index += 1
            case "'" where quoting != .none:
                index += 1
                try singleQuoted(from: character.position, into: &collected)
            case "\"" where quoting != .none:
                index += 1
                try doubleQuoted(from: character.position, into: &collected)
            case "$":
                collected.add(try variable(quoting: quoting))
            default:
                collected.add(character.scalar)
                index += 1
            }
        }
        return collected.pieces
    }

    private mutating func singleQuoted(from start: SourcePosition, into collected: inout PieceCollector) throws(Mistake)
    {
        while index < characters.endIndex {
            let scalar = characters[index].scalar
            index += 1
            if scalar == "'" { return }
            collected.add(scalar)
        }
        throw Mistake(position: start, message: "the single quote that opens here is never closed")
    }

    private mutating func doubleQuoted(from start: SourcePosition, into collected: inout PieceCollector) throws(Mistake)
    {
        while index < characters.endIndex {
            let scalar = characters[index].scalar
            switch scalar {
            case "\"":
                index += 1
                return
            case "\\":
                index += 1
                guard index < characters.endIndex else { continue }
                let next = characters[index].scalar
                if !"\"\\$".unicodeScalars.contains(next) { collected.add("\\") }
                collected.add(next)
                index += 1
            case "$": collected.add(try variable(quoting: .shell))
            default:
                collected.add(scalar)
                index += 1
            }
        }
        throw Mistake(position: start, message: "the double quote that opens here is never closed")
    }

    /// Reads a variable; `index` stands on its dollar sign.
    private mutating func variable(quoting: Quoting) throws(Mistake) -> Word.Piece {
        let start = characters[index].position
        index += 1
        let isBraced = index < characters.endIndex && characters[index].scalar == "{"
        if isBraced { index += 1 }
        let nameStart = index
        while index < characters.endIndex, isNameScalar(characters[index].scalar) { index += 1 }
        let name = characters[nameStart..<index].text
        guard isVariableName(name) else {
            let message = "a variable's name was expected after $; a dollar sign itself is \\$"
            throw Mistake(position: start, message: message)
        }
        guard isBraced else { return .variable(name: name, fallback: nil, position: start) }
        let unclosed = Mistake(position: start, message: "the ${ that opens here is never closed by }")
        guard index < characters.endIndex else { throw unclosed }
        if characters[index].scalar == "}" {
            index += 1
            return .variable(name: name, fallback: nil, position: start)
        }
        let operation = characters[index...].prefix(2).text
        guard operation == ":-" else {
            let position = characters[index].position
            let message = "\"${\(name)\(operation.prefix(1))\" is not supported: only ${NAME} and ${NAME:-default} are"
            throw Mistake(position: position, message: message)
        }
        index += 2
        let fallback = try pieces(quoting: quoting, until: "}")
        guard index < characters.endIndex else { throw unclosed }
        index += 1
        return .variable(name: name, fallback: fallback, position: start)
    }
}

/// Collects pieces, joining characters that stand side by side.
private struct PieceCollector {
    private(set) var pieces: [Word.Piece] = []

    mutating func add(_ scalar: Unicode.Scalar) {
        if case .text(let text)? = pieces.last {
            pieces[pieces.count - 1] = .text(text + String(Character(scalar)))
        } else {
            pieces.append(.text(String(Character(scalar))))
        }
    }

    mutating func add(_ piece: Word.Piece) { pieces.append(piece) }
}
