/// A table of text: columns aligned, two spaces between them, a header, no borders.
public struct TextTable: Sendable {
    /// Where a column's text stands.
    public enum Alignment: Sendable {
        /// At the left.
        case left
        /// At the right, as numbers do.
        case right
    }

    private let header: [String]
    private let alignments: [Alignment]
    private var rows: [[String]] = []

    /// Makes a table with these column heads.
    ///
    /// - Parameter alignments: of the columns from the first on; the others stand at the left.
    public init(header: [String], alignments: [Alignment] = []) {
        self.header = header.map(TerminalText.line)
        self.alignments = alignments
    }

    /// Adds a row. Missing cells are empty. Control characters in the cells are taken out.
    public mutating func add(_ cells: [String]) {
        rows.append(cells.map(TerminalText.line))
    }

    /// The lines of the table, without spaces at their ends.
    public var lines: [String] {
        let all = [header] + rows
        let columns = all.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            all.map { column < $0.count ? TerminalText.width($0[column]) : 0 }.max() ?? 0
        }
        return all.map { row in
            let cells = widths.indices.map { column in
                let cell = column < row.count ? row[column] : ""
                let fill = String(repeating: " ", count: widths[column] - TerminalText.width(cell))
                return column < alignments.count && alignments[column] == .right ? fill + cell : cell + fill
            }
            let line = cells.joined(separator: "  ")
            let end = line.lastIndex { $0 != " " }
            return end.map { String(line[...$0]) } ?? ""
        }
    }

    /// The whole table, each line ended.
    public var text: String { lines.map { $0 + "\n" }.joined() }
}
