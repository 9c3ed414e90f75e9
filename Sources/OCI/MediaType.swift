/// The media types that we read and write (OCI image specification 1.1, "Media Types", and Docker's image manifest v2.2).
public enum MediaType {
    /// An OCI index.
    public static let index = "application/vnd.oci.image.index.v1+json"
    /// An OCI image manifest.
    public static let manifest = "application/vnd.oci.image.manifest.v1+json"
    /// An OCI image configuration.
    public static let config = "application/vnd.oci.image.config.v1+json"
    /// The empty JSON object, as config of artifacts that need none.
    public static let empty = "application/vnd.oci.empty.v1+json"
    /// A layer as it is.
    public static let layer = "application/vnd.oci.image.layer.v1.tar"
    /// A layer with gzip.
    public static let layerGzip = "application/vnd.oci.image.layer.v1.tar+gzip"
    /// A layer with zstd.
    public static let layerZstd = "application/vnd.oci.image.layer.v1.tar+zstd"
    /// Docker's manifest list.
    public static let dockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
    /// Docker's image manifest.
    public static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
    /// Docker's image configuration.
    public static let dockerConfig = "application/vnd.docker.container.image.v1+json"
    /// Docker's layer.
    public static let dockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"

    /// The artifact type of a ClusterImage's index.
    public static let clusterImage = "application/vnd.sealer.cluster.v1"
    /// The artifact type of the manifest that carries upstream indexes.
    public static let upstreamIndexes = "application/vnd.sealer.upstream-indexes.v1"
    /// An upstream index inside that manifest. Not an index's own type: clients would follow it to platforms that are not there.
    public static let upstreamIndex = "application/vnd.sealer.upstream-index.v1+json"

    /// Whether it names an index or a manifest list.
    public static func isIndex(_ type: String) -> Bool { type == index || type == dockerManifestList }
    /// Whether it names an image manifest.
    public static func isManifest(_ type: String) -> Bool { type == manifest || type == dockerManifest }
}

/// The annotations that we read and write.
public enum AnnotationKey {
    /// The name under which a layout's `index.json` knows an image (OCI image layout 1.1).
    public static let refName = "org.opencontainers.image.ref.name"
    /// What an entry of a ClusterImage's index is: `rootfs`, `image` or `indexes`.
    public static let content = "io.sealer.content"
    /// On an upstream index inside the manifest that carries them: the media type that it has by itself.
    public static let documentType = "io.sealer.document.type"
    /// The fully qualified name of a contained image.
    public static let imageName = "io.sealer.image.name"
    /// On a ClusterImage's index: the digest of the image of sealer 0.9 to 0.11 that it was made of.
    public static let convertedFrom = "io.sealer.converted-from"
    /// When the image got its name in this store, RFC 3339; only in the store's `index.json`, never in an image.
    public static let storedAt = "io.sealer.store.created"
}
