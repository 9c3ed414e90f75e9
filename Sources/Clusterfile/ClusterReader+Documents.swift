import Report
import YAML

extension ClusterReader {
    mutating func readConfig(_ document: YAMLNode, _ schema: ClusterfileSchema.Document) {
        guard let fields = FieldReader(document, schema.fields, path: "", &findings) else { return }
        let name = fields.fields("metadata", &findings)?.text("name", &findings)
        guard let spec = fields.fields("spec", &findings) else { return }
        let file = spec.text("path", &findings)
        let strategy = spec.choice("strategy", &findings)
        let data = spec.text("data", &findings)
        guard let name, let file, let data, let node = spec.value("data") else { return }
        let path = "configs[\(cluster.configs.count)]"
        note(path, document.mark)
        note("\(path).name", name.mark)
        note("\(path).path", file.mark)
        note("\(path).data", block: node)
        cluster.configs.append(
            ConfigOverlay(
                name: name.value, path: file.value,
                strategy: strategy.flatMap { .init(rawValue: $0.value) } ?? .overwrite, data: data.value))
    }

    mutating func readPlugin(_ document: YAMLNode, _ schema: ClusterfileSchema.Document) {
        guard let fields = FieldReader(document, schema.fields, path: "", &findings) else { return }
        let name = fields.fields("metadata", &findings)?.text("name", &findings)
        guard let spec = fields.fields("spec", &findings) else { return }
        let path = "plugins[\(cluster.plugins.count)]"
        let kind = readType(spec)
        let before = findings.errors
        let phases = readPhases(spec)
        if findings.errors > before { incomplete.insert("\(path).action") }
        var scope = readScope(spec, "\(path).scope")
        // Older releases ran these on every host where nothing was said.
        if scope.isEmpty, kind == .shell, usesOlderName(spec), phases.contains(where: \.isOfCluster) {
            scope = [Plugin.everyHost]
        }
        let timeout = spec.number("timeout", &findings)
        let data = spec.text("data", &findings)
        // What was wrong with one field must not hide what is wrong with another.
        guard let name, let data, let node = spec.value("data") else { return }
        note(path, document.mark)
        note("\(path).name", name.mark)
        note("\(path).scope", spec.value("scope"))
        note("\(path).action", spec.value("action"))
        note("\(path).timeout", spec.value("timeout"))
        note("\(path).data", block: node)
        cluster.plugins.append(
            Plugin(
                name: name.value, kind: kind ?? .shell, phases: phases, scope: scope, data: data.value,
                timeout: timeout?.value ?? Plugin.defaultTimeout))
    }

    private mutating func readType(_ spec: FieldReader) -> Plugin.Kind? {
        if let node = spec.value("type"), let text = node.string, ["ETCD", "CLUSTERCHECK"].contains(text) {
            findings.report(node.mark, "the type \(text) is not supported yet")
            return nil
        }
        return spec.choice("type", &findings).flatMap { Plugin.Kind(rawValue: $0.value) }
    }

    private mutating func readPhases(_ spec: FieldReader) -> [Plugin.Phase] {
        guard let found = spec.text("action", &findings) else {
            return []
        }
        var phases: [Plugin.Phase] = []
        for part in found.value.split(separator: "|", omittingEmptySubsequences: false) {
            let word = part.trimmed
            if let phase = Plugin.Phase(named: word) {
                // Two older names may mean one phase.
                if !phases.contains(phase) { phases.append(phase) }
            } else if Plugin.Phase.laterNames.contains(word) {
                findings.report(found.mark, "the phase \(word) is not supported yet")
            } else {
                let hint =
                    findings.nearest(to: word, of: Plugin.Phase.names).map { "did you mean \($0)?" }
                    ?? "one of \(Plugin.Phase.allCases.map(\.rawValue).joined(separator: ", ")) was expected"
                findings.report(found.mark, "unknown phase \"\(Cluster.shown(word))\", \(hint)")
            }
        }
        return phases
    }

    private func usesOlderName(_ spec: FieldReader) -> Bool {
        let words = spec.value("action")?.string?.split(separator: "|").map(\.trimmed) ?? []
        return words.contains { word in Plugin.Phase.olderNames.contains { $0.name == word } }
    }

    private mutating func readScope(_ spec: FieldReader, _ path: String) -> [String] {
        guard let found = spec.text("scope", &findings), !found.value.isEmpty else { return [] }
        var scope: [String] = []
        for part in found.value.split(omittingEmptySubsequences: false, whereSeparator: { $0 == "|" || $0 == "," }) {
            // More is refused by the rules; a small file can ask for millions of addresses.
            guard scope.count <= Cluster.mostHosts else { break }
            let word = part.trimmed
            if word.isEmpty {
                findings.report(
                    found.mark, "an empty word in the scope, roles and addresses with | between them were expected")
            } else if Plugin.LabelSelector(word) != nil {
                scope.append(word)
            } else if let dash = word.firstIndex(of: "-"), IPAddress(String(word[..<dash])) != nil {
                do throws(Failure) {
                    scope += try [IPAddress](range: word).map(\.description)
                } catch {
                    findings.report(found.mark, error.what)
                }
            } else {
                scope.append(IPAddress(word)?.description ?? word)
            }
        }
        // Kubernetes means hosts with both labels by that; here it would be more hosts.
        for part in found.value.split(separator: "|")
        where part.split(separator: ",").count(where: { Plugin.LabelSelector(String($0)) != nil }) > 1 {
            let message = "two labels have a comma between them, | was expected: hosts with one or the other are meant"
            findings.report(found.mark, message)
        }
        for index in scope.indices { note("\(path)[\(index)]", found.mark) }
        return scope
    }

    mutating func readApplication(_ document: YAMLNode) {
        guard let fields = FieldReader(document, ClusterfileSchema.application.fields, path: "", &findings) else {
            return
        }
        _ = fields.fields("metadata", &findings)?.text("name", &findings)
        guard let spec = fields.fields("spec", &findings) else { return }
        for (key, other, isSet) in [
            ("launchApps", "appNames", cluster.applications != nil), ("cmds", "cmd", cluster.commands != nil),
        ] where isSet && spec.value(key) != nil {
            findings.report(spec.keyMark(key), "spec.\(key) and \(other) of the Cluster exclude each other")
        }
        if let names = readApplications(spec, "launchApps") { cluster.applications = names }
        if let commands = readTexts(spec, "cmds", "spec.cmd") { cluster.commands = commands }
    }

    mutating func readKubeadmDocument(_ document: YAMLNode, _ schema: ClusterfileSchema.Document) {
        guard let kind = KubeadmDocument.Kind(rawValue: schema.kind),
            let reader = FieldReader(document, schema.fields, path: "", isOpen: true, &findings),
            let version = reader.text("apiVersion", &findings), var fields = document.mapping
        else { return }
        fields["apiVersion"] = nil
        fields["kind"] = nil
        let path = "kubeadm[\(cluster.kubeadmDocuments.count)]"
        note(path, document.mark)
        note("\(path).apiVersion", version.mark)
        noteFields(fields, path)
        // What is refused as a whole stands where its name does.
        if let external = document["etcd"]?.mapping?.entry("external") {
            note("\(path).etcd.external", external.keyMark)
        }
        cluster.kubeadmDocuments.append(KubeadmDocument(kind: kind, apiVersion: version.value, fields: fields))
    }

    /// Remembers where everything in a mapping stands.
    private mutating func noteFields(_ fields: YAMLMapping, _ path: String) {
        for entry in fields { noteNode(entry.value, "\(path).\(entry.key)") }
    }

    private mutating func noteNode(_ node: YAMLNode, _ path: String) {
        note(path, node.mark)
        if let mapping = node.mapping { noteFields(mapping, path) }
        for (number, item) in (node.sequence ?? []).enumerated() { noteNode(item, "\(path)[\(number)]") }
    }
}

extension Substring {
    /// Without blanks at both ends.
    fileprivate var trimmed: String {
        var rest = self
        while rest.first == " " { rest.removeFirst() }
        while rest.last == " " { rest.removeLast() }
        return String(rest)
    }
}
