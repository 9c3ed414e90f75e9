import Report
import YAML

/// A cluster's administrator kubeconfig, to be laid into one that has clusters of others too.
///
/// In there the cluster has its own name, and so has the context; the user is `NAME-admin`. What the other file has besides
/// stays as it is, in its order; comments do not survive.
public struct KubeconfigMerge: Sendable {
    private let name: String
    private let cluster: YAMLNode
    private let user: YAMLNode
    private let context: YAMLMapping

    /// Reads the cluster's own kubeconfig: what its current context, or its only one, names.
    ///
    /// - Parameters:
    ///   - file: its name for messages.
    ///   - name: the cluster's name.
    /// - Throws: `InvalidText`, or `Failure` of kind `invalidInput` when it lacks what its context names.
    public init(_ text: String, file: String, name: String) throws {
        let document = try YAMLDocuments.parseOne(text, file: file)
        try Self.check(document, file: file)
        self.name = name
        func entry(_ list: String, _ key: String, _ name: String?) throws -> YAMLNode {
            let entries = document[list]?.sequence ?? []
            let found = name == nil && entries.count == 1 ? entries.first : entries.first { Self.name(of: $0) == name }
            guard let value = found?[key], value.mapping != nil else {
                throw Failure(
                    .invalidInput, "the kubeconfig has no \(key) \(name ?? "that is named in it")", at: file,
                    remedy: "have it written anew: sealer apply")
            }
            return value
        }
        let current = document["current-context"]?.scalar?.text
        let context = try entry("contexts", "context", current?.isEmpty == true ? nil : current)
        cluster = try entry("clusters", "cluster", context["cluster"]?.scalar?.text)
        user = try entry("users", "user", context["user"]?.scalar?.text)
        var renamed = context.mapping ?? YAMLMapping()
        renamed["cluster"] = YAMLNode(name)
        renamed["user"] = YAMLNode(Self.user(of: name))
        self.context = renamed
    }

    /// The name of a cluster's user in there.
    public static func user(of cluster: String) -> String { "\(cluster)-admin" }

    /// The other kubeconfig with the cluster in it.
    ///
    /// Entries of the same names are replaced at their place, others are appended.
    ///
    /// - Parameters:
    ///   - text: the other kubeconfig; nil, or empty, to begin one.
    ///   - file: its name for messages.
    ///   - setsCurrent: whether the cluster becomes the one that kubectl talks to.
    /// - Returns: the new text; nil when the cluster is in there just like this already.
    /// - Throws: `InvalidText` when the other one is no kubeconfig.
    public func merged(into text: String?, file: String, setsCurrent: Bool) throws(InvalidText) -> String? {
        let before = try Self.read(text ?? "", file: file)
        var after = before
        after.append(.init(key: "apiVersion", value: "v1"))
        after.append(.init(key: "kind", value: "Config"))
        after["clusters"] = Self.list(before["clusters"], with: name, "cluster", cluster)
        after["contexts"] = Self.list(before["contexts"], with: name, "context", YAMLNode(context))
        if setsCurrent { after["current-context"] = YAMLNode(name) }
        after["users"] = Self.list(before["users"], with: Self.user(of: name), "user", user)
        return before == after ? nil : YAMLNode(after).text
    }

    private static func list(_ list: YAMLNode?, with name: String, _ key: String, _ value: YAMLNode) -> YAMLNode {
        let entry: YAMLNode = .init(YAMLMapping([("name", YAMLNode(name)), (key, value)]))
        var entries = list?.sequence ?? []
        guard let first = entries.firstIndex(where: { Self.name(of: $0) == name }) else {
            return YAMLNode(entries + [entry])
        }
        // The order of an entry's two keys means nothing: one that says the same stays as it stands.
        if entries[first][key] != value || entries[first].mapping?.entries.count != 2 { entries[first] = entry }
        let rest = entries[(first + 1)...].filter { Self.name(of: $0) != name }
        return YAMLNode(entries[...first] + rest)
    }

    private static func name(of entry: YAMLNode) -> String? { entry["name"]?.scalar?.text }

    // MARK: - What is a kubeconfig

    private static let lists = [("clusters", "cluster"), ("contexts", "context"), ("users", "user")]

    private static func read(_ text: String, file: String) throws(InvalidText) -> YAMLMapping {
        // One that holds comments only, or nothing, is an empty kubeconfig for kubectl too.
        guard try !YAMLDocuments.parse(text, file: file).isEmpty else { return YAMLMapping() }
        let document = try YAMLDocuments.parseOne(text, file: file)
        if document.isNull { return YAMLMapping() }
        try check(document, file: file)
        return document.mapping ?? YAMLMapping()
    }

    /// Whether a document is a kubeconfig: `kind: Config`, or no kind, but at least one of its lists.
    private static func check(_ document: YAMLNode, file: String) throws(InvalidText) {
        var mistakes: [Diagnostic] = []
        func report(_ node: YAMLNode, _ message: String) {
            mistakes.append(Diagnostic(file: file, line: node.mark.line, column: node.mark.column, message: message))
        }
        if let mapping = document.mapping {
            if let kind = mapping["kind"], kind.scalar?.text != "Config" {
                report(kind, "this is no kubeconfig: kind Config was expected")
            } else if mapping["kind"] == nil, !mapping.isEmpty, !lists.contains(where: { mapping[$0.0] != nil }) {
                report(document, "this is no kubeconfig: clusters, contexts and users were expected")
            }
            if let version = mapping["apiVersion"], version.scalar?.text != "v1" {
                report(version, "the apiVersion v1 of a kubeconfig was expected")
            }
            for (list, what) in lists {
                guard let node = mapping[list], !node.isNull else { continue }
                guard let entries = node.sequence else {
                    report(node, "\(list) is \(node.kindInWords), a list was expected")
                    continue
                }
                for entry in entries where name(of: entry) == nil {
                    report(entry, "a \(what) with a name was expected")
                }
            }
        } else {
            report(document, "this is no kubeconfig: it is \(document.kindInWords)")
        }
        guard mistakes.isEmpty else { throw InvalidText(mistakes) }
    }
}
