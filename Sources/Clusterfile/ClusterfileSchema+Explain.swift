import Report

extension ClusterfileSchema {
    /// What a field of a Clusterfile means, for people, as `kubectl explain` tells it of its own: `cluster.spec.hosts`.
    ///
    /// - Parameter path: a kind, in whatever case, and names of fields, parted by dots; lists are walked through
    ///   by the name alone, or with a number: `cluster.spec.hosts[0].ips`. Nothing for the kinds.
    /// - Throws: `Failure` of kind `notFound` that names what is near.
    public static func explain(_ path: String) throws(Failure) -> String {
        let words = path.split(separator: ".", omittingEmptySubsequences: false)
            .map { String($0.hasSuffix("]") ? $0.prefix { $0 != "[" } : $0) }
        guard let first = words.first, !path.isEmpty else { return overview }
        guard let document = documents.first(where: { $0.kind.lowercased() == first.lowercased() }) else {
            throw missing(first, in: "the kinds of a Clusterfile", of: documents.map { $0.kind.lowercased() })
        }
        var fields = document.fields
        var field: Field?
        var way = document.kind.lowercased()
        for word in words.dropFirst() {
            guard let found = fields.first(where: { $0.names.contains(word) }) else {
                if document.isOpen {
                    throw Failure(
                        .notFound, "the fields of \(document.kind) are not sealer's",
                        remedy: "look into the documentation of \(document.apiVersions[0])")
                }
                throw missing(word, in: way, of: fields.flatMap(\.names))
            }
            field = found
            way += ".\(found.name)"
            fields = found.type.fields ?? []
        }
        return page(document, field, way, fields)
    }

    private static func missing(_ word: String, in place: String, of known: [String]) -> Failure {
        let hint = NearName.hint(for: word, of: known)
        let remedy =
            known.isEmpty ? "explain \(place), which has no fields" : "name one of \(known.joined(separator: ", "))"
        return Failure(.notFound, "there is no \"\(Cluster.shown(word))\" in \(place)\(hint)", remedy: remedy)
    }

    private static var overview: String {
        let width = documents.map(\.kind.count).max() ?? 0
        return "KINDS:\n" + documents.map { "  \(pad($0.kind.lowercased(), width))  \($0.meaning)\n" }.joined()
    }

    private static func page(_ document: Document, _ field: Field?, _ way: String, _ fields: [Field]) -> String {
        var text = "KIND:     \(document.kind)\nVERSION:  \(document.apiVersions[0])\n"
        if let field {
            text += "FIELD:    \(way) <\(field.type.words)>\n"
            text += "\nDESCRIPTION:\n" + wrapped(field.meaning, indent: 4)
            if field.isRequired { text += "    It must be there.\n" }
            if field.isSecret { text += "    sealer never shows its value.\n" }
            if let standard = field.standard { text += "\nDEFAULT:\n    \(standard)\n" }
            if let example = field.example { text += "\nEXAMPLE:\n    \(field.name): \(example)\n" }
            let others = field.aliases.map { "\($0)" } + field.olderNames.map { "\($0) (older)" }
            if !others.isEmpty { text += "\nOTHER NAMES:\n    \(others.joined(separator: ", "))\n" }
            if let since = field.since { text += "\nORIGIN:\n    \(origin(since))\n" }
        } else {
            text += "\nDESCRIPTION:\n" + wrapped(document.meaning, indent: 4)
        }
        guard !fields.isEmpty else { return text }
        text += "\nFIELDS:\n"
        for field in fields {
            text += "  \(field.name) <\(field.type.words)>\(field.isRequired ? " (must be there)" : "")\n"
            text += wrapped(field.meaning, indent: 4)
        }
        return text
    }

    private static func origin(_ since: String) -> String {
        switch since {
        case "ours": "this sealer"
        case let since where since.hasPrefix("v"): "Clusterfiles \(since)"
        default: "sealer \(since)"
        }
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(width - text.count, 0))
    }

    /// The text in lines of at most 100 characters.
    private static func wrapped(_ text: String, indent: Int) -> String {
        let margin = String(repeating: " ", count: indent)
        var lines = [""]
        for word in text.split(separator: " ") {
            let last = lines[lines.count - 1]
            if last.isEmpty {
                lines[lines.count - 1] = String(word)
            } else if last.count + word.count + indent < 100 {
                lines[lines.count - 1] = "\(last) \(word)"
            } else {
                lines.append(String(word))
            }
        }
        return lines.map { "\(margin)\($0)\n" }.joined()
    }
}
