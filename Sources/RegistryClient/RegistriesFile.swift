import Glibc
import LinuxSystem
import OCI
import Report
import SystemPackage

/// What a `containers-registries.conf` (version 2) says, as far as we use it.
struct RegistriesFile: Hashable, Sendable {
    /// The name that stands for the files with credentials in a list of helpers.
    static let authFiles = "containers-auth.json"

    /// The `[[registry]]` tables.
    var rules: [RegistryRule] = []
    /// Who is asked for credentials, in this order; empty where the file does not say.
    var credentialHelpers: [String] = []

    /// Parses a whole file. Keys that sealer does not use are skipped, as its manual page asks for.
    ///
    /// - Throws: `InvalidText` with every mistake.
    static func parse(_ text: String, file: String) throws -> RegistriesFile {
        let root = try TOMLReader.parse(text, file: file)
        var reading = Reading(file: file)
        let result = RegistriesFile(rules: reading.rules(root), credentialHelpers: reading.helpers(root))
        if !reading.mistakes.isEmpty { throw InvalidText(reading.mistakes) }
        return result
    }

    /// Takes what a file of `registries.conf.d` says, which counts more.
    mutating func add(_ later: RegistriesFile) {
        rules.removeAll { old in later.rules.contains { $0.prefix == old.prefix } }
        rules += later.rules
        if !later.credentialHelpers.isEmpty { credentialHelpers = later.credentialHelpers }
    }

    /// Reads what the user has: `$CONTAINERS_REGISTRIES_CONF`, else the first of the user's and the system's file that is there,
    /// with the `.conf` files of the folder `registries.conf.d` beside it. Blocks.
    static func find(environment: [String: String], home: FilePath?) throws -> RegistriesFile {
        if let named = environment["CONTAINERS_REGISTRIES_CONF"], !named.isEmpty { return try read(FilePath(named)) }
        let folders = [home?.appending(".config/containers"), FilePath("/etc/containers")].compactMap(\.self)
        for folder in folders {
            let main = folder.appending("registries.conf")
            let extra = folder.appending("registries.conf.d")
            let hasMain = access(main.string, F_OK) == 0
            let names = Folder.exists(extra) ? try Folder.names(in: extra).filter { $0.hasSuffix(".conf") } : []
            guard hasMain || !names.isEmpty else { continue }
            var result = hasMain ? try read(main) : RegistriesFile()
            for name in names { result.add(try read(extra.appending(name))) }
            return result
        }
        return RegistriesFile()
    }

    private static func read(_ path: FilePath) throws -> RegistriesFile {
        try parse(String(decoding: readFile(path, limit: 1 << 20), as: UTF8.self), file: path.string)
    }
}

extension RegistriesFile {
    /// Turns the TOML tables into rules and helpers and collects what is wrong with them.
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

        mutating func helpers(_ root: TOMLNode) -> [String] {
            guard case .table(let members) = root.value, let node = members["credential-helpers"] else { return [] }
            guard case .array(let items) = node.value else {
                wrong(node, "expected an array of strings for credential-helpers, found \(node.kind)")
                return []
            }
            return items.compactMap { item in
                guard let name = string(item, "a credential helper") else { return nil }
                if name == authFiles || CredentialHelper.isName(name) { return name }
                wrong(item, "\"\(printable(name, limit: 80))\" is not the name of a credential helper")
                return nil
            }
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

        private mutating func mirror(_ node: TOMLNode, byDigestOnly: Bool) -> RegistryRule.Mirror? {
            guard case .table(let members) = node.value else { return nil }
            guard let location = string(members["location"], "location") else {
                wrong(node, "the mirror has no location")
                return nil
            }
            var use: RegistryRule.Mirror.Use = byDigestOnly ? .digestOnly : .all
            if let text = string(members["pull-from-mirror"], "pull-from-mirror") {
                if let named = RegistryRule.Mirror.Use(rawValue: text) {
                    use = named
                } else {
                    wrong(members["pull-from-mirror"] ?? node, "expected \"all\", \"digest-only\" or \"tag-only\"")
                }
            }
            return checkedLocation(location, members["location"]).map {
                RegistryRule.Mirror(location: $0, insecure: boolean(members["insecure"], "insecure") ?? false, use: use)
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
