import FoundationEssentials
import ImageStore
import OCI
import Report

/// An image of sealer 0.9 to 0.11 as it lies in a store: one manifest, or an index with one for each platform.
struct OlderImage: Sendable {
    /// The image for one platform.
    struct Part: Sendable {
        var descriptor: Descriptor
        var manifest: ImageManifest
        var config: ImageConfig
        /// What it starts; nil when the image lost its annotations on the way, as Docker's formats lose them.
        var ownExtension: OlderExtension?
        /// The container images that it says it was built with.
        var listed: [String]
    }

    /// The label that every image of those releases has.
    static let versionLabel = "io.sealer.version"

    var parts: [Part]

    /// The release that made it, if the image tells.
    var version: String? {
        parts.lazy.compactMap {
            $0.ownExtension?.buildClient?.sealerVersion ?? $0.config.config?.labels?[Self.versionLabel]
        }
        .first
    }

    /// Reads an image; nil when it is something else: a ClusterImage of format 1, a container image, an artifact.
    ///
    /// - Throws: `Failure` of kind `integrity` when it is one, but damaged.
    static func read(_ descriptor: Descriptor, in store: ImageStore, place: String) async throws -> OlderImage? {
        switch try await store.document(descriptor) {
        case .manifest(let manifest):
            return try await part(descriptor, manifest, in: store, place: place).map { OlderImage(parts: [$0]) }
        case .index(let index):
            guard index.artifactType == nil else { return nil }
            var parts: [Part] = []
            for entry in index.manifests where MediaType.isManifest(entry.mediaType) {
                // An archive or a pull may have brought one platform only.
                guard try await store.size(of: entry.digest) == entry.size,
                    case .manifest(let manifest) = try await store.document(entry)
                else { continue }
                if let part = try await part(entry, manifest, in: store, place: place) { parts.append(part) }
            }
            return parts.isEmpty ? nil : OlderImage(parts: parts)
        }
    }

    private static func part(
        _ descriptor: Descriptor, _ manifest: ImageManifest, in store: ImageStore, place: String
    ) async throws -> Part? {
        let text = manifest.annotations?[OlderExtension.annotation]
        guard [MediaType.config, MediaType.dockerConfig].contains(manifest.config.mediaType) else { return nil }
        if text == nil {
            // Anybody's image may come by here, also one whose configuration is not quite an image's.
            guard let labels = try? await store.json(Labels.self, manifest.config).config?.labels,
                labels[versionLabel] != nil
            else { return nil }
        }
        let config = try await store.json(ImageConfig.self, manifest.config)
        guard config.sealer == nil else { return nil }
        guard config.rootfs.diffIDs.count == manifest.layers.count else {
            throw Failure(
                .integrity,
                "has \(manifest.layers.count) layers, and its configuration tells of \(config.rootfs.diffIDs.count)",
                at: place)
        }
        let images = manifest.annotations?[OlderExtension.imagesAnnotation]
        return Part(
            descriptor: descriptor,
            manifest: manifest,
            config: config,
            ownExtension: try text.map { try OlderExtension.parse($0, at: place) },
            listed: try images.map { try OlderExtension.parseImages($0, at: place) } ?? []
        )
    }

    private struct Labels: Decodable, Sendable {
        struct Execution: Decodable, Sendable {
            var labels: [String: String]?
            private enum CodingKeys: String, CodingKey { case labels = "Labels" }
        }
        var config: Execution?
    }
}
