import Report
import YAML

/// Reads the fields of a mapping strictly: what it does not know is a mistake, and every mistake has its place.
struct FieldReader {
    /// The mistakes and remarks of a whole file.
    struct Findings {
        let file: String
        var diagnostics: [Diagnostic] = []

        mutating func report(_ mark: YAMLMark, _ message: String, _ severity: Diagnostic.Severity = .error) {
            diagnostics.append(
                Diagnostic(file: file, line: mark.line, column: mark.column, severity: severity, message: message)
            )
        }
    }

    private let mapping: YAMLMapping
    /// The way to the mapping, for messages: `spec.network`; empty for the document itself.
    private let path: String
    private let mark: YAMLMark

    /// - Parameters:
    ///   - known: the fields that there are.
    ///   - later: fields that other tools of the field have and this one does not support yet.
    init?(_ node: YAMLNode, path: String, known: [String], later: [String] = [], _ findings: inout Findings) {
        guard let mapping = node.mapping else {
            let name = path.isEmpty ? "the document" : path
            findings.report(node.mark, "\(name) must be a mapping, here stands \(node.kindInWords)")
            return nil
        }
        self.mapping = mapping
        self.path = path
        mark = node.mark
        for entry in mapping where !known.contains(entry.key) {
            let name = path.isEmpty ? entry.key : "\(path).\(entry.key)"
            let message =
                later.contains(entry.key)
                ? "\(name.prefix(80)) is not supported yet"
                : "unknown field \(name.prefix(80)), one of \(known.joined(separator: ", ")) was expected"
            findings.report(entry.keyMark, message)
        }
    }

    /// The field's name for messages.
    func name(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// The value of a field; nil when it is not there or null.
    func value(_ key: String) -> YAMLNode? {
        guard let node = mapping[key], !node.isNull else { return nil }
        return node
    }

    /// The value of a field that must be there.
    func required(_ key: String, _ expected: String, _ findings: inout Findings) -> YAMLNode? {
        if let node = value(key) { return node }
        let place = mapping.entry(key)?.keyMark ?? mark
        findings.report(place, "\(name(key)) is missing, \(expected) was expected")
        return nil
    }

    /// A string.
    func string(_ node: YAMLNode, _ key: String, _ findings: inout Findings) -> String? {
        if let text = node.string { return text }
        let hint = node.scalar.map { ": quote it, \"\($0.text.prefix(40))\"" } ?? ""
        findings.report(node.mark, "\(name(key)) must be a string, here stands \(node.kindInWords)\(hint)")
        return nil
    }

    /// A whole number.
    func integer(_ node: YAMLNode, _ key: String, _ findings: inout Findings) -> Int? {
        if let number = node.integer { return number }
        findings.report(node.mark, "\(name(key)) must be a whole number, here stands \(node.kindInWords)")
        return nil
    }

    /// A truth value.
    func bool(_ node: YAMLNode, _ key: String, _ findings: inout Findings) -> Bool? {
        if let flag = node.bool { return flag }
        findings.report(node.mark, "\(name(key)) must be true or false, here stands \(node.kindInWords)")
        return nil
    }

    /// The strings of a list, each with its place.
    func strings(_ key: String, _ expected: String, _ findings: inout Findings) -> [(text: String, mark: YAMLMark)] {
        guard let node = value(key) else { return [] }
        guard let items = node.sequence else {
            findings.report(node.mark, "\(name(key)) must be a list of \(expected), here stands \(node.kindInWords)")
            return []
        }
        return items.compactMap { item in
            string(item, key, &findings).map { ($0, item.mark) }
        }
    }
}
