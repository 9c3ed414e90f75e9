import Report
import YAML

extension KubeadmDocument {
    /// Reads a file of kubeadm's own documents, as base images have one at `etc/kubeadm.yml`.
    ///
    /// Strict: every document has a known kind and API version, and each kind comes once. Fields are not checked.
    ///
    /// - Parameters:
    ///   - text: at most 1 MiB.
    ///   - file: the name for diagnostics.
    /// - Throws: `InvalidText`.
    public static func parse(_ text: String, file: String) throws(InvalidText) -> [KubeadmDocument] {
        var limits = YAMLLimits.standard
        limits.bytes = 1 << 20
        var findings = Findings(file: file)
        var result: [KubeadmDocument] = []
        var lines: [Kind: Int] = [:]
        for document in try YAMLDocuments.parse(text, file: file, limits: limits) {
            guard let (kind, version) = head(of: document, &findings) else { continue }
            if let line = lines[kind] {
                findings.report(
                    document.mark, "a second document of kind \(kind.rawValue), the first stands in line \(line)")
                continue
            }
            lines[kind] = document.mark.line
            guard var fields = document.mapping else { continue }
            fields["apiVersion"] = nil
            fields["kind"] = nil
            result.append(KubeadmDocument(kind: kind, apiVersion: version, fields: fields))
        }
        guard findings.errors == 0 else { throw InvalidText(findings.diagnostics) }
        return result
    }

    private static func head(of document: YAMLNode, _ findings: inout Findings) -> (Kind, String)? {
        guard let mapping = document.mapping else {
            findings.report(document.mark, "a document must be a mapping, here stands \(document.kindInWords)")
            return nil
        }
        let kinds = Kind.allCases.map(\.rawValue)
        guard let node = mapping["kind"], let name = node.string, let kind = Kind(rawValue: name) else {
            let node = mapping["kind"] ?? document
            let expected = "one of \(kinds.joined(separator: ", ")) was expected"
            findings.report(node.mark, "a document of kubeadm's own must have a kind, \(expected)")
            return nil
        }
        guard let version = mapping["apiVersion"], let text = version.string, kind.apiVersions.contains(text) else {
            let expected = kind.apiVersions.sorted().joined(separator: " or ")
            findings.report(
                (mapping["apiVersion"] ?? document).mark,
                "\(expected) was expected as the apiVersion of \(kind.rawValue)")
            return nil
        }
        return (kind, text)
    }
}
