/// A remark about one place of a text that the user wrote, printed as `FILE:LINE:COLUMN: message`.
public struct Diagnostic: Sendable, Hashable, CustomStringConvertible {
    /// How much it matters.
    public enum Severity: String, Sendable {
        /// The text cannot be used.
        case error
        /// The text can be used, but is probably not what was meant.
        case warning
    }

    /// The file's name as the user knows it.
    public var file: String
    /// The line, counted from 1.
    public var line: Int
    /// The column in characters, counted from 1.
    public var column: Int
    /// Whether it is an error.
    public var severity: Severity
    /// What is there, and what was expected.
    public var message: String

    /// Makes a diagnostic.
    public init(file: String, line: Int, column: Int, severity: Severity = .error, message: String) {
        self.file = file
        self.line = line
        self.column = column
        self.severity = severity
        self.message = message
    }

    /// `FILE:LINE:COLUMN: message`, for where the severity is told otherwise.
    public var withoutSeverity: String { "\(file):\(line):\(column): \(message)" }

    /// `FILE:LINE:COLUMN: message`, with `warning: ` before the message of a warning.
    public var description: String {
        "\(file):\(line):\(column): \(severity == .warning ? "warning: " : "")\(message)"
    }
}

/// All the mistakes of a text, found in one pass.
public struct InvalidText: Error, Sendable, CustomStringConvertible {
    /// The mistakes, in the order of their places.
    public let diagnostics: [Diagnostic]

    /// Makes the error; `diagnostics` must hold at least one error.
    public init(_ diagnostics: [Diagnostic]) {
        self.diagnostics = diagnostics.sorted { ($0.file, $0.line, $0.column) < ($1.file, $1.line, $1.column) }
    }

    /// One diagnostic a line.
    public var description: String {
        diagnostics.map(\.description).joined(separator: "\n")
    }
}
