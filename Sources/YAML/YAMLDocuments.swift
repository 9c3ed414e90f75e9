import Report

/// How much of a text is read before it is refused: a small text can ask for much work.
public struct YAMLLimits: Sendable {
    /// The most bytes of a text.
    public var bytes = 32 << 20
    /// The most nodes of a text, each counted once.
    public var nodes = 2_000_000
    /// The most nodes that aliases may add by repeating what stood before.
    public var aliasedNodes = 100_000
    /// The deepest nesting.
    public var depth = 200

    /// The limits that everything here uses unless told otherwise: generous for manifests, tight for bombs.
    public static let standard = YAMLLimits()

    /// Makes limits, the standard ones to begin with.
    public init() {}
}

/// Reading texts of several documents.
public enum YAMLDocuments {
    /// Reads all the documents of a text; those that hold nothing (comments only) are left out.
    ///
    /// Anchors, aliases and merge keys are resolved. All mistakes of one text are reported together, except that a syntax
    /// error ends the reading. Repeated keys and keys that are no scalars (a Go template that nobody rendered) are mistakes.
    ///
    /// - Parameters:
    ///   - file: the name for the diagnostics.
    /// - Throws: `InvalidText`.
    public static func parse(
        _ text: String,
        file: String,
        limits: YAMLLimits = .standard
    ) throws(InvalidText) -> [YAMLNode] {
        guard text.utf8.count <= limits.bytes else {
            let message = "the text is larger than \(limits.bytes) bytes, and is not read"
            throw InvalidText([Diagnostic(file: file, line: 1, column: 1, message: message)])
        }
        var composer = Composer(file: file, limits: limits)
        let documents = composer.compose(text)
        guard composer.diagnostics.isEmpty else { throw InvalidText(composer.diagnostics) }
        return documents
    }

    /// Reads a text of exactly one document.
    ///
    /// - Throws: `InvalidText`, also when there is no document or a second one.
    public static func parseOne(
        _ text: String,
        file: String,
        limits: YAMLLimits = .standard
    ) throws(InvalidText) -> YAMLNode {
        let documents = try parse(text, file: file, limits: limits)
        guard let first = documents.first else {
            let message = "the text holds no YAML document"
            throw InvalidText([Diagnostic(file: file, line: 1, column: 1, message: message)])
        }
        guard documents.count == 1 else {
            let second = documents[1].mark
            let message = "one document was expected, here begins another"
            throw InvalidText([Diagnostic(file: file, line: second.line, column: second.column, message: message)])
        }
        return first
    }
}
