/// A place in a Kubefile.
public struct SourcePosition: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The line, from 1.
    public var line: Int
    /// The column in characters (Unicode scalars), from 1.
    public var column: Int

    /// Makes a position.
    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    /// Orders by place in the text.
    public static func < (left: SourcePosition, right: SourcePosition) -> Bool {
        (left.line, left.column) < (right.line, right.column)
    }

    /// `LINE:COLUMN`.
    public var description: String { "\(line):\(column)" }
}

/// A character and where it stood: what is left of a text after continuation lines were joined.
struct SourceCharacter: Hashable {
    var scalar: Unicode.Scalar
    var position: SourcePosition

    /// A blank, a tab, or a carriage return that ends no line.
    var isBlank: Bool { Kubefile.isBlank(scalar) }
}

/// Whether a character parts words.
func isBlank(_ scalar: Unicode.Scalar) -> Bool { scalar == " " || scalar == "\t" || scalar == "\r" }

extension Sequence<SourceCharacter> {
    /// The characters as a text.
    var text: String {
        var text = String.UnicodeScalarView()
        for character in self { text.append(character.scalar) }
        return String(text)
    }
}

extension ArraySlice<SourceCharacter> {
    /// The part without blanks at its ends.
    var trimmed: ArraySlice<SourceCharacter> {
        var part = drop(while: \.isBlank)
        while part.last?.isBlank == true { part.removeLast() }
        return part
    }
}
