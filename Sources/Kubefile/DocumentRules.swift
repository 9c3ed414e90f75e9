import Report

/// The rules that concern several instructions at once.
enum DocumentRules {
    /// The mistakes of a whole file.
    ///
    /// - Parameter keywords: the first words of all instructions, of those with mistakes too, so that one mistake does not
    ///   cause a second.
    static func check(
        _ instructions: [KubefileDocument.Instruction],
        keywords: [(keyword: String, position: SourcePosition)],
        file: String
    ) -> [Diagnostic] {
        var diagnostics: [Diagnostic] = []
        func report(_ position: SourcePosition, _ message: String) {
            diagnostics.append(Diagnostic(file: file, line: position.line, column: position.column, message: message))
        }
        func places(_ keyword: Keyword) -> [SourcePosition] {
            keywords.filter { $0.keyword == keyword.rawValue }.map(\.position)
        }

        let froms = places(.from)
        if froms.isEmpty {
            let position = keywords.first?.position ?? SourcePosition(line: 1, column: 1)
            report(position, "there is no FROM: FROM IMAGE or FROM scratch was expected as the first instruction")
        } else if let first = keywords.first(where: { $0.keyword != "ARG" }), first.keyword != "FROM",
            Keyword(rawValue: first.keyword) != nil
        {
            report(first.position, "\(first.keyword) stands before FROM, where only ARG may")
        }
        for position in froms.dropFirst() {
            report(position, "a second FROM: several stages are not supported yet, exactly one FROM was expected")
        }
        for keyword in [Keyword.launch, .cmds] {
            for position in places(keyword).dropFirst() {
                report(position, "a second \(keyword.rawValue): it may stand once, with all in one list")
            }
        }
        if let launch = places(.launch).first {
            for keyword in [Keyword.cmd, .cmds] {
                for position in places(keyword) {
                    let message = "\(keyword.rawValue) and LAUNCH (line \(launch.line)) exclude each other"
                    report(position, message)
                }
            }
        }
        checkApps(instructions, count: places(.app).count, report)
        return diagnostics
    }

    /// - Parameter count: how many APP instructions the file has, those with mistakes too.
    private static func checkApps(
        _ instructions: [KubefileDocument.Instruction],
        count: Int,
        _ report: (SourcePosition, String) -> Void
    ) {
        var lines: [String: Int] = [:]
        var read = 0
        var areAllNamesKnown = true
        var isFromScratch = false
        for instruction in instructions {
            switch instruction.content {
            case .from(let word): isFromScratch = word.literal == "scratch"
            case .app(let name, _):
                read += 1
                guard let literal = name.literal else {
                    areAllNamesKnown = false
                    continue
                }
                if let line = lines[literal] {
                    report(name.position, "a second application \"\(literal)\", the first stands in line \(line)")
                } else {
                    lines[literal] = name.position.line
                }
            default: break
            }
        }
        // Another base image may bring applications of its own; `scratch` cannot.
        guard isFromScratch, areAllNamesKnown, read == count else { return }
        for case .launch(let apps) in instructions.map(\.content) {
            for app in apps where lines[app.name] == nil {
                report(app.position, "there is no APP \"\(app.name)\" in this file, and FROM scratch brings none")
            }
        }
    }
}
