import Report
import YAML

extension Cluster {
    /// What a Clusterfile says.
    public struct Parsed: Sendable {
        /// The cluster.
        public var cluster: Cluster
        /// What is probably not meant, in the order of the places.
        public var warnings: [Diagnostic]
    }

    /// The API version of the documents.
    public static let apiVersion = "sealer.io/v2"

    /// Reads a Clusterfile: documents of the kinds Cluster, Config, Plugin and Application, and kubeadm's own.
    ///
    /// Strict: unknown fields and wrong types are mistakes, and all mistakes of the file are told together. Fields
    /// and kinds that other tools of the field have, and this one does not support yet, are mistakes that say so. API
    /// groups and names of older releases are read with a warning.
    ///
    /// - Parameters:
    ///   - text: at most 1 MiB.
    ///   - file: the name for diagnostics.
    /// - Throws: `InvalidText`.
    public static func parse(_ text: String, file: String = "Clusterfile") throws(InvalidText) -> Parsed {
        var limits = YAMLLimits.standard
        limits.bytes = 1 << 20
        let documents = try YAMLDocuments.parse(text, file: file, limits: limits)
        var reader: ClusterReader
        do throws(Failure) {
            reader = try ClusterReader(file: file, text: text)
        } catch {
            throw InvalidText([Diagnostic(file: file, line: 1, column: 1, message: error.what)])
        }
        let cluster = reader.read(documents)
        let diagnostics = reader.findings.diagnostics
        guard let cluster, reader.findings.errors == 0 else { throw InvalidText(diagnostics) }
        return Parsed(cluster: cluster, warnings: InvalidText(diagnostics).diagnostics)
    }
}
