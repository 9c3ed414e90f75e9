import FoundationEssentials

/// The members of a manifest or an index that make it a referrer (OCI image specification 1.1, `subject`).
public struct ReferrerFields: Decodable, Sendable {
    private struct Config: Decodable {
        var mediaType: String
    }

    /// What the document is about.
    public var subject: Descriptor?
    /// The type of the artifact that it is.
    public var artifactType: String?
    /// Remarks.
    public var annotations: [String: String]?
    private var config: Config?

    /// Reads them; nil when they are not what they should be.
    public init?(_ bytes: Data) {
        guard let fields = try? JSONDecoder().decode(Self.self, from: bytes) else { return nil }
        self = fields
    }

    /// The document's entry in a list of referrers (OCI distribution specification 1.1, "Listing Referrers").
    public func entry(for document: Descriptor) -> Descriptor {
        let type = artifactType.flatMap { $0.isEmpty ? nil : $0 }
        return Descriptor(
            mediaType: document.mediaType,
            digest: document.digest,
            size: document.size,
            annotations: annotations,
            artifactType: type ?? config?.mediaType
        )
    }
}

extension Digest {
    /// The tag under which registries without the referrers API keep the list of what refers to this digest (OCI distribution
    /// specification 1.1, "Referrers Tag Schema").
    public var referrersTag: String { "\(algorithm.rawValue)-\(hex.prefix(64))" }
}
