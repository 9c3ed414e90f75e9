/// One challenge of a `WWW-Authenticate` header (RFC 9110 §11.6.1): what a server wants to know before it answers.
public struct Challenge: Hashable, Sendable {
    /// The scheme in lower case: `basic`, `bearer`.
    public var scheme: String
    /// The parameters, their names in lower case.
    public var parameters: [String: String] = [:]
    /// What some schemes have instead of parameters.
    public var token68: String?

    /// A header longer than this, in bytes, is not read.
    static let lengthLimit = 8192
    /// More challenges than this are not read.
    public static let countLimit = 8
    /// A challenge with more parameters than this is not read.
    static let parameterLimit = 32

    /// Parses the value of a header; several challenges may stand in one.
    ///
    /// Reading stops at the first thing that is not of the grammar: the challenges before it are returned.
    public static func parse(_ header: String) -> [Challenge] {
        guard header.utf8.count <= lengthLimit else { return [] }
        var scanner = Scanner(bytes: Array(header.utf8))
        var challenges: [Challenge] = []
        while challenges.count < countLimit, let challenge = scanner.challenge() { challenges.append(challenge) }
        return challenges
    }

    private struct Scanner {
        let bytes: [UInt8]
        var position = 0

        private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

        mutating func challenge() -> Challenge? {
            skip { $0 == 0x20 || $0 == 0x09 || $0 == UInt8(ascii: ",") }
            guard let scheme = token() else { return nil }
            var challenge = Challenge(scheme: scheme.lowercased())
            guard peek == 0x20 else { return peek == nil || peek == UInt8(ascii: ",") ? challenge : nil }
            skipBlank()
            if let token68 = token68() {
                challenge.token68 = token68
                return challenge
            }
            let start = position
            while let (name, value) = parameter() {
                // A parameter that comes twice: whichever we took, the other could be meant.
                guard challenge.parameters[name] == nil, challenge.parameters.count < Challenge.parameterLimit else {
                    return nil
                }
                challenge.parameters[name] = value
                skipBlank()
                guard peek == UInt8(ascii: ",") else { return peek == nil ? challenge : nil }
                skip { $0 == 0x20 || $0 == 0x09 || $0 == UInt8(ascii: ",") }
            }
            return position == start ? nil : challenge
        }

        /// `name = value`; leaves the position alone when there is something else, for instance the next scheme.
        private mutating func parameter() -> (name: String, value: String)? {
            let start = position
            guard let name = token() else { return nil }
            skipBlank()
            guard peek == UInt8(ascii: "=") else {
                position = start
                return nil
            }
            position += 1
            skipBlank()
            let value = peek == UInt8(ascii: "\"") ? quoted() : token()
            guard let value else {
                position = start
                return nil
            }
            return (name.lowercased(), value)
        }

        private mutating func token() -> String? {
            let start = position
            skip(while: Self.isTokenCharacter)
            return start == position ? nil : String(decoding: bytes[start..<position], as: UTF8.self)
        }

        private mutating func token68() -> String? {
            let start = position
            skip { Self.isAlphanumeric($0) || "-._~+/".utf8.contains($0) }
            guard position > start else { return nil }
            skip { $0 == UInt8(ascii: "=") }
            let end = position
            skipBlank()
            guard peek == nil || peek == UInt8(ascii: ",") else {
                position = start
                return nil
            }
            return String(decoding: bytes[start..<end], as: UTF8.self)
        }

        private mutating func quoted() -> String? {
            position += 1
            var text: [UInt8] = []
            while let byte = peek {
                position += 1
                if byte == UInt8(ascii: "\"") { return String(decoding: text, as: UTF8.self) }
                if byte == UInt8(ascii: "\\") {
                    guard let escaped = peek else { return nil }
                    position += 1
                    text.append(escaped)
                } else {
                    text.append(byte)
                }
            }
            return nil
        }

        private mutating func skipBlank() {
            skip { $0 == 0x20 || $0 == 0x09 }
        }

        private mutating func skip(while matches: (UInt8) -> Bool) {
            while let byte = peek, matches(byte) { position += 1 }
        }

        private static func isAlphanumeric(_ byte: UInt8) -> Bool {
            (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
        }

        private static func isTokenCharacter(_ byte: UInt8) -> Bool {
            isAlphanumeric(byte) || "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
