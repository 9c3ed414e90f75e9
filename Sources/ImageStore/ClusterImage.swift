import OCI
import Report
import SystemPackage

/// A ClusterImage of the store, read and checked: an index whose members are the rootfs and every contained image
/// (`docs/image-format.md`).
public struct ClusterImage: Sendable {
    /// A container image that the ClusterImage carries, for one platform.
    public struct Member: Sendable, Hashable {
        /// The fully qualified name.
        public var name: Reference
        /// Its manifest, as upstream has it.
        public var manifest: Descriptor

        /// Makes a member.
        public init(name: Reference, manifest: Descriptor) {
            self.name = name
            self.manifest = manifest
        }
    }

    /// The index.
    public let descriptor: Descriptor
    /// The index, parsed.
    public let index: ImageIndex
    /// The rootfs' manifest for the platform.
    public let rootfs: Descriptor
    /// The rootfs' manifest, parsed.
    public let manifest: ImageManifest
    /// The rootfs' configuration.
    public let config: ImageConfig
    /// The contained images.
    public let members: [Member]
    /// The upstream indexes: documents that are served at their own digest.
    public let upstreamIndexes: [Descriptor]

    /// What the image brings and how it starts.
    public var sealer: ClusterImageConfig { config.sealer ?? ClusterImageConfig(kind: .appInstaller) }

    /// The rootfs' labels.
    public var labels: [String: String] { config.config?.labels ?? [:] }

    /// The contained image of a repository, when there is exactly one tag of it: `k8s.gcr.io/etcd`.
    public func onlyMember(of repository: String) -> Reference? {
        let names = Set(members.map(\.name).filter { $0.repository == repository })
        return names.count == 1 ? names.first : nil
    }
}

extension ImageStore {
    /// Reads a ClusterImage by name.
    ///
    /// - Throws: `Failure` of kind `notFound` when there is no image of that name, `integrity` when it is no ClusterImage.
    public func clusterImage(_ reference: Reference, platform: Platform = .current) async throws -> ClusterImage {
        guard let descriptor = try await resolve(reference) else {
            throw Failure(
                .notFound,
                "there is no image \(reference.familiar) in the store",
                at: root.string,
                remedy: "see what there is with: sealer images"
            )
        }
        return try await clusterImage(descriptor, named: reference.description, platform: platform)
    }

    /// Reads a ClusterImage by its index' descriptor.
    public func clusterImage(
        _ descriptor: Descriptor,
        named name: String,
        platform: Platform = .current
    ) async throws -> ClusterImage {
        guard case .index(let index) = try await document(descriptor), index.artifactType == MediaType.clusterImage
        else {
            throw Failure(
                .integrity, "the image is not a ClusterImage", at: name,
                remedy: "one of sealer 0.9 to 0.11 becomes one when it is pulled or loaded again")
        }
        let roots = index.manifests.filter { $0.annotations?[AnnotationKey.content] == "rootfs" }
        guard let rootfs = roots.first(where: { $0.platform?.runs(on: platform) ?? true }) else {
            let available = roots.compactMap { $0.platform?.description }.joined(separator: ", ")
            throw Failure(.notFound, "the ClusterImage has no rootfs for \(platform), only for: \(available)", at: name)
        }
        guard case .manifest(let manifest) = try await document(rootfs) else {
            throw Failure(.integrity, "the rootfs of the ClusterImage is not an image manifest", at: name)
        }
        let config = try await json(ImageConfig.self, manifest.config)
        if let version = config.sealer?.formatVersion, version > ClusterImageConfig.currentFormatVersion {
            throw Failure(
                .invalidInput,
                "the ClusterImage has format version \(version), this sealer reads up to"
                    + " \(ClusterImageConfig.currentFormatVersion)",
                at: name,
                remedy: "use a newer sealer"
            )
        }
        var members: [ClusterImage.Member] = []
        var upstream: [Descriptor] = []
        for entry in index.manifests {
            switch entry.annotations?[AnnotationKey.content] {
            case "image":
                guard let text = entry.annotations?[AnnotationKey.imageName] else {
                    throw Failure(.integrity, "a contained image has no name", at: name)
                }
                members.append(.init(name: try Reference(text), manifest: entry))
            case "indexes":
                guard case .manifest(let carrier) = try await document(entry) else {
                    throw Failure(.integrity, "the upstream indexes are not carried by a manifest", at: name)
                }
                upstream += carrier.layers.compactMap(\.carriedIndex)
            default: break
            }
        }
        return ClusterImage(
            descriptor: descriptor,
            index: index,
            rootfs: rootfs,
            manifest: manifest,
            config: config,
            members: members,
            upstreamIndexes: upstream
        )
    }
}
