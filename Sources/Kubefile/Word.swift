/// One word of an instruction, quotes resolved, variables not yet replaced.
///
/// Variables are `$NAME`, `${NAME}` and `${NAME:-default}`; `\$` is a dollar sign, and within single quotes nothing is
/// special.
public struct Word: Sendable {
    /// A piece of a word.
    public enum Piece: Sendable, Hashable {
        /// Characters that stand for themselves.
        case text(String)
        /// A variable, and the pieces that take its place when it is unset or empty.
        case variable(name: String, fallback: [Piece]?, position: SourcePosition)
    }

    /// The word as it stands in the file, with its quotes and variables.
    public let source: String
    /// The pieces in their order; none for the empty word `""`.
    public let pieces: [Piece]
    /// Where the word begins.
    public let position: SourcePosition

    init(source: String, pieces: [Piece], position: SourcePosition) {
        self.source = source
        self.pieces = pieces
        self.position = position
    }

    /// The word's text if it holds no variable.
    public var literal: String? {
        var text = ""
        for piece in pieces {
            guard case .text(let part) = piece else { return nil }
            text += part
        }
        return text
    }
}

extension Word: Hashable {
    /// Words are equal when the file says the same, wherever it does.
    public static func == (left: Word, right: Word) -> Bool { left.source == right.source }

    /// Hashes the source.
    public func hash(into hasher: inout Hasher) { hasher.combine(source) }
}

/// The rule for names of ARG and ENV: what a shell takes as a variable's name.
func isVariableName(_ name: String) -> Bool {
    guard let first = name.utf8.first, !(0x30...0x39).contains(first) else { return false }
    return name.utf8.allSatisfy(isNameByte)
}

private func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x5f: true
    default: false
    }
}

/// Whether a character may stand in a variable's name.
func isNameScalar(_ scalar: Unicode.Scalar) -> Bool {
    scalar.isASCII && isNameByte(UInt8(truncatingIfNeeded: scalar.value))
}
