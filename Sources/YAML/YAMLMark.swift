/// A place in a text, counted as people count.
public struct YAMLMark: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The line, from 1; 0 for a node that was made in code.
    public var line: Int
    /// The column in characters (Unicode scalars), from 1; 0 for a node that was made in code.
    public var column: Int

    /// The mark of nodes that come from no text.
    public static let none = YAMLMark(line: 0, column: 0)

    /// Makes a mark.
    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    /// Orders by place in the text.
    public static func < (left: YAMLMark, right: YAMLMark) -> Bool {
        (left.line, left.column) < (right.line, right.column)
    }

    /// `LINE:COLUMN`.
    public var description: String { "\(line):\(column)" }
}
