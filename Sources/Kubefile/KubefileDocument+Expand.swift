import Report

extension KubefileDocument {
    /// Replaces the variables of one word.
    ///
    /// A variable that is not known is a mistake. (Docker puts nothing in its place; an image name or a path with a hole in
    /// it then fails far from its cause, or worse, does not fail.) `${NAME:-default}` says what to take instead.
    ///
    /// - Parameter values: the values of the variables by name.
    /// - Throws: `InvalidText` that names each unknown variable with its place.
    public func expand(_ word: Word, with values: [String: String]) throws(InvalidText) -> String {
        var expander = Expander(file: file, values: values, declared: [])
        let text = expander.expand(word)
        guard expander.diagnostics.isEmpty else { throw InvalidText(expander.diagnostics) }
        return text
    }

    /// The base image's name, which must be known before the rest can be expanded with the base's environment.
    ///
    /// - Parameters:
    ///   - buildArguments: values for ARG, by name.
    ///   - predefined: values that need no ARG.
    /// - Throws: `InvalidText`.
    public func expandBase(
        buildArguments: [String: String],
        predefined: [String: String] = [:]
    ) throws(InvalidText) -> ExpandedKubefile.PlacedText {
        let head = instructions.prefix { if case .arg = $0.content { true } else { false } }
        let known = Array(head) + instructions.filter { if case .from = $0.content { true } else { false } }
        var expander = Expander(file: file, values: predefined, declared: [])
        for instruction in known {
            if case .from(let base) = expander.expand(instruction, buildArguments: buildArguments) {
                guard expander.diagnostics.isEmpty else { throw InvalidText(expander.diagnostics) }
                return base
            }
        }
        return ExpandedKubefile.PlacedText(text: "scratch", position: base.position)
    }

    /// Replaces all variables of the file.
    ///
    /// A variable's value is, in this order: ENV above it, ARG above it (the build argument, else the default), `predefined`.
    /// An ARG before FROM holds for the whole file. The commands of CMD and CMDS and the names of LAUNCH stay as they are: the
    /// shell replaces variables at launch time.
    ///
    /// - Parameters:
    ///   - buildArguments: values for ARG, by name.
    ///   - predefined: values that need no ARG: the base image's environment, for instance.
    /// - Throws: `InvalidText` with all mistakes: unknown variables, and words that their variables made wrong.
    public func expand(
        buildArguments: [String: String],
        predefined: [String: String] = [:]
    ) throws(InvalidText) -> ExpandedKubefile {
        var expander = Expander(file: file, values: predefined, declared: [])
        var expanded: [ExpandedKubefile.Instruction] = []
        var labels: [String: String] = [:]
        for instruction in instructions {
            let content = expander.expand(instruction, buildArguments: buildArguments)
            if case .label(let assignments) = content {
                for assignment in assignments { labels[assignment.name] = assignment.value }
            }
            expanded.append(
                ExpandedKubefile.Instruction(content: content, text: instruction.text, position: instruction.position)
            )
        }
        expander.checkApps(expanded)
        guard expander.diagnostics.isEmpty else { throw InvalidText(expander.diagnostics) }
        return ExpandedKubefile(
            instructions: expanded,
            arguments: expander.arguments,
            environment: expander.environment,
            labels: labels,
            unusedBuildArguments: buildArguments.keys.filter { !expander.declared.contains($0) }.sorted()
        )
    }
}

/// Replaces variables, with the values that hold at one place of the file.
private struct Expander {
    let file: String
    /// Values that need no declaration.
    let values: [String: String]
    /// Names of ARG so far, with a value or without.
    var declared: Set<String>
    var arguments: [String: String] = [:]
    var environment: [String: String] = [:]
    var diagnostics: [Diagnostic] = []

    init(file: String, values: [String: String], declared: Set<String>) {
        self.file = file
        self.values = values
        self.declared = declared
    }

    private mutating func report(_ position: SourcePosition, _ message: String) {
        diagnostics.append(Diagnostic(file: file, line: position.line, column: position.column, message: message))
    }

    // MARK: - Words

    mutating func expand(_ word: Word) -> String { expand(word.pieces) }

    private mutating func expand(_ pieces: [Word.Piece]) -> String {
        var text = ""
        for piece in pieces {
            switch piece {
            case .text(let part): text += part
            case .variable(let name, let fallback, let position):
                let value = environment[name] ?? arguments[name] ?? values[name]
                if let value, !value.isEmpty || fallback == nil {
                    text += value
                } else if let fallback {
                    text += expand(fallback)
                } else {
                    reportUnknown(name, at: position)
                }
            }
        }
        return text
    }

    private mutating func reportUnknown(_ name: String, at position: SourcePosition) {
        if declared.contains(name) {
            report(position, "\(name) has no value: give --build-arg \(name)=VALUE, or ARG \(name) a default")
        } else {
            report(
                position, "the variable \(name) is not known here: ARG \(name) or ENV \(name)=VALUE above was expected")
        }
    }

    private mutating func place(_ word: Word) -> ExpandedKubefile.PlacedText {
        ExpandedKubefile.PlacedText(text: expand(word), position: word.position)
    }

    /// As `place`, and checks what the parser could not check because of a variable.
    private mutating func place(_ word: Word, _ rule: (String) -> String?) -> ExpandedKubefile.PlacedText {
        let count = diagnostics.count
        let placed = place(word)
        if word.literal == nil, diagnostics.count == count, let message = rule(placed.text) {
            report(word.position, message)
        }
        return placed
    }

    // MARK: - Instructions

    mutating func expand(
        _ instruction: KubefileDocument.Instruction,
        buildArguments: [String: String]
    ) -> ExpandedKubefile.Content {
        switch instruction.content {
        case .from(let word):
            return .from(place(word) { $0.isEmpty ? "the image's name is empty" : nil })
        case .copy(let sources, let destination):
            let placed = sources.map { place($0) { PathRule.mistake(in: $0, isSource: true) } }
            return .copy(sources: placed, destination: place(destination) { PathRule.mistake(in: $0, isSource: false) })
        case .arg(let arguments):
            return .arg(arguments.compactMap { declare($0, buildArguments: buildArguments) })
        case .env(let assignments):
            let expanded = expand(assignments)
            for assignment in expanded { environment[assignment.name] = assignment.value }
            return .env(expanded)
        case .label(let assignments): return .label(expand(assignments))
        case .command(let command): return .command(command)
        case .commands(let commands): return .commands(commands)
        case .app(let name, let sources):
            let placed = place(name) { AppRule.mistake(inName: $0) }
            return .app(name: placed, sources: sources.map { expandSource($0) })
        case .launch(let apps): return .launch(apps)
        }
    }

    private mutating func declare(
        _ argument: KubefileDocument.Argument,
        buildArguments: [String: String]
    ) -> ExpandedKubefile.Assignment? {
        declared.insert(argument.name)
        if let value = buildArguments[argument.name] {
            arguments[argument.name] = value
        } else if let word = argument.defaultValue {
            arguments[argument.name] = expand(word)
        }
        return arguments[argument.name].map { ExpandedKubefile.Assignment(name: argument.name, value: $0) }
    }

    /// All values of one instruction see the variables as they were before it.
    private mutating func expand(_ assignments: [KubefileDocument.Assignment]) -> [ExpandedKubefile.Assignment] {
        assignments.map { ExpandedKubefile.Assignment(name: expand($0.name), value: expand($0.value)) }
    }

    private mutating func expandSource(_ word: Word) -> ExpandedKubefile.PlacedText {
        var placed = place(word) { AppRule.mistake(inSource: $0) }
        guard placed.text.hasPrefix(AppRule.localPrefix) else { return placed }
        placed.text = String(placed.text.dropFirst(AppRule.localPrefix.count).drop { $0 == "/" })
        if placed.text.isEmpty { placed.text = "." }
        return placed
    }

    /// Names that variables made equal.
    mutating func checkApps(_ instructions: [ExpandedKubefile.Instruction]) {
        var lines: [String: Int] = [:]
        for case .app(let name, _) in instructions.map(\.content) {
            if let line = lines[name.text] {
                report(name.position, "a second application \"\(name.text)\", the first stands in line \(line)")
            } else {
                lines[name.text] = name.position.line
            }
        }
    }
}
