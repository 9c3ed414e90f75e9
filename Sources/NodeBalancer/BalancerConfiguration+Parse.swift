import Report
import YAML

extension BalancerConfiguration {
    /// Reads a configuration, strictly.
    ///
    /// - Parameter file: the name for the messages.
    /// - Throws: `InvalidText` with every mistake and its place: syntax, unknown or missing fields, wrong types, values out
    ///   of range, names or addresses that two services share.
    public init(parsing text: String, file: String) throws(InvalidText) {
        // Every JSON text is a YAML text too, and the reader of YAML keeps the places.
        let document = try YAMLDocuments.parseOne(text, file: file)
        var reader = ConfigurationReader(file: file)
        let configuration = reader.configuration(document)
        guard reader.diagnostics.isEmpty else { throw InvalidText(reader.diagnostics) }
        self = configuration
    }
}

/// Reads the nodes of a configuration and keeps what is wrong with them.
private struct ConfigurationReader {
    let file: String
    var diagnostics: [Diagnostic] = []

    mutating func configuration(_ document: YAMLNode) -> BalancerConfiguration {
        var result = BalancerConfiguration(services: [])
        let fields = fields(document, of: "a configuration", known: ["services", "intervals", "limits", "status"])
        if let services = required("services", in: fields, at: document) {
            result.services = list(services, "services").compactMap { service($0) }
            complainOfRepetitions(services)
        }
        if let intervals = fields["intervals"] { result.intervals = self.intervals(intervals) }
        if let limits = fields["limits"] { result.limits = self.limits(limits) }
        if let status = fields["status"] { result.status = path(status, "status") }
        return result
    }

    private mutating func service(_ node: YAMLNode) -> BalancerConfiguration.Service? {
        let fields = fields(node, of: "a service", known: ["name", "listen", "backends", "check"])
        let name = required("name", in: fields, at: node).flatMap { text($0, "name") }
        let listen = required("listen", in: fields, at: node).flatMap { endpoint($0, "listen") }
        var backends: [BalancerEndpoint] = []
        if let node = required("backends", in: fields, at: node) {
            let items = list(node, "backends")
            if items.isEmpty, node.sequence != nil { complain("backends must name at least one", at: node) }
            for item in items {
                guard let backend = endpoint(item, "a backend") else { continue }
                if backends.contains(backend) { complain("the backend \(backend) is there twice", at: item) }
                backends.append(backend)
            }
        }
        let check = fields["check"].map { self.check($0) } ?? .init()
        guard let name, let listen else { return nil }
        return .init(name: name, listen: listen, backends: backends, check: check)
    }

    private mutating func check(_ node: YAMLNode) -> BalancerConfiguration.Check {
        let fields = fields(node, of: "a check", known: ["kind", "path", "authority"])
        guard let kindNode = required("kind", in: fields, at: node), let word = text(kindNode, "kind") else {
            return .init()
        }
        guard let kind = BalancerConfiguration.Check.Kind(rawValue: word) else {
            complain("\"\(word)\" is no kind of check, expected tcp or https", at: kindNode)
            return .init()
        }
        if kind == .tcp {
            for name in ["path", "authority"] {
                if let extra = fields[name] { complain("\(name) is for checks of kind https only", at: extra) }
            }
            return .init()
        }
        guard let pathNode = required("path", in: fields, at: node), let path = text(pathNode, "path") else {
            return .init()
        }
        if !path.hasPrefix("/") || !path.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) {
            complain("path must begin with / and hold no blanks, such as /readyz", at: pathNode)
        }
        return .init(path: path, authority: fields["authority"].flatMap { self.path($0, "authority") })
    }

    private mutating func intervals(_ node: YAMLNode) -> BalancerConfiguration.Intervals {
        var result = BalancerConfiguration.Intervals()
        let fields = fields(node, of: "intervals", known: ["check", "timeout", "connect", "drain"])
        for (name, path) in [
            ("check", \BalancerConfiguration.Intervals.check), ("timeout", \.timeout), ("connect", \.connect),
            ("drain", \.drain),
        ] {
            guard let node = fields[name] else { continue }
            let seconds: Double? =
                switch node.scalar?.value {
                case .integer(let number): Double(number)
                case .float(let number): number
                default: nil
                }
            guard let seconds, (name == "drain" ? 0 : 0.01)...3600 ~= seconds else {
                complain("\(name) must be seconds from 0.01 to 3600", at: node)
                continue
            }
            result[keyPath: path] = .milliseconds(Int((seconds * 1000).rounded()))
        }
        return result
    }

    private mutating func limits(_ node: YAMLNode) -> BalancerConfiguration.Limits {
        var result = BalancerConfiguration.Limits()
        let fields = fields(node, of: "limits", known: ["connections", "failures", "successes"])
        for (name, path, most) in [
            ("connections", \BalancerConfiguration.Limits.connections, 1_000_000), ("failures", \.failures, 1000),
            ("successes", \.successes, 1000),
        ] {
            guard let node = fields[name] else { continue }
            guard let number = node.integer, (1...most).contains(number) else {
                complain("\(name) must be a whole number from 1 to \(most)", at: node)
                continue
            }
            result[keyPath: path] = number
        }
        return result
    }

    /// Two services can share neither their name nor their address.
    private mutating func complainOfRepetitions(_ services: YAMLNode) {
        for field in ["name", "listen"] {
            var seen: Set<String> = []
            for node in (services.sequence ?? []).compactMap({ $0[field] }) {
                guard let text = node.string else { continue }
                let same = field == "listen" ? BalancerEndpoint(text)?.description ?? text : text
                if !seen.insert(same).inserted { complain("two services have the \(field) \(text)", at: node) }
            }
        }
    }

    // MARK: - Values

    private mutating func complain(_ message: String, at node: YAMLNode) {
        complain(message, at: node.mark)
    }

    private mutating func complain(_ message: String, at mark: YAMLMark) {
        diagnostics.append(Diagnostic(file: file, line: mark.line, column: mark.column, message: message))
    }

    private mutating func fields(_ node: YAMLNode, of what: String, known: [String]) -> YAMLMapping {
        guard let mapping = node.mapping else {
            complain("\(what) must be an object, not \(node.kindInWords)", at: node)
            return [:]
        }
        for entry in mapping where !known.contains(entry.key) {
            complain("unknown field \"\(entry.key)\", expected \(known.joined(separator: ", "))", at: entry.keyMark)
        }
        return mapping
    }

    private mutating func required(_ name: String, in fields: YAMLMapping, at node: YAMLNode) -> YAMLNode? {
        if let value = fields[name] { return value }
        if node.mapping != nil { complain("the field \"\(name)\" is missing", at: node) }
        return nil
    }

    private mutating func list(_ node: YAMLNode, _ name: String) -> [YAMLNode] {
        if let items = node.sequence { return items }
        complain("\(name) must be a list, not \(node.kindInWords)", at: node)
        return []
    }

    private mutating func text(_ node: YAMLNode, _ name: String) -> String? {
        guard let text = node.string, !text.isEmpty else {
            complain("\(name) must be a text", at: node)
            return nil
        }
        return text
    }

    private mutating func path(_ node: YAMLNode, _ name: String) -> String? {
        guard let text = node.string, text.hasPrefix("/"), !text.utf8.contains(0) else {
            complain("\(name) must be an absolute path", at: node)
            return nil
        }
        return text
    }

    private mutating func endpoint(_ node: YAMLNode, _ name: String) -> BalancerEndpoint? {
        guard let text = node.string, let endpoint = BalancerEndpoint(text) else {
            complain("\(name) must be ADDRESS:PORT, such as 10.0.0.1:6443 or [fd00::1]:6443", at: node)
            return nil
        }
        return endpoint
    }
}
