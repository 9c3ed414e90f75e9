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

    /// Reads a file's bytes as a Clusterfile: what is not UTF-8 is a mistake, at the place of the first such byte.
    ///
    /// - Parameters:
    ///   - bytes: at most 1 MiB.
    ///   - file: the name for diagnostics.
    /// - Throws: `InvalidText`.
    public static func parse(
        bytes: some Sequence<UInt8>, file: String = "Clusterfile"
    ) throws(InvalidText) -> Parsed {
        let bytes = Array(bytes)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            let mark = firstInvalid(in: bytes)
            let message = "UTF-8 text was expected, from here on it is something else"
            throw InvalidText([Diagnostic(file: file, line: mark.line, column: mark.column, message: message)])
        }
        return try parse(text, file: file)
    }

    /// Where what is no UTF-8 begins; columns count characters, as those of other mistakes do.
    private static func firstInvalid(in bytes: [UInt8]) -> YAMLMark {
        var (line, column) = (1, 1)
        var decoder = UTF8()
        var rest = bytes.makeIterator()
        while case .scalarValue(let scalar) = decoder.decode(&rest) {
            (line, column) = scalar == "\n" ? (line + 1, 1) : (line, column + 1)
        }
        return YAMLMark(line: line, column: column)
    }
}
