/// Reads a JSON array of strings (`["a", "b"]`), keeping the place of every character.
struct JSONList {
    /// One string of the array.
    struct Item {
        /// The string with its escapes resolved.
        var characters: [SourceCharacter]
        /// Where its opening quote stands.
        var position: SourcePosition
        /// Where its closing quote stands.
        var end: SourcePosition

        /// The string.
        var text: String { characters.text }
    }

    private let characters: ArraySlice<SourceCharacter>
    private let end: SourcePosition
    private var index: Int

    private init(_ characters: ArraySlice<SourceCharacter>, end: SourcePosition) {
        self.characters = characters
        self.end = end
        index = characters.startIndex
    }

    /// Reads the whole of `characters` as an array of strings.
    static func items(
        _ characters: ArraySlice<SourceCharacter>,
        end: SourcePosition
    ) throws(WordScanner.Mistake) -> [Item] {
        var list = JSONList(characters, end: end)
        return try list.read()
    }

    private var current: Unicode.Scalar? { index < characters.endIndex ? characters[index].scalar : nil }
    private var position: SourcePosition { index < characters.endIndex ? characters[index].position : end }

    private func expected(_ what: String) -> WordScanner.Mistake {
        let found = current.map { "\"\(Character($0))\"" } ?? "the end"
        return WordScanner.Mistake(position: position, message: "\(what) was expected, found \(found)")
    }

    private mutating func skipBlanks() {
        while index < characters.endIndex, characters[index].isBlank { index += 1 }
    }

    private mutating func read() throws(WordScanner.Mistake) -> [Item] {
        var items: [Item] = []
        guard current == "[" else { throw expected("a list [\"…\", …]") }
        index += 1
        skipBlanks()
        if current == "]" {
            index += 1
        } else {
            while true {
                items.append(try string())
                skipBlanks()
                let separator = current
                guard separator == "," || separator == "]" else { throw expected("a comma or ]") }
                index += 1
                if separator == "]" { break }
                skipBlanks()
            }
        }
        skipBlanks()
        guard current == nil else { throw expected("nothing after the list's ]") }
        return items
    }

    private mutating func string() throws(WordScanner.Mistake) -> Item {
        guard current == "\"" else { throw expected("a string in double quotes") }
        let start = position
        index += 1
        var content: [SourceCharacter] = []
        while let scalar = current {
            let place = position
            switch scalar {
            case "\"":
                index += 1
                return Item(characters: content, position: start, end: place)
            case "\\":
                index += 1
                content.append(SourceCharacter(scalar: try escape(at: place), position: place))
            default:
                guard scalar.value >= 0x20 else { throw expected("a character that JSON allows in a string") }
                content.append(characters[index])
                index += 1
            }
        }
        throw WordScanner.Mistake(position: start, message: "the string that opens here is never closed")
    }

    /// Reads what follows a backslash.
    private mutating func escape(at start: SourcePosition) throws(WordScanner.Mistake) -> Unicode.Scalar {
        let unknown = WordScanner.Mistake(position: start, message: "JSON knows no such escape: \\\\ is a backslash")
        guard let letter = current else { throw unknown }
        index += 1
        switch letter {
        case "\"", "\\", "/": return letter
        case "n": return "\n"
        case "t": return "\t"
        case "r": return "\r"
        case "b": return "\u{8}"
        case "f": return "\u{c}"
        case "u":
            guard let first = hexadecimal() else { throw unknown }
            guard (0xd800..<0xdc00).contains(first) else {
                guard let scalar = Unicode.Scalar(first) else { throw unknown }
                return scalar
            }
            guard current == "\\" else { throw unknown }
            index += 1
            guard current == "u" else { throw unknown }
            index += 1
            guard let second = hexadecimal(), (0xdc00..<0xe000).contains(second),
                let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
            else { throw unknown }
            return scalar
        default: throw unknown
        }
    }

    private mutating func hexadecimal() -> UInt32? {
        guard index + 4 <= characters.endIndex else { return nil }
        let digits = characters[index..<index + 4].text
        guard digits.utf8.count == 4, digits.allSatisfy(\.isHexDigit) else { return nil }
        index += 4
        return UInt32(digits, radix: 16)
    }
}
