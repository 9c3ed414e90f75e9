import OCI
import Report

/// One `[[registry]]` of `containers-registries.conf` (version 2): where the images of some names really are.
public struct RegistryRule: Hashable, Sendable {
    /// A place that has copies.
    public struct Mirror: Hashable, Sendable {
        /// Which references a mirror may serve.
        public enum Use: String, Sendable {
            /// All.
            case all
            /// Those with a digest.
            case digestOnly = "digest-only"
            /// Those without a digest.
            case tagOnly = "tag-only"
        }

        /// What replaces the rule's prefix in the name: `HOST[:PORT][/PATH]`.
        public var location: String
        /// Whether http, and https without verification, are accepted.
        public var insecure: Bool
        /// Which references it may serve.
        public var use: Use

        /// Makes a mirror.
        public init(location: String, insecure: Bool = false, use: Use = .all) {
            self.location = location
            self.insecure = insecure
            self.use = use
        }
    }

    /// The beginning of the names that the rule is for: `HOST[:PORT][/PATH]` or `*.DOMAIN`.
    public var prefix: String
    /// What replaces the prefix; nil leaves the name as it is.
    public var location: String?
    /// Whether http, and https without verification, are accepted at the location.
    public var insecure: Bool
    /// Whether these names may not be pulled at all.
    public var blocked: Bool
    /// Tried in order before the location.
    public var mirrors: [Mirror]

    /// Makes a rule.
    public init(
        prefix: String,
        location: String? = nil,
        insecure: Bool = false,
        blocked: Bool = false,
        mirrors: [Mirror] = []
    ) {
        self.prefix = prefix
        self.location = location
        self.insecure = insecure
        self.blocked = blocked
        self.mirrors = mirrors
    }

    /// How much of `repository` (`HOST[:PORT]/PATH`) the prefix covers, in characters; nil when the rule is not for it.
    ///
    /// A prefix only ends where a component of the name ends: `example.com/foo` is not for `example.com/foobar`, and
    /// `localhost` is not for `localhost.example.com`.
    func matchedLength(in repository: String) -> Int? {
        if prefix.hasPrefix("*.") {
            let domain = repository.prefix { $0 != "/" }
            let host = domain.hasPrefix("[") ? domain : domain.prefix { $0 != ":" }
            let suffix = prefix.dropFirst()
            guard host.hasSuffix(suffix), host.count > suffix.count else { return nil }
            return domain.count
        }
        guard repository == prefix || repository.hasPrefix(prefix + "/") else { return nil }
        return prefix.count
    }

    /// The rule with the longest prefix that is for the repository.
    static func best(of rules: [RegistryRule], for repository: String) -> RegistryRule? {
        rules.filter { $0.matchedLength(in: repository) != nil }.max { $0.prefix.count < $1.prefix.count }
    }

    /// Parses a whole `registries.conf`. Keys that sealer does not use are skipped, as its manual page asks for.
    ///
    /// - Throws: `InvalidText` with every mistake.
    static func parse(_ text: String, file: String) throws -> [RegistryRule] {
        let root = try TOMLReader.parse(text, file: file)
        var reading = Reading(file: file)
        let rules = reading.rules(root)
        if !reading.mistakes.isEmpty { throw InvalidText(reading.mistakes) }
        return rules
    }
}

extension RegistryRule {
    /// Turns the TOML tables into rules and collects what is wrong with them.
    private struct Reading {
        let file: String
        var mistakes: [Diagnostic] = []

        mutating func rules(_ root: TOMLNode) -> [RegistryRule] {
            guard case .table(let members) = root.value else { return [] }
            if let old = members["registries"] {
                wrong(old, "this is version 1 of the format, which is not supported: write [[registry]] tables")
            }
            var rules: [RegistryRule] = []
            for table in tables(members["registry"], "registry") {
                guard let rule = rule(table) else { continue }
                if rules.contains(where: { $0.prefix == rule.prefix }) {
                    wrong(table, "there is another [[registry]] with the prefix \"\(rule.prefix)\"")
                }
                rules.append(rule)
            }
            return rules
        }

        private mutating func rule(_ node: TOMLNode) -> RegistryRule? {
            guard case .table(let members) = node.value else { return nil }
            let location = string(members["location"], "location").flatMap { checkedLocation($0, members["location"]) }
            let prefix = string(members["prefix"], "prefix")
            guard let prefix = prefix ?? location else {
                wrong(node, "the [[registry]] has neither a prefix nor a location")
                return nil
            }
            checkPrefix(prefix, members["prefix"] ?? node)
            let byDigestOnly = boolean(members["mirror-by-digest-only"], "mirror-by-digest-only") ?? false
            return RegistryRule(
                prefix: prefix,
                location: location,
                insecure: boolean(members["insecure"], "insecure") ?? false,
                blocked: boolean(members["blocked"], "blocked") ?? false,
                mirrors: tables(members["mirror"], "registry.mirror").compactMap {
                    mirror($0, byDigestOnly: byDigestOnly)
                }
            )
        }

        private mutating func mirror(_ node: TOMLNode, byDigestOnly: Bool) -> Mirror? {
            guard case .table(let members) = node.value else { return nil }
            guard let location = string(members["location"], "location") else {
                wrong(node, "the mirror has no location")
                return nil
            }
            var use: Mirror.Use = byDigestOnly ? .digestOnly : .all
            if let text = string(members["pull-from-mirror"], "pull-from-mirror") {
                if let named = Mirror.Use(rawValue: text) {
                    use = named
                } else {
                    wrong(members["pull-from-mirror"] ?? node, "expected \"all\", \"digest-only\" or \"tag-only\"")
                }
            }
            return checkedLocation(location, members["location"]).map {
                Mirror(location: $0, insecure: boolean(members["insecure"], "insecure") ?? false, use: use)
            }
        }

        private mutating func checkedLocation(_ text: String, _ node: TOMLNode?) -> String? {
            if isRepository(text) { return text }
            if let node { wrong(node, "\"\(text.prefix(80))\" is not HOST[:PORT][/PATH]") }
            return nil
        }

        private mutating func checkPrefix(_ text: String, _ node: TOMLNode) {
            let isValid =
                text.hasPrefix("*.")
                ? isRepository(String(text.dropFirst(2))) && !text.contains("/") : isRepository(text)
            if !isValid { wrong(node, "\"\(text.prefix(80))\" is not HOST[:PORT][/PATH] or *.DOMAIN") }
        }

        /// Whether it could begin the name of an image: no scheme, no tag, no white space.
        private func isRepository(_ text: String) -> Bool {
            let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            guard let domain = parts.first else { return false }
            let path = parts.count > 1 ? String(parts[1]) : "x"
            return (try? Reference(domain: String(domain), path: path, tag: nil)) != nil
        }

        private mutating func tables(_ node: TOMLNode?, _ name: String) -> [TOMLNode] {
            guard let node else { return [] }
            guard case .array(let items) = node.value else {
                wrong(node, "expected [[\(name)]] with two brackets")
                return []
            }
            return items.filter { item in
                if case .table = item.value { return true }
                wrong(item, "expected a table, found \(item.kind)")
                return false
            }
        }

        private mutating func string(_ node: TOMLNode?, _ name: String) -> String? {
            guard let node else { return nil }
            if case .string(let text) = node.value { return text }
            wrong(node, "expected a string for \(name), found \(node.kind)")
            return nil
        }

        private mutating func boolean(_ node: TOMLNode?, _ name: String) -> Bool? {
            guard let node else { return nil }
            if case .boolean(let flag) = node.value { return flag }
            wrong(node, "expected true or false for \(name), found \(node.kind)")
            return nil
        }

        private mutating func wrong(_ node: TOMLNode, _ message: String) {
            mistakes.append(Diagnostic(file: file, line: node.place.line, column: node.place.column, message: message))
        }
    }
}
