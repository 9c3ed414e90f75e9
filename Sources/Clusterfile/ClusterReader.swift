import OCI
import Report
import YAML

/// Reads the documents of a Clusterfile into a cluster, and tells the rules' problems at the places that they come
/// from.
struct ClusterReader {
    var findings: Findings
    /// What was read so far; the name and the image stand in for those that are missing.
    var cluster: Cluster
    /// Paths of what could not be read: problems with these are left out, as they would be told a second time.
    var incomplete: Set<String> = []
    private var places: [String: Place] = [:]
    private let source: TextPlaces

    /// Where the value of a path stands.
    private struct Place {
        var mark: YAMLMark
        /// The value's node, when it is a text of several lines.
        var block: YAMLNode?
    }

    /// Hosts so far, as many as addresses are written out.
    var hosts = 0

    /// - Throws: never, as the image that stands in is one.
    init(file: String, text: String) throws(Failure) {
        findings = Findings(file: file)
        source = TextPlaces(text)
        cluster = Cluster(name: "unnamed", image: try Reference("unnamed"))
    }

    mutating func read(_ documents: [YAMLNode]) -> Cluster? {
        guard !documents.isEmpty else {
            findings.report(YAMLMark(line: 1, column: 1), "the file is empty, a document of kind Cluster was expected")
            return nil
        }
        var known: [(schema: ClusterfileSchema.Document, node: YAMLNode)] = []
        for document in documents {
            if let schema = kind(of: document) { known.append((schema, document)) }
        }
        var isWhole = readOnly("Cluster", known) { $0.readCluster($1) } ?? false
        let hasCluster = known.contains { $0.schema.kind == "Cluster" }
        if !hasCluster, findings.errors == 0 {
            findings.report(documents[0].mark, "there is no document of kind Cluster")
        }
        for (schema, node) in known {
            switch schema.kind {
            case "Config": readConfig(node, schema)
            case "Plugin": readPlugin(node, schema)
            default: readKubeadmDocument(node, schema)
            }
        }
        readOnly("Application", known) { $0.readApplication($1) }
        guard hasCluster else { return nil }
        takeNetworksOfKubeadm()
        if isWhole || places["spec"] != nil { reportProblems() }
        isWhole = isWhole && findings.errors == 0
        keepOrigins()
        return isWhole ? cluster : nil
    }

    /// Reads the one document of a kind; a second one is a mistake.
    @discardableResult
    private mutating func readOnly<Result>(
        _ kind: String, _ known: [(schema: ClusterfileSchema.Document, node: YAMLNode)],
        _ read: (inout ClusterReader, YAMLNode) -> Result
    ) -> Result? {
        let nodes = known.filter { $0.schema.kind == kind }.map(\.node)
        for node in nodes.dropFirst() {
            let first = nodes[0].mark.line
            findings.report(node.mark, "a second document of kind \(kind), the first stands in line \(first)")
        }
        return nodes.first.map { read(&self, $0) }
    }

    private mutating func kind(of document: YAMLNode) -> ClusterfileSchema.Document? {
        guard document.mapping != nil else {
            findings.report(document.mark, "a document must be a mapping, here stands \(document.kindInWords)")
            return nil
        }
        let known = ClusterfileSchema.documents.map(\.kind)
        guard let kind = document["kind"], !kind.isNull else {
            findings.report(document.mark, "kind is missing, \(known.joined(separator: ", ")) was expected")
            return nil
        }
        let name = kind.string ?? kind.kindInWords
        if let schema = ClusterfileSchema.documents.first(where: { $0.kind == name }) {
            checkVersion(document, schema)
            return schema
        }
        if name == "KubeadmConfig" || name == "Infra" {
            findings.report(kind.mark, "the kind \(name) is not supported: it was planned once, and never came")
        } else {
            let hint = findings.hint(for: name, of: known)
            let expected = known.joined(separator: ", ")
            findings.report(kind.mark, "unknown kind \(Cluster.shown(name)), \(expected) was expected\(hint)")
        }
        return nil
    }

    private mutating func checkVersion(_ document: YAMLNode, _ schema: ClusterfileSchema.Document) {
        // That it is missing, and whether kubeadm knows it, is told elsewhere.
        guard !schema.isOpen, let node = document["apiVersion"], !node.isNull else { return }
        let version = node.string ?? node.scalar?.text ?? node.kindInWords
        if schema.apiVersions.contains(version) { return }
        let expected = schema.apiVersions[0]
        if schema.olderVersions.contains(version) {
            let message = "the API version \(version) is of an older release: \(expected) has taken its place"
            findings.report(node.mark, message, .warning)
        } else {
            let hint = findings.hint(for: version, of: schema.apiVersions)
            let message = "apiVersion \"\(Cluster.shown(version))\" is not known, \(expected) was expected\(hint)"
            findings.report(node.mark, message)
        }
    }

    // MARK: - Places

    /// Remembers where the value of a path stands.
    mutating func note(_ path: String, _ mark: YAMLMark) { places[path] = Place(mark: mark) }

    /// Remembers where a value stands that problems may name places within.
    mutating func note(_ path: String, block node: YAMLNode) { places[path] = Place(mark: node.mark, block: node) }

    /// Remembers where the value of a field stands, if it does.
    mutating func note(_ path: String, _ node: YAMLNode?) {
        if let node { note(path, node.mark) }
    }

    /// Whether it is known where the value of a path stands.
    func isNoted(_ path: String) -> Bool { places[path] != nil }

    /// The place of the path, or of what it is part of.
    private func place(_ path: String) -> Place? {
        var rest = Substring(path)
        while true {
            if let place = places[String(rest)] { return place }
            guard let end = rest.lastIndex(where: { $0 == "." || $0 == "[" }) else { return nil }
            rest = rest[..<end]
        }
    }

    /// Keeps the places of what is found to be wrong only when the image is known.
    private mutating func keepOrigins() {
        let applications = (cluster.applications ?? []).indices.map { "spec.appNames[\($0)]" }
        for path in applications {
            guard let mark = places[path]?.mark else { continue }
            cluster.origins[path] = "\(findings.file):\(mark.line):\(mark.column)"
        }
    }

    private mutating func reportProblems() {
        for problem in cluster.problems {
            if incomplete.contains(problem.path) || problem.related.map(incomplete.contains) == true { continue }
            let related = problem.related.flatMap { places[$0] }
            let exact = places[problem.path]
            // Nothing that is wrong may go untold, wherever it stands.
            let place = exact ?? related ?? place(problem.path) ?? Place(mark: YAMLMark(line: 1, column: 1))
            var mark = place.mark
            if let inner = problem.inner, let block = place.block { mark = source.place(of: inner, in: block) }
            var message = problem.message
            if exact != nil, let related, problem.related != "spec.hosts" {
                let line = related.mark.line
                if message.hasSuffix("stands twice") || message.hasPrefix("a second ") {
                    message += ", first in line \(line)"
                } else if line != mark.line {
                    message += ", see line \(line)"
                }
            }
            findings.report(mark, message, problem.severity)
        }
    }
}

/// Finds places within texts of several lines.
struct TextPlaces {
    private let lines: [[Unicode.Scalar]]

    init(_ text: String) {
        lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map(Array.init)
    }

    /// Where a place within a text stands in the file: exact for literal blocks, for all others the text's beginning.
    func place(of inner: YAMLMark, in node: YAMLNode) -> YAMLMark {
        guard let scalar = node.scalar, scalar.style == .block, let header = line(node.mark.line),
            header.indices.contains(node.mark.column - 1), header[node.mark.column - 1] == "|"
        else { return node.mark }
        // The first line with something in it tells how far the block is indented.
        var (first, blanks) = (0, 0)
        for character in scalar.text.unicodeScalars {
            guard character == " " || character == "\n" else { break }
            (first, blanks) = character == " " ? (first, blanks + 1) : (first + 1, 0)
        }
        guard let source = line(node.mark.line + 1 + first), let wanted = line(node.mark.line + inner.line) else {
            return node.mark
        }
        let indent = source.prefix { $0 == " " }.count - blanks
        return YAMLMark(line: node.mark.line + inner.line, column: min(max(indent, 0) + inner.column, wanted.count + 1))
    }

    private func line(_ number: Int) -> [Unicode.Scalar]? {
        lines.indices.contains(number - 1) ? lines[number - 1] : nil
    }
}
