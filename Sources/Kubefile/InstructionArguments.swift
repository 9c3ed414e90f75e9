/// What follows an instruction's first word, read by that instruction's rules.
struct InstructionArguments {
    typealias Mistake = WordScanner.Mistake
    typealias Content = KubefileDocument.Content

    let keyword: Keyword
    /// Never empty.
    let characters: ArraySlice<SourceCharacter>
    /// Where they begin.
    let first: SourcePosition
    /// Where they end.
    let end: SourcePosition

    /// What the instruction says.
    ///
    /// - Parameter mistakes: takes what is wrong; then the result may be nil.
    /// - Throws: the mistake after which the rest of the line makes no sense.
    func content(_ mistakes: inout [Mistake]) throws(Mistake) -> Content? {
        switch keyword {
        case .from: try from(&mistakes)
        case .copy: try copy(&mistakes)
        case .arg: try arg(&mistakes)
        case .env: .env(try assignments(areNamesVariables: true, &mistakes))
        case .label: .label(try assignments(areNamesVariables: false, &mistakes))
        case .cmd: try command()
        case .cmds: try commands(&mistakes)
        case .app: try app(&mistakes)
        case .launch: try launch(&mistakes)
        }
    }

    private var expected: String { "\(keyword.form) was expected" }

    /// Takes the `--name=value` words from the front and reports each: none is supported yet.
    private func wordsAfterFlags(
        known: [String],
        _ mistakes: inout [Mistake]
    ) throws(Mistake) -> ArraySlice<Word> {
        let words = try WordScanner.words(characters, end: end)
        let flags = words.prefix { $0.source.hasPrefix("--") }
        for flag in flags {
            let name = String(flag.source.prefix { $0 != "=" })
            let message =
                known.contains(name)
                ? "\(keyword.rawValue) \(name) is not supported yet"
                : "\(keyword.rawValue) has no flag \(name.prefix(40)): \(expected)"
            mistakes.append(Mistake(position: flag.position, message: message))
        }
        return words[flags.endIndex...]
    }

    // MARK: - FROM and COPY

    private func from(_ mistakes: inout [Mistake]) throws(Mistake) -> Content? {
        let words = try wordsAfterFlags(known: ["--platform"], &mistakes)
        guard let image = words.first else {
            throw Mistake(position: end, message: "the image is missing: \(expected)")
        }
        if words.count == 3, let second = words.dropFirst().first, second.source.lowercased() == "as" {
            let message = "FROM … AS is not supported yet: a Kubefile has one stage, which needs no name"
            mistakes.append(Mistake(position: second.position, message: message))
        } else if let second = words.dropFirst().first {
            mistakes.append(Mistake(position: second.position, message: "one word too many: \(expected)"))
        }
        if image.literal?.isEmpty == true {
            mistakes.append(Mistake(position: image.position, message: "the image's name is empty: \(expected)"))
        }
        return .from(image)
    }

    private func copy(_ mistakes: inout [Mistake]) throws(Mistake) -> Content? {
        let known = ["--from", "--chown", "--chmod", "--link", "--parents", "--exclude"]
        var words: [Word] = []
        let flagged = characters.starts(with: "--".unicodeScalars) { $0.scalar == $1 }
        if characters.first?.scalar == "[", !flagged {
            for item in try JSONList.items(characters, end: end) {
                words.append(try WordScanner.word(item.characters[...], quoting: .none, end: item.end))
            }
        } else {
            words = Array(try wordsAfterFlags(known: known, &mistakes))
        }
        guard let destination = words.last, words.count > 1 else {
            guard mistakes.isEmpty else { return nil }
            let missing = words.isEmpty ? "sources and destination are" : "the destination is"
            throw Mistake(position: end, message: "\(missing) missing: \(expected)")
        }
        for (index, word) in words.enumerated() {
            let isSource = index < words.count - 1
            if let path = word.literal, let message = PathRule.mistake(in: path, isSource: isSource) {
                mistakes.append(Mistake(position: word.position, message: message))
            }
        }
        return .copy(sources: Array(words.dropLast()), destination: destination)
    }

    // MARK: - ARG, ENV and LABEL

    /// A word cut at its first `=`.
    private func cut(
        _ span: ArraySlice<SourceCharacter>
    ) -> (name: ArraySlice<SourceCharacter>, value: ArraySlice<SourceCharacter>?) {
        var quote: Unicode.Scalar?
        var isEscaped = false
        for index in span.indices {
            let scalar = span[index].scalar
            if isEscaped {
                isEscaped = false
            } else if scalar == "\\", quote != "'" {
                isEscaped = true
            } else if let open = quote {
                if scalar == open { quote = nil }
            } else if scalar == "\"" || scalar == "'" {
                quote = scalar
            } else if scalar == "=" {
                return (span[..<index], span[(index + 1)...])
            }
        }
        return (span, nil)
    }

    private func nameMistake(_ name: String, at position: SourcePosition) -> Mistake {
        let shown = name.count > 60 ? name.prefix(60) + "…" : name[...]
        let message =
            "\"\(shown)\" is not a name for \(keyword.rawValue): letters, digits and _ were expected, no digit first"
        return Mistake(position: position, message: message)
    }

    private func arg(_ mistakes: inout [Mistake]) throws(Mistake) -> Content? {
        var arguments: [KubefileDocument.Argument] = []
        for span in try WordScanner.spans(characters, end: end) {
            let (name, value) = cut(span)
            let position = span.first?.position ?? first
            guard isVariableName(name.text) else {
                mistakes.append(nameMistake(name.text, at: position))
                continue
            }
            var word: Word?
            if let value {
                word = try WordScanner.word(value, quoting: .shell, end: place(after: span))
            }
            arguments.append(KubefileDocument.Argument(name: name.text, defaultValue: word, position: position))
        }
        return .arg(arguments)
    }

    private func place(after span: ArraySlice<SourceCharacter>) -> SourcePosition {
        guard let last = span.last else { return end }
        return SourcePosition(line: last.position.line, column: last.position.column + 1)
    }

    private func assignments(
        areNamesVariables: Bool,
        _ mistakes: inout [Mistake]
    ) throws(Mistake) -> [KubefileDocument.Assignment] {
        let spans = try WordScanner.spans(characters, end: end)
        guard let leading = spans.first else { return [] }
        typealias Characters = ArraySlice<SourceCharacter>
        var pairs: [(start: SourcePosition, name: Characters, value: Characters, isWhole: Bool)] = []
        if cut(leading).value == nil {
            // The old form: a name, and the rest of the line is its value.
            let rest = characters[leading.endIndex...].trimmed
            guard !rest.isEmpty else {
                throw Mistake(position: end, message: "the value is missing: \(expected)")
            }
            pairs.append((first, leading, rest, true))
        } else {
            for span in spans {
                let (name, value) = cut(span)
                guard let value else {
                    let message =
                        "= is missing after \"\(span.text.prefix(60))\": \(expected) (quote values with blanks)"
                    mistakes.append(Mistake(position: place(after: span), message: message))
                    continue
                }
                pairs.append((span.first?.position ?? first, name, value, false))
            }
        }
        var assignments: [KubefileDocument.Assignment] = []
        for pair in pairs {
            let position = pair.start
            let name = try WordScanner.word(pair.name, quoting: .shell, end: position)
            if areNamesVariables, !isVariableName(pair.name.text) {
                mistakes.append(nameMistake(pair.name.text, at: position))
                continue
            } else if name.literal?.isEmpty == true {
                mistakes.append(Mistake(position: position, message: "the name before = is empty: \(expected)"))
                continue
            }
            let quoting: WordScanner.Quoting = pair.isWhole ? .wholeLine : .shell
            let after = pair.value.isEmpty ? end : place(after: pair.value)
            let value = try WordScanner.word(pair.value, quoting: quoting, end: after)
            assignments.append(KubefileDocument.Assignment(name: name, value: value))
        }
        return assignments
    }
}
