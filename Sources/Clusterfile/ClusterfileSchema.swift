/// What a Clusterfile may say, as data: its documents and their fields.
///
/// The strict reader, the JSON schema and `sealer explain` all come of it.
public enum ClusterfileSchema {
    /// A kind of document.
    struct Document: Sendable {
        /// The kind.
        var kind: String
        /// The API versions, the one to write first.
        var apiVersions: [String]
        /// API versions of earlier releases, read with a warning.
        var olderVersions: [String] = []
        /// What it is for.
        var meaning: String
        /// All its fields, apiVersion and kind among them.
        var fields: [Field]
        /// Whether it may have further fields, which somebody else checks.
        var isOpen = false
    }

    /// Every kind, in the order of the documentation.
    static let documents: [Document] = [cluster, config, plugin, application] + kubeadm

    /// API versions of our documents, the one to write first.
    static let apiVersions = ["sealer.io/v2", "sealer.io/v1"]

    /// API versions that sealer had before 0.9.
    static let olderVersions =
        ["zlink.aliyun.com", "sealer.aliyun.com", "sealer.cloud", "cluster.sealer.cool"]
        .flatMap { group in ["v1alpha1", "v1", "v2"].map { "\(group)/\($0)" } }

    /// The fields that every document has.
    static func header(_ kind: String, _ versions: [String]) -> [Field] {
        [
            Field(
                "apiVersion", .choice(versions), "The version of the document's form.", example: versions.first,
                isRequired: true),
            Field("kind", .choice([kind]), "The kind of the document.", isRequired: true),
        ]
    }

    /// `metadata` with a name.
    static func metadata(_ meaning: String, pattern: String) -> Field {
        Field(
            "metadata",
            .mapping([
                Field("name", .text(pattern: pattern), meaning, example: "my-cluster", isRequired: true),
                .ignored("annotations", "means nothing to sealer"),
                .ignored("labels", "means nothing to sealer"),
                .ignored("creationTimestamp", "means nothing to sealer"),
            ]),
            "The document's name.", isRequired: true)
    }

    /// What sealer itself has written into files.
    static let status = Field.ignored("status", "is what another tool has seen, not what is asked for")

    // MARK: - Patterns

    /// A name of letters, digits, `-`, `_` and `.`.
    static let namePattern = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
    /// An address or a range; the reader is stricter.
    static let addressPattern = "[0-9A-Fa-f.:]+(-[0-9A-Fa-f.:]+)?"
    /// One network or two.
    static let networksPattern = "[0-9A-Fa-f.:]+/[0-9]+(, ?[0-9A-Fa-f.:]+/[0-9]+)?"
    /// A variable's name.
    static let variablePattern = "[A-Za-z_][A-Za-z0-9_]*"
}
