import OCI
import Report
import YAML

extension Cluster {
    /// What a Clusterfile says.
    public struct Parsed: Sendable {
        /// The cluster.
        public var cluster: Cluster
        /// What is probably not meant.
        public var warnings: [Diagnostic]
    }

    /// The API version of the documents.
    public static let apiVersion = "sealer.io/v2"

    /// Reads a Clusterfile.
    ///
    /// Strict: unknown fields and wrong types are mistakes, and all mistakes of the file are told together. Fields and kinds
    /// that other tools of the field have, and this one does not support yet, are mistakes that say so.
    ///
    /// - Parameter file: the name for diagnostics.
    /// - Throws: `InvalidText`.
    public static func parse(_ text: String, file: String = "Clusterfile") throws(InvalidText) -> Parsed {
        var limits = YAMLLimits.standard
        limits.bytes = 1 << 20
        let documents = try YAMLDocuments.parse(text, file: file, limits: limits)
        var reader = ClusterReader(file: file)
        let cluster = reader.read(documents)
        let diagnostics = reader.findings.diagnostics
        guard let cluster, !diagnostics.contains(where: { $0.severity == .error }) else {
            throw InvalidText(diagnostics)
        }
        return Parsed(cluster: cluster, warnings: diagnostics)
    }
}

/// Reads the documents of a Clusterfile.
private struct ClusterReader {
    var findings: FieldReader.Findings
    /// Where each field's value stands; a field whose value could not be read is not checked further.
    private var marks: [Cluster.Field: YAMLMark] = [:]
    private var unreadable: Set<Cluster.Field> = []

    init(file: String) {
        findings = FieldReader.Findings(file: file)
    }

    private static let laterKinds = ["Config", "Plugin", "Application", "KubeadmConfig"]
    private static let kubeadmKinds = [
        "InitConfiguration", "ClusterConfiguration", "JoinConfiguration", "KubeletConfiguration",
        "KubeProxyConfiguration",
    ]

    mutating func read(_ documents: [YAMLNode]) -> Cluster? {
        guard !documents.isEmpty else {
            findings.report(YAMLMark(line: 1, column: 1), "the file is empty, a document of kind Cluster was expected")
            return nil
        }
        var cluster: Cluster?
        var firstLine: Int?
        for document in documents {
            guard isCluster(document) else { continue }
            if let firstLine {
                findings.report(
                    document.mark, "a second document of kind Cluster, the first stands in line \(firstLine)")
            } else {
                firstLine = document.mark.line
                cluster = readCluster(document)
            }
        }
        if firstLine == nil, findings.diagnostics.isEmpty {
            findings.report(documents[0].mark, "there is no document of kind Cluster")
        }
        return cluster
    }

    private mutating func isCluster(_ document: YAMLNode) -> Bool {
        guard document.mapping != nil else {
            findings.report(document.mark, "a document must be a mapping, here stands \(document.kindInWords)")
            return false
        }
        guard let kind = document["kind"] else {
            findings.report(document.mark, "kind is missing, Cluster was expected")
            return false
        }
        guard kind.string != "Cluster" else { return true }
        let name = kind.string ?? kind.kindInWords
        let isLater = Self.laterKinds.contains(name) || Self.kubeadmKinds.contains(name)
        let message =
            isLater ? "the kind \(name) is not supported yet" : "unknown kind \(name.prefix(60)), Cluster was expected"
        findings.report(kind.mark, message)
        return false
    }

    private mutating func readCluster(_ document: YAMLNode) -> Cluster? {
        guard
            let fields = FieldReader(
                document,
                path: "",
                known: ["apiVersion", "kind", "metadata", "spec"],
                later: ["status"],
                &findings
            )
        else { return nil }
        if let version = fields.required("apiVersion", Cluster.apiVersion, &findings),
            version.string != Cluster.apiVersion
        {
            let shown = version.scalar?.text.prefix(60) ?? ""
            findings.report(version.mark, "apiVersion \"\(shown)\" is not known, \(Cluster.apiVersion) was expected")
        }
        let name = readName(fields)
        guard let spec = fields.required("spec", "a mapping with the cluster's image", &findings) else { return nil }
        return readSpecification(spec, name: name)
    }

    private mutating func readName(_ fields: FieldReader) -> String? {
        guard let metadata = fields.required("metadata", "a mapping with the cluster's name", &findings),
            let reader = FieldReader(
                metadata,
                path: "metadata",
                known: ["name"],
                later: ["annotations", "labels"],
                &findings
            ),
            let node = reader.required("name", "the cluster's name", &findings)
        else { return nil }
        marks[.name] = node.mark
        return reader.string(node, "name", &findings)
    }

    private mutating func readSpecification(_ node: YAMLNode, name: String?) -> Cluster? {
        guard
            let fields = FieldReader(
                node,
                path: "spec",
                known: ["image", "provider", "masters", "nodes", "network", "env", "certSANs", "container"],
                later: [
                    "hosts", "ssh", "cmd", "cmd_args", "appNames", "containerRuntime", "hostAliases", "registry",
                    "dataRoot",
                ],
                &findings
            )
        else { return nil }
        let image = readImage(fields)
        readProvider(fields)
        // The rules are checked on a whole cluster: what is missing was reported, and stands in here as something right.
        guard let stand = image ?? Self.standIn else { return nil }
        var cluster = Cluster(name: name ?? "unnamed", image: stand)
        cluster.masters = readCount(fields, "masters", .masters) ?? cluster.masters
        cluster.nodes = readCount(fields, "nodes", .nodes) ?? cluster.nodes
        readNetwork(fields, &cluster)
        readEnvironment(fields, &cluster)
        readCertificateNames(fields, &cluster)
        readContainer(fields, &cluster)
        for problem in cluster.problems where !unreadable.contains(problem.field) {
            findings.report(marks[problem.field] ?? node.mark, problem.message, problem.severity)
        }
        return name == nil || image == nil ? nil : cluster
    }

    private static var standIn: Reference? {
        do throws(Failure) { return try Reference("unnamed") } catch { return nil }
    }

    private mutating func readImage(_ fields: FieldReader) -> Reference? {
        guard let node = fields.required("image", "the ClusterImage's name", &findings),
            let text = fields.string(node, "image", &findings)
        else { return nil }
        do throws(Failure) {
            return try Reference(text)
        } catch {
            findings.report(node.mark, error.what)
            return nil
        }
    }

    private mutating func readProvider(_ fields: FieldReader) {
        let known = Cluster.Provider.allCases.map(\.rawValue).joined(separator: ", ")
        guard let node = fields.required("provider", known, &findings),
            let text = fields.string(node, "provider", &findings), Cluster.Provider(rawValue: text) == nil
        else { return }
        let isLater = ["baremetal", "BAREMETAL", "ALI_CLOUD", "alicloud"].contains(text)
        let message =
            isLater
            ? "the provider \(text) is not supported yet, \(known) was expected"
            : "unknown provider \"\(text.prefix(60))\", \(known) was expected"
        findings.report(node.mark, message)
    }

    private mutating func readCount(_ fields: FieldReader, _ key: String, _ field: Cluster.Field) -> Int? {
        let later = ["cpu", "memory", "systemDisk", "dataDisks", "ipList"]
        guard let node = fields.value(key),
            let reader = FieldReader(node, path: "spec.\(key)", known: ["count"], later: later, &findings),
            let count = reader.required("count", "how many there are", &findings)
        else { return nil }
        marks[field] = count.mark
        return reader.integer(count, "count", &findings)
    }

    private mutating func readNetwork(_ fields: FieldReader, _ cluster: inout Cluster) {
        guard let node = fields.value("network"),
            let reader = FieldReader(node, path: "spec.network", known: ["podCIDR", "svcCIDR"], &findings)
        else { return }
        if let network = readNetwork(reader, "podCIDR", .podNetwork) { cluster.podNetwork = network }
        if let network = readNetwork(reader, "svcCIDR", .serviceNetwork) { cluster.serviceNetwork = network }
        // That the networks overlap is told at the one that the file names.
        if marks[.serviceNetwork] == nil, let mark = marks[.podNetwork] { marks[.serviceNetwork] = mark }
        // A stand-in for the one must not be held against the other.
        if unreadable.contains(.podNetwork) { unreadable.insert(.serviceNetwork) }
    }

    private mutating func readNetwork(_ reader: FieldReader, _ key: String, _ field: Cluster.Field) -> IPv4Network? {
        guard let node = reader.value(key) else { return nil }
        marks[field] = node.mark
        guard let text = reader.string(node, key, &findings) else {
            unreadable.insert(field)
            return nil
        }
        do throws(Failure) {
            return try IPv4Network(text)
        } catch {
            findings.report(node.mark, error.what)
            unreadable.insert(field)
            return nil
        }
    }

    private mutating func readEnvironment(_ fields: FieldReader, _ cluster: inout Cluster) {
        // Each entry is checked here, at its own place.
        unreadable.insert(.environment)
        for (text, mark) in fields.strings("env", "NAME=VALUE", &findings) {
            guard let equals = text.firstIndex(of: "=") else {
                findings.report(mark, "\"\(text.prefix(60))\" has no =, NAME=VALUE was expected")
                continue
            }
            let name = String(text[..<equals])
            if !Cluster.isVariableName(name) {
                findings.report(mark, Cluster.variableProblem(name))
            } else if cluster.environment.updateValue(String(text[text.index(after: equals)...]), forKey: name) != nil {
                findings.report(mark, "\(name) stands twice in spec.env")
            }
        }
    }

    private mutating func readCertificateNames(_ fields: FieldReader, _ cluster: inout Cluster) {
        let names = fields.strings("certSANs", "host names and addresses", &findings)
        cluster.certificateNames = names.map(\.text)
        marks[.certificateNames] = fields.value("certSANs")?.mark
    }

    private mutating func readContainer(_ fields: FieldReader, _ cluster: inout Cluster) {
        guard let node = fields.value("container"),
            let reader = FieldReader(node, path: "spec.container", known: ["nodeImage", "egress"], &findings)
        else { return }
        if let image = reader.value("nodeImage") {
            marks[.nodeImage] = image.mark
            cluster.nodeImage = reader.string(image, "nodeImage", &findings) ?? cluster.nodeImage
        }
        if let egress = reader.value("egress") {
            cluster.egress = reader.bool(egress, "egress", &findings) ?? cluster.egress
        }
    }
}
