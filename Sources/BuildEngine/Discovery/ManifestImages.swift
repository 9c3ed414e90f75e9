import OCI
import Report
import YAML

/// Finds the images that Kubernetes manifests name, by their structure.
struct ManifestImages {
    /// Where a manifest's node really comes from.
    typealias Locate = @Sendable (YAMLMark) -> DiscoveredImage.Place

    private let locate: Locate
    private(set) var findings = Findings()

    /// - Parameter locate: the file and line that a mark stands for.
    init(locate: @escaping Locate) {
        self.locate = locate
    }

    /// The kinds of Kubernetes itself that hold pods, and the way to the pod's specification.
    private static let workloads: [String: [String]] = [
        "Pod": ["spec"],
        "Deployment": ["spec", "template", "spec"],
        "StatefulSet": ["spec", "template", "spec"],
        "DaemonSet": ["spec", "template", "spec"],
        "ReplicaSet": ["spec", "template", "spec"],
        "ReplicationController": ["spec", "template", "spec"],
        "Job": ["spec", "template", "spec"],
        "CronJob": ["spec", "jobTemplate", "spec", "template", "spec"],
        "PodTemplate": ["template", "spec"],
    ]
    private static let groups: Set<String> = ["", "apps", "batch", "extensions"]
    private static let containerLists = ["initContainers", "containers", "ephemeralContainers"]

    /// Takes the images of one document, which may be a list of others.
    mutating func read(_ document: YAMLNode) {
        guard let kind = document["kind"]?.string, let version = document["apiVersion"]?.string else {
            return look(through: document, path: [], in: "a document that is no Kubernetes object")
        }
        let group = version.contains("/") ? String(version.prefix { $0 != "/" }) : ""
        if group.isEmpty, kind.hasSuffix("List"), let items = document["items"]?.sequence {
            for item in items { read(item) }
        } else if Self.groups.contains(group), let path = Self.workloads[kind] {
            if let specification = node(at: path[...], of: document) {
                readPod(specification, kind: kind)
            } else {
                warn(document.mark, "the \(kind) has no \(path.joined(separator: ".")), no image was found in it")
            }
        } else {
            look(through: document, path: [], in: "the kind \(kind) (\(version))")
        }
    }

    private func node(at path: ArraySlice<String>, of document: YAMLNode) -> YAMLNode? {
        var node = document
        for key in path {
            guard let next = node[key] else { return nil }
            node = next
        }
        return node
    }

    // MARK: - Pods

    private mutating func readPod(_ specification: YAMLNode, kind: String) {
        if specification["containers"]?.sequence == nil {
            warn(specification.mark, "this \(kind) has no list of containers")
        }
        for list in Self.containerLists {
            for container in specification[list]?.sequence ?? [] {
                let image = container["image"]
                if let image, !image.isNull {
                    take(image)
                } else {
                    let name = container["name"]?.string.map { " \($0.prefix(80))" } ?? ""
                    warn(container.mark, "the container\(name) of this \(kind) names no image")
                }
            }
        }
        for volume in specification["volumes"]?.sequence ?? [] {
            if let image = volume.at("image", "reference") { take(image) }
        }
    }

    private mutating func take(_ image: YAMLNode) {
        let place = locate(image.mark)
        func refuse(_ message: String) {
            let line = place.line ?? 1
            let column = place.line == nil ? 1 : image.mark.column
            findings.refuse(Diagnostic(file: place.file, line: line, column: column, message: message))
        }
        guard let name = image.string else {
            return refuse("an image's name was expected, here stands \(image.kindInWords)")
        }
        do throws(Failure) {
            findings.add(try Reference(name), at: place)
        } catch {
            refuse(error.what)
        }
    }

    // MARK: - Everything else

    /// Looks for pods where operators have them, and for what may be an image.
    private mutating func look(through node: YAMLNode, path: [String], in what: String) {
        if path == ["spec", "template", "spec"] || path == ["spec", "podTemplate", "spec"], isPod(node) {
            return readPod(node, kind: what)
        }
        switch node.content {
        case .scalar: break
        case .sequence(let items):
            for item in items { look(through: item, path: path + ["[]"], in: what) }
        case .mapping(let mapping):
            for entry in mapping {
                if entry.key == "image" { remark(entry, path: path, in: what) }
                look(through: entry.value, path: path + [entry.key], in: what)
            }
        }
    }

    private func isPod(_ node: YAMLNode) -> Bool {
        node["containers"]?.sequence?.contains { $0.mapping != nil } == true
    }

    private mutating func remark(_ entry: YAMLMapping.Entry, path: [String], in what: String) {
        var name = entry.value.string
        if let repository = entry.value["repository"]?.string {
            let registry = entry.value["registry"]?.string.map { "\($0)/" } ?? ""
            let tag = entry.value["tag"]?.scalar.map { ":\($0.text)" } ?? ""
            name = registry + repository + tag
        }
        guard let name, !name.isEmpty else { return }
        // What cannot be an image's name is none.
        let reference: Reference
        do throws(Failure) { reference = try Reference(name) } catch { return }
        let place = locate(entry.value.mark)
        let key = (path + ["image"]).joined(separator: ".")
        let message =
            "\(key) of \(what) may be an image that the cluster needs (\(name)): it is not taken along;"
            + " if it is one, name it in manifests/imageList"
        let line = place.line ?? 1
        let column = place.line == nil ? 1 : entry.value.mark.column
        findings.add(
            undecided: reference,
            Diagnostic(file: place.file, line: line, column: column, severity: .warning, message: message)
        )
    }

    private mutating func warn(_ mark: YAMLMark, _ message: String) {
        let place = locate(mark)
        let line = place.line ?? 1
        let column = place.line == nil ? 1 : mark.column
        findings.warn(Diagnostic(file: place.file, line: line, column: column, severity: .warning, message: message))
    }
}
