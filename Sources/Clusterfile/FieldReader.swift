import Report
import YAML

/// The mistakes and remarks of a whole file.
struct Findings {
    let file: String
    private(set) var diagnostics: [Diagnostic] = []
    /// How many of them are errors.
    private(set) var errors = 0

    init(file: String) { self.file = file }

    /// The word that was probably meant; nothing any more when there are many mistakes, as looking for it takes long.
    func nearest(to word: String, of known: [String]) -> String? {
        errors < Self.mostHints ? NearName.nearest(to: word, of: known) : nil
    }

    /// `, did you mean X?`, or nothing.
    func hint(for word: String, of known: [String]) -> String {
        nearest(to: word, of: known).map { ", did you mean \($0)?" } ?? ""
    }

    private static let mostHints = 100

    mutating func report(_ mark: YAMLMark, _ message: String, _ severity: Diagnostic.Severity = .error) {
        if severity == .error { errors += 1 }
        diagnostics.append(
            Diagnostic(file: file, line: mark.line, column: mark.column, severity: severity, message: message)
        )
    }
}

/// A value with the place where it stands.
struct Located<Value> {
    var value: Value
    var mark: YAMLMark
}

/// Reads the fields of a mapping strictly: what the schema does not know is a mistake, and every mistake has its place.
struct FieldReader {
    /// The way to the mapping, for messages: `spec.network`; empty for the document itself.
    let path: String
    /// Where the mapping begins.
    let mark: YAMLMark
    private let fields: [Field]
    private var entries: [String: YAMLMapping.Entry] = [:]

    /// - Parameter isOpen: whether there may be fields that the schema does not name.
    init?(_ node: YAMLNode, _ fields: [Field], path: String, isOpen: Bool = false, _ findings: inout Findings) {
        guard let mapping = node.mapping else {
            let name = path.isEmpty ? "the document" : path
            findings.report(node.mark, "\(name) must be a mapping, here stands \(node.kindInWords)")
            return nil
        }
        self.path = path
        self.fields = fields
        mark = node.mark
        for entry in mapping {
            guard let field = fields.first(where: { $0.names.contains(entry.key) }) else {
                if !isOpen { reportUnknown(entry, &findings) }
                continue
            }
            take(entry, field, &findings)
        }
        for field in fields where field.isRequired && value(field.name) == nil {
            let place = entries[field.name]?.keyMark ?? mark
            findings.report(place, "\(name(field.name)) is missing, \(expectation(field)) was expected")
        }
    }

    private func reportUnknown(_ entry: YAMLMapping.Entry, _ findings: inout Findings) {
        let known = fields.filter(\.isSupported)
        let hint =
            findings.nearest(to: entry.key, of: known.flatMap(\.names)).map { "did you mean \($0)?" }
            ?? "one of \(known.map(\.name).joined(separator: ", ")) was expected"
        findings.report(entry.keyMark, "unknown field \(Cluster.shown(name(entry.key))), \(hint)")
    }

    private mutating func take(_ entry: YAMLMapping.Entry, _ field: Field, _ findings: inout Findings) {
        switch field.state {
        case .refused(let reason):
            findings.report(entry.keyMark, "\(name(entry.key)) \(reason)")
        case .ignored(let reason):
            let isEmpty = entry.value.isNull || entry.value.mapping?.isEmpty == true
            if !isEmpty { findings.report(entry.keyMark, "\(name(entry.key)) \(reason), and is passed over", .warning) }
        case .supported:
            if let earlier = entries[field.name] {
                let line = earlier.keyMark.line
                findings.report(
                    entry.keyMark,
                    "\(name(entry.key)) is the same field as \(earlier.key), which stands in line \(line)")
                return
            }
            entries[field.name] = entry
            if field.olderNames.contains(entry.key) {
                findings.report(
                    entry.keyMark, "\(name(entry.key)) is the older name of \(field.name), and is read as that",
                    .warning)
            }
        }
    }

    private func expectation(_ field: Field) -> String {
        switch field.type {
        case .choice(let words, _): field.example ?? words.joined(separator: ", ")
        case .text: field.example.map { "a string as \($0)" } ?? "a string"
        default: "a \(field.type.words)"
        }
    }

    // MARK: - Values

    /// The field's name for messages.
    func name(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// Whether the key stands in the file, even with nothing behind it.
    func has(_ key: String) -> Bool { entries[key] != nil }

    /// The value of a field; nil when it is not there or null.
    func value(_ key: String) -> YAMLNode? {
        guard let node = entries[key]?.value, !node.isNull else { return nil }
        return node
    }

    /// Where a field's name stands, or the mapping when it does not.
    func keyMark(_ key: String) -> YAMLMark { entries[key]?.keyMark ?? mark }

    private func field(_ key: String) -> Field? { fields.first { $0.name == key } }

    /// A string.
    func text(_ key: String, _ findings: inout Findings) -> Located<String>? {
        value(key).flatMap { text($0, key, &findings) }
    }

    /// The text of a node that belongs to a field, or to a key of it.
    func text(
        _ node: YAMLNode, _ key: String, of inner: String? = nil, _ findings: inout Findings
    ) -> Located<String>? {
        if let text = node.string { return Located(value: text, mark: node.mark) }
        let isSecret = field(key)?.isSecret == true
        let kind = isSecret && node.scalar != nil ? "something else" : node.kindInWords
        let hint = node.scalar.map { isSecret ? ": quote it" : ": quote it, \"\($0.text.prefix(40))\"" } ?? ""
        let name = name(key) + (inner.map { ".\(Cluster.shown($0))" } ?? "")
        findings.report(node.mark, "\(name) must be a string, here stands \(kind)\(hint)")
        return nil
    }

    /// One of the words that the schema has for the field.
    func choice(_ key: String, _ findings: inout Findings) -> Located<String>? {
        guard case .choice(let words, let older)? = field(key)?.type, let found = text(key, &findings) else {
            return nil
        }
        if words.contains(found.value) { return found }
        if let word = older.first(where: { $0.0 == found.value })?.1 { return Located(value: word, mark: found.mark) }
        let hint = findings.hint(for: found.value, of: words)
        let expected = words.joined(separator: ", ")
        findings.report(
            found.mark, "\(name(key)) \"\(Cluster.shown(found.value))\" is not known, \(expected) was expected\(hint)")
        return nil
    }

    /// A whole number, whatever its size; where the schema says so, digits in quotes too.
    func number(_ key: String, _ findings: inout Findings) -> Located<Int>? {
        guard let node = value(key) else { return nil }
        if let number = node.integer { return Located(value: number, mark: node.mark) }
        if case .quotableNumber? = field(key)?.type, let text = node.string, (1...9).contains(text.utf8.count),
            text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(text)
        {
            return Located(value: number, mark: node.mark)
        }
        findings.report(node.mark, "\(name(key)) must be a whole number, here stands \(node.kindInWords)")
        return nil
    }

    /// A port.
    func port(_ key: String, _ findings: inout Findings) -> UInt16? {
        // In quotes and empty: older files write it so when they have none.
        if value(key)?.string == "" { return nil }
        guard let found = number(key, &findings) else { return nil }
        guard let port = UInt16(exactly: found.value), port > 0 else {
            findings.report(found.mark, "\(name(key)) must be 1 to 65535, here stands \(found.value)")
            return nil
        }
        return port
    }

    /// A truth value; where the schema allows only one, the other is a mistake with the schema's reason.
    func flag(_ key: String, _ findings: inout Findings) -> Bool? {
        guard let node = value(key) else { return nil }
        guard let flag = node.bool else {
            findings.report(node.mark, "\(name(key)) must be true or false, here stands \(node.kindInWords)")
            return nil
        }
        if case .flag(let only?)? = field(key)?.type, flag != only {
            let reason = field(key)?.meaning.split(separator: ": ", maxSplits: 1).last.map(String.init) ?? ""
            let why = reason.hasSuffix(".") ? String(reason.dropLast()) : reason
            findings.report(node.mark, "\(name(key)) cannot be \(flag): \(why)")
            return nil
        }
        return flag
    }

    /// The items of a list.
    func items(_ key: String, _ findings: inout Findings) -> [YAMLNode]? {
        guard let node = value(key) else { return nil }
        guard let items = node.sequence else {
            let type = field(key)?.type.words ?? "list"
            findings.report(node.mark, "\(name(key)) must be a \(type), here stands \(node.kindInWords)")
            return nil
        }
        return items
    }

    /// The strings of a list, each with its place.
    func texts(_ key: String, _ findings: inout Findings) -> [Located<String>]? {
        items(key, &findings)?.compactMap { text($0, key, &findings) }
    }

    /// A reader of the mapping at a field.
    func fields(_ key: String, _ findings: inout Findings) -> FieldReader? {
        guard let node = value(key), let fields = field(key)?.type.fields else { return nil }
        return FieldReader(node, fields, path: name(key), &findings)
    }
}
