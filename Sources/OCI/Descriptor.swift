/// Refers to content by type, digest and size (OCI image specification 1.1, "Content Descriptors").
public struct Descriptor: Hashable, Sendable, Codable {
    /// The type of the content.
    public var mediaType: String
    /// The digest of the content.
    public var digest: Digest
    /// The size of the content in bytes, 0 or more.
    public var size: Int64
    /// Where else the content may be had.
    public var urls: [String]?
    /// Remarks.
    public var annotations: [String: String]?
    /// The type of the artifact that the content is.
    public var artifactType: String?
    /// What the content runs on.
    public var platform: Platform?

    /// Makes a descriptor.
    public init(
        mediaType: String,
        digest: Digest,
        size: Int64,
        annotations: [String: String]? = nil,
        artifactType: String? = nil,
        platform: Platform? = nil
    ) {
        self.mediaType = mediaType
        self.digest = digest
        self.size = size
        self.annotations = annotations
        self.artifactType = artifactType
        self.platform = platform
    }
}

extension Descriptor {
    /// The index as a layer of the manifest that carries a ClusterImage's upstream indexes.
    public var asCarriedIndex: Descriptor {
        Descriptor(
            mediaType: MediaType.upstreamIndex, digest: digest, size: size,
            annotations: [AnnotationKey.documentType: mediaType])
    }

    /// The index that such a layer is, with its own type; nil for any other layer.
    public var carriedIndex: Descriptor? {
        // The first releases gave the layer the index's own type.
        let type = mediaType == MediaType.upstreamIndex ? annotations?[AnnotationKey.documentType] : mediaType
        guard let type, MediaType.isIndex(type) else { return nil }
        return Descriptor(mediaType: type, digest: digest, size: size)
    }
}
