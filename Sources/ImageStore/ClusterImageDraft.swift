import FoundationEssentials
import OCI
import Report

/// The parts of a ClusterImage that is to be written: the one place that knows how format 1 is put together
/// (`docs/image-format.md`).
public struct ClusterImageDraft: Sendable {
    /// A rootfs for one platform; its layers are blobs of the store.
    public struct Rootfs: Sendable {
        /// The configuration, with its `sealer` object.
        public var config: ImageConfig
        /// The layers, base first.
        public var layers: [Descriptor]
        /// What it is for.
        public var platform: Platform

        /// Makes a rootfs.
        public init(config: ImageConfig, layers: [Descriptor], platform: Platform) {
            self.config = config
            self.layers = layers
            self.platform = platform
        }
    }

    /// The rootfs, one for each platform, at least one.
    public var rootfs: [Rootfs]
    /// The contained images; their manifests carry a platform.
    public var members: [ClusterImage.Member]
    /// The upstream indexes: blobs of the store.
    public var upstreamIndexes: [Descriptor]
    /// Remarks on the whole.
    public var annotations: [String: String]?

    /// Makes a draft.
    public init(
        rootfs: [Rootfs], members: [ClusterImage.Member], upstreamIndexes: [Descriptor],
        annotations: [String: String]? = nil
    ) {
        self.rootfs = rootfs
        self.members = members
        self.upstreamIndexes = upstreamIndexes
        self.annotations = annotations
    }

    /// Writes configuration, manifests and index. Hold a `StoreSession` until the image has its name.
    ///
    /// - Parameter place: the image, for messages.
    /// - Returns: the index, and all that it leads to, which is in the store.
    /// - Throws: `Failure` of kind `software` that names the blobs that the image would lack.
    public func write(to store: ImageStore, place: String) async throws -> (image: Descriptor, blobs: [Descriptor]) {
        var manifests: [Descriptor] = []
        for part in rootfs {
            let config = try await store.put(canonicalJSON(part.config), mediaType: MediaType.config)
            var manifest = try await store.put(
                canonicalJSON(ImageManifest(config: config, layers: part.layers)), mediaType: MediaType.manifest)
            manifest.annotations = [AnnotationKey.content: "rootfs"]
            manifest.platform = part.platform
            manifests.append(manifest)
        }
        manifests += members.map(Self.entry).sorted { Self.sortKey($0) < Self.sortKey($1) }
        if let carrier = try await carrier(in: store) { manifests.append(carrier) }
        let index = ImageIndex(artifactType: MediaType.clusterImage, manifests: manifests, annotations: annotations)
        var image = try await store.put(canonicalJSON(index), mediaType: MediaType.index)
        image.artifactType = MediaType.clusterImage
        let blobs = try await store.closure(of: image)
        let missing = try await store.missing(blobs)
        guard missing.isEmpty else {
            let names = missing.map(\.digest.description).joined(separator: ", ")
            throw Failure(.software, "the image would lack \(names)", at: place)
        }
        return (image, blobs)
    }

    private static func entry(of member: ClusterImage.Member) -> Descriptor {
        var entry = member.manifest
        entry.annotations = [
            AnnotationKey.content: "image", AnnotationKey.imageName: member.name.description,
        ]
        return entry
    }

    private static func sortKey(_ entry: Descriptor) -> (String, String, String) {
        (entry.annotations?[AnnotationKey.imageName] ?? "", entry.platform?.description ?? "", entry.digest.hex)
    }

    /// The manifest that carries upstream's indexes, so that `name@digest` of a multi-platform image resolves on site.
    private func carrier(in store: ImageStore) async throws -> Descriptor? {
        guard !upstreamIndexes.isEmpty else { return nil }
        let empty = try await store.put(Data("{}".utf8), mediaType: MediaType.empty)
        let manifest = ImageManifest(
            artifactType: MediaType.upstreamIndexes,
            config: empty,
            layers: upstreamIndexes.sorted { $0.digest.hex < $1.digest.hex }.map(\.asCarriedIndex)
        )
        var descriptor = try await store.put(canonicalJSON(manifest), mediaType: MediaType.manifest)
        // No artifact type on the entry: older clients drop it, see that they would change the index, and refuse.
        descriptor.annotations = [AnnotationKey.content: "indexes"]
        descriptor.platform = rootfs.first?.platform
        return descriptor
    }
}
