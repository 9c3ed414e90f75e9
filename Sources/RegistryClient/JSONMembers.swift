import FoundationEssentials

/// The members of a JSON object, whose values stay byte for byte as they were written: for changing one member of a file that
/// belongs to other programs too.
struct JSONMembers: Hashable, Sendable {
    struct Member: Hashable, Sendable {
        var key: String
        /// The value's own JSON.
        var value: [UInt8]
    }

    /// In their order.
    private(set) var members: [Member] = []

    init() {}

    /// Reads an object; nil when the bytes are no JSON object.
    init?(_ bytes: some Collection<UInt8>) {
        var scanner = Scanner(text: Array(bytes))
        guard String(validating: scanner.text, as: UTF8.self) != nil, let members = scanner.whole() else { return nil }
        self.members = members
    }

    /// The value of the last member of that name, as readers take it.
    subscript(key: String) -> [UInt8]? {
        get { members.last { $0.key == key }?.value }
        set {
            guard let newValue else { return members.removeAll { $0.key == key } }
            if let index = members.lastIndex(where: { $0.key == key }) {
                members[index].value = newValue
            } else {
                members.append(Member(key: key, value: newValue))
            }
        }
    }

    /// Takes members away.
    mutating func remove(where shouldGo: (String) -> Bool) {
        members.removeAll { shouldGo($0.key) }
    }

    /// The object as text, a line for each member, as docker writes it.
    ///
    /// - Parameter depth: how far the object is indented.
    func text(depth: Int = 0) throws -> [UInt8] {
        guard !members.isEmpty else { return Array("{}".utf8) }
        let indent = [UInt8](repeating: UInt8(ascii: "\t"), count: depth)
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        let lines = try members.map { member in
            indent + [UInt8(ascii: "\t")] + Array(try encoder.encode(member.key)) + Array(": ".utf8) + member.value
        }
        return Array("{\n".utf8) + Array(lines.joined(separator: Array(",\n".utf8))) + Array("\n".utf8) + indent
            + Array("}".utf8)
    }

    /// Cuts an object into pieces, by the grammar of RFC 8259.
    private struct Scanner {
        /// Deeper ones are refused: reading goes as deep as the text does.
        private static let depthLimit = 100

        let text: [UInt8]
        var position = 0

        init(text: [UInt8]) { self.text = text }

        private var peek: UInt8? { position < text.count ? text[position] : nil }

        mutating func whole() -> [Member]? {
            skipBlanks()
            guard let members = members(depth: 0) else { return nil }
            skipBlanks()
            return peek == nil ? members : nil
        }

        private mutating func take(_ byte: Character) -> Bool {
            guard peek == byte.asciiValue else { return false }
            position += 1
            return true
        }

        private mutating func skipBlanks() {
            while let byte = peek, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { position += 1 }
        }

        private mutating func members(depth: Int) -> [Member]? {
            guard depth < Self.depthLimit, take("{") else { return nil }
            var members: [Member] = []
            skipBlanks()
            if take("}") { return members }
            repeat {
                skipBlanks()
                let keyStart = position
                guard skipString(),
                    let key = try? JSONDecoder().decode(String.self, from: Data(text[keyStart..<position]))
                else { return nil }
                skipBlanks()
                guard take(":") else { return nil }
                skipBlanks()
                let valueStart = position
                guard skipValue(depth: depth + 1) else { return nil }
                members.append(Member(key: key, value: Array(text[valueStart..<position])))
                skipBlanks()
            } while take(",")
            return take("}") ? members : nil
        }

        private mutating func skipValue(depth: Int) -> Bool {
            switch peek {
            case UInt8(ascii: "\""): return skipString()
            case UInt8(ascii: "{"): return members(depth: depth) != nil
            case UInt8(ascii: "["): return skipArray(depth: depth)
            case UInt8(ascii: "t"): return skip("true")
            case UInt8(ascii: "f"): return skip("false")
            case UInt8(ascii: "n"): return skip("null")
            default: return skipNumber()
            }
        }

        private mutating func skip(_ word: String) -> Bool {
            guard text[position...].starts(with: word.utf8) else { return false }
            position += word.utf8.count
            return true
        }

        private mutating func skipArray(depth: Int) -> Bool {
            guard depth < Self.depthLimit, take("[") else { return false }
            skipBlanks()
            if take("]") { return true }
            repeat {
                skipBlanks()
                guard skipValue(depth: depth + 1) else { return false }
                skipBlanks()
            } while take(",")
            return take("]")
        }

        private mutating func skipString() -> Bool {
            guard take("\"") else { return false }
            while let byte = peek, byte >= 0x20 {
                position += 1
                if byte == UInt8(ascii: "\"") { return true }
                guard byte == UInt8(ascii: "\\") else { continue }
                guard let escape = peek, "\"\\/bfnrtu".utf8.contains(escape) else { return false }
                position += 1
                guard escape == UInt8(ascii: "u") else { continue }
                let digits = text[position...].prefix(4)
                guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }) else {
                    return false
                }
                position += 4
            }
            return false
        }

        private mutating func skipDigits() -> Bool {
            let start = position
            while let byte = peek, (48...57).contains(byte) { position += 1 }
            return position > start
        }

        private mutating func skipNumber() -> Bool {
            _ = take("-")
            if !take("0"), !skipDigits() { return false }
            if take("."), !skipDigits() { return false }
            if take("e") || take("E") {
                if !take("+") { _ = take("-") }
                if !skipDigits() { return false }
            }
            return true
        }
    }
}
