/// An image manifest, OCI or Docker v2.2 (OCI image specification 1.1, "Image Manifest").
public struct ImageManifest: Hashable, Sendable, Codable {
    /// Always 2.
    public var schemaVersion: Int
    /// The document's own type; Docker always gives it, OCI images may leave it out.
    public var mediaType: String?
    /// The type of the artifact, when this is no image.
    public var artifactType: String?
    /// The configuration.
    public var config: Descriptor
    /// The layers, base first.
    public var layers: [Descriptor]
    /// Remarks.
    public var annotations: [String: String]?

    /// Makes an OCI manifest.
    public init(
        artifactType: String? = nil,
        config: Descriptor,
        layers: [Descriptor],
        annotations: [String: String]? = nil
    ) {
        schemaVersion = 2
        mediaType = MediaType.manifest
        self.artifactType = artifactType
        self.config = config
        self.layers = layers
        self.annotations = annotations
    }
}

/// An image index or manifest list (OCI image specification 1.1, "Image Index").
public struct ImageIndex: Hashable, Sendable, Codable {
    /// Always 2.
    public var schemaVersion: Int
    /// The document's own type.
    public var mediaType: String?
    /// The type of the artifact that the index is.
    public var artifactType: String?
    /// The manifests that it refers to.
    public var manifests: [Descriptor]
    /// Remarks.
    public var annotations: [String: String]?

    /// Makes an OCI index.
    public init(artifactType: String? = nil, manifests: [Descriptor], annotations: [String: String]? = nil) {
        schemaVersion = 2
        mediaType = MediaType.index
        self.artifactType = artifactType
        self.manifests = manifests
        self.annotations = annotations
    }
}
