import Report

extension InstructionArguments {
    /// `CMD`: the text as it stands, or a JSON array whose words are quoted for the shell.
    func command() throws(Mistake) -> Content {
        let text = characters.text
        guard text.hasPrefix("[") else { return .command(text) }
        do throws(Mistake) {
            let items = try JSONList.items(characters, end: end)
            guard !items.isEmpty else {
                throw Mistake(position: first, message: "the list is empty: a command was expected")
            }
            return .command(items.map { shellQuoted($0.text) }.joined(separator: " "))
        } catch {
            // `[ -f x ] && …` is the shell's test command; `["…` can only be a list.
            let isList = text.hasPrefix("[\"") || text.dropFirst().allSatisfy { " \t]".contains($0) }
            guard isList else { return .command(text) }
            throw error
        }
    }

    /// `CMDS`: a JSON array of commands, each as it stands.
    func commands(_ mistakes: inout [Mistake]) throws(Mistake) -> Content {
        let items = try JSONList.items(characters, end: end)
        if items.isEmpty { throw Mistake(position: first, message: "the list is empty: \(keyword.form) was expected") }
        for item in items where item.text.allSatisfy(\.isWhitespace) {
            mistakes.append(Mistake(position: item.position, message: "the command is empty"))
        }
        return .commands(items.map(\.text))
    }

    /// `LAUNCH`: names as a JSON array or as words.
    func launch(_ mistakes: inout [Mistake]) throws(Mistake) -> Content {
        var apps: [KubefileDocument.LaunchedApp] = []
        if characters.first?.scalar == "[" {
            for item in try JSONList.items(characters, end: end) {
                apps.append(KubefileDocument.LaunchedApp(name: item.text, position: item.position))
            }
            if apps.isEmpty {
                throw Mistake(position: first, message: "the list is empty: \(keyword.form) was expected")
            }
        } else {
            for word in try WordScanner.words(characters, end: end) {
                guard let name = word.literal else {
                    let message = "LAUNCH takes names as they are, variables are not supported"
                    mistakes.append(Mistake(position: word.position, message: message))
                    continue
                }
                apps.append(KubefileDocument.LaunchedApp(name: name, position: word.position))
            }
        }
        var seen: Set<String> = []
        for app in apps {
            if let message = AppRule.mistake(inName: app.name) {
                mistakes.append(Mistake(position: app.position, message: message))
            } else if !seen.insert(app.name).inserted {
                mistakes.append(Mistake(position: app.position, message: "\"\(app.name)\" is launched twice"))
            }
        }
        return .launch(apps)
    }

    /// `APP`: a name and where its files are.
    func app(_ mistakes: inout [Mistake]) throws(Mistake) -> Content {
        let words = try WordScanner.words(characters, end: end)
        guard let name = words.first, words.count > 1 else {
            throw Mistake(position: end, message: "the place of the files is missing: \(keyword.form) was expected")
        }
        if let literal = name.literal, let message = AppRule.mistake(inName: literal) {
            mistakes.append(Mistake(position: name.position, message: message))
        }
        for source in words.dropFirst() {
            guard let literal = source.literal, let message = AppRule.mistake(inSource: literal) else { continue }
            mistakes.append(Mistake(position: source.position, message: message))
        }
        return .app(name: name, sources: Array(words.dropFirst()))
    }
}
