import ArgumentParser
import FoundationEssentials
import OCI
import Report
import Terminal

/// Where things are kept.
struct RootOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The folder that holds the image store and the clusters. [environment: SEALER_ROOT]",
            valueName: "folder"
        )
    )
    var root: String?

    /// The words that name the same folder again, for a command to go on with, with a space before them; nothing without the option.
    var words: String { Self.words(root) }

    /// As `words`, for the option's value.
    static func words(_ root: String?) -> String { root.map { " --root \(shellQuoted($0))" } ?? "" }
}

/// How progress is shown.
struct ProgressOptions: ParsableArguments {
    @Option(help: "How to show progress on standard error.")
    var progress: ProgressMode = .auto
}

/// How results are printed.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case text, json
}

/// `--output`.
struct OutputOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: "How to print the result.")
    var output: OutputFormat = .text
}

extension CommandContext {
    /// Prints a result in the asked form: JSON for scripts, with sorted keys, or text made by `text`.
    func print(_ value: some Encodable, as format: OutputFormat, text: () -> String) throws {
        switch format {
        case .json:
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            write(String(decoding: try encoder.encode(value), as: UTF8.self))
        case .text:
            write(text())
        }
    }
}

extension TextTable {
    /// The table of these rows, without a line's end after the last.
    static func text(header: [String], rows: [[String]]) -> String {
        var table = TextTable(header: header)
        for row in rows { table.add(row) }
        return table.lines.joined(separator: "\n")
    }
}

/// Parses an image name of the command line.
func reference(_ text: String) throws -> Reference {
    do {
        return try Reference(text)
    } catch {
        throw Failure(.usage, error.what)
    }
}

extension ProgressMode: ExpressibleByArgument {}

/// Parses the `NAME=VALUE` of a repeated option; the last of a name counts.
func parseAssignments(_ texts: [String], of option: String) throws -> [String: String] {
    try texts.reduce(into: [:]) { values, text in
        guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
            throw Failure(.usage, "\(option) \(text): NAME=VALUE was expected")
        }
        values[String(text[..<equals])] = String(text[text.index(after: equals)...])
    }
}
