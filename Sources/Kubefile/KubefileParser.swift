import Report

/// Reads the instructions of a Kubefile and collects every mistake on the way.
struct KubefileParser {
    private static let mostBytes = 1 << 20
    /// More mistakes than this help nobody.
    private static let mostDiagnostics = 100

    private let file: String
    private let isTooLarge: Bool
    private var reader: LineReader
    private var diagnostics: [Diagnostic] = []
    private var instructions: [KubefileDocument.Instruction] = []

    init(_ text: String, file: String) {
        self.file = file
        isTooLarge = text.utf8.count > Self.mostBytes
        reader = LineReader(isTooLarge ? "" : text)
    }

    mutating func parse() throws(InvalidText) -> KubefileDocument {
        let start = SourcePosition(line: 1, column: 1)
        guard !isTooLarge else {
            report(start, "the file is larger than 1 MiB, a Kubefile was expected")
            throw InvalidText(diagnostics)
        }
        checkDirectives()
        var keywords: [(keyword: String, position: SourcePosition)] = []
        while let line = reader.read() {
            guard let first = line.characters.first else { continue }
            guard diagnostics.count < Self.mostDiagnostics else {
                report(first.position, "too many mistakes, the rest of the file is not read")
                throw InvalidText(diagnostics)
            }
            let word = line.characters.prefix { !$0.isBlank }
            keywords.append((word.text.uppercased(), first.position))
            parse(line, word: word)
        }
        diagnostics += DocumentRules.check(instructions, keywords: keywords, file: file)
        let warnings = reader.warnings.map { position, message in
            Diagnostic(file: file, line: position.line, column: position.column, severity: .warning, message: message)
        }
        guard diagnostics.isEmpty else { throw InvalidText(diagnostics + warnings) }
        return KubefileDocument(file: file, instructions: instructions, warnings: warnings)
    }

    mutating func report(_ position: SourcePosition, _ message: String) {
        diagnostics.append(Diagnostic(file: file, line: position.line, column: position.column, message: message))
    }

    private mutating func checkDirectives() {
        for directive in reader.directives() {
            switch directive.name {
            case "escape" where directive.value != "\\":
                report(directive.position, "the directive escape=\(directive.value) is not supported: \\ escapes")
            case "syntax":
                report(directive.position, "the directive syntax= is not supported: sealer reads the file itself")
            default: break
            }
        }
    }

    private mutating func parse(_ line: LogicalLine, word: ArraySlice<SourceCharacter>) {
        guard let position = word.first?.position else { return }
        let rest = line.characters[word.endIndex...].trimmed
        let name = word.text.uppercased()
        passOverHereDocuments(in: rest, of: name)
        guard let keyword = Keyword(rawValue: name) else {
            report(position, Self.refusal(of: word.text))
            return
        }
        guard let first = rest.first else {
            report(line.end, "\(name) says nothing: \(keyword.form) was expected")
            return
        }
        do throws(WordScanner.Mistake) {
            let arguments = InstructionArguments(
                keyword: keyword, characters: rest, first: first.position, end: line.end)
            var mistakes: [WordScanner.Mistake] = []
            let content = try arguments.content(&mistakes)
            for mistake in mistakes { report(mistake.position, mistake.message) }
            guard let content, mistakes.isEmpty else { return }
            instructions.append(
                KubefileDocument.Instruction(
                    content: content,
                    text: line.characters.text,
                    position: position,
                    lastLine: line.lastLine
                )
            )
        } catch {
            report(error.position, error.message)
        }
    }

    private static func refusal(of word: String) -> String {
        let upper = word.uppercased()
        let shown = word.count > 40 ? word.prefix(40) + "…" : word[...]
        if Keyword.unsupported.contains(upper) { return "\(upper) is not supported yet" }
        if let nearest = Keyword.nearest(to: upper) {
            return "unknown instruction \"\(shown)\", did you mean \(nearest)?"
        }
        let known = Keyword.allCases.map(\.rawValue).joined(separator: ", ")
        return "unknown instruction \"\(shown)\", one of \(known) was expected"
    }

    /// The lines of a here-document are no instructions: reported once, they must not be read as such.
    private mutating func passOverHereDocuments(in characters: ArraySlice<SourceCharacter>, of keyword: String) {
        guard ["COPY", "ADD", "RUN", "CMD"].contains(keyword) else { return }
        for word in characters.split(whereSeparator: \.isBlank) where word.contains(where: { $0.scalar == "<" }) {
            guard let match = word.text.wholeMatch(of: /[0-9]*<<(-?)(["']?)([A-Za-z_][A-Za-z0-9_]*)\2/),
                let position = word.first?.position
            else { continue }
            report(position, "here-documents (<<\(match.3)) are not supported yet")
            _ = reader.skipHereDocument(until: String(match.3), indented: !match.1.isEmpty)
        }
    }
}
