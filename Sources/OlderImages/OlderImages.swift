import FoundationEssentials
import ImageStore
import ImageTree
import LinuxSystem
import OCI
import Report

/// Makes ClusterImages of format 1 out of images of sealer 0.9 to 0.11 (`docs/image-format.md`, "Older images"): the images that they
/// carry as files of a registry inside their layers become members, and the layers lose those files.
public struct OlderImages: Sendable {
    private let store: ImageStore
    private let progress: any ProgressSink

    /// Names the store, in which the older images are and into which the new ones come.
    public init(_ store: ImageStore, progress: any ProgressSink = SilentProgress()) {
        self.store = store
        self.progress = progress
    }

    /// Converts an older image, and passes everything else as it is. Hold a `StoreSession` until the result has a name.
    ///
    /// What cannot come along is told as a warning: an image that the older one lists but does not carry, or not whole.
    ///
    /// - Parameter name: the image, for messages.
    /// - Returns: the ClusterImage; what was passed in when that is no older image.
    /// - Throws: `Failure` of kind `integrity` for damaged or hostile images.
    public func adopt(_ descriptor: Descriptor, named name: String) async throws -> Descriptor {
        guard let older = try await OlderImage.read(descriptor, in: store, place: name) else { return descriptor }
        let maker = older.version.map { " of sealer \($0.prefix(40))" } ?? ""
        return try await progress.step("convert \(name)\(maker)") { step in
            var draft = ClusterImageDraft(
                rootfs: [], members: [], upstreamIndexes: [],
                annotations: [AnnotationKey.convertedFrom: descriptor.digest.description])
            for part in older.parts { try await add(part, to: &draft, named: name) }
            draft.upstreamIndexes = Array(Set(draft.upstreamIndexes))
            step.advance(Int64(draft.members.count), of: Int64(draft.members.count), unit: .items)
            return try await draft.write(to: store, place: name).image
        }
    }

    /// The ClusterImage that the store has of an older image already, under the given name; nil when it has none. Its large layers
    /// need not come again then.
    public func adopted(_ digest: Digest, under name: Reference) async throws -> Descriptor? {
        guard let known = try await store.resolve(name), MediaType.isIndex(known.mediaType),
            case .index(let index) = try await store.document(known),
            index.artifactType == MediaType.clusterImage,
            index.annotations?[AnnotationKey.convertedFrom] == digest.description
        else { return nil }
        return known
    }

    private func add(_ part: OlderImage.Part, to draft: inout ClusterImageDraft, named name: String) async throws {
        let store = store
        let layers = try part.manifest.layers.map { try PackedLayer($0, in: store) }
        let registry = try await BlockingPool.shared.run { try CarriedRegistry.read(layers, into: store, $0) }
        let images = try await CarriedImages(
            registry, listed: part.listed, platform: part.config.platform, in: store, place: name)
        for warning in images.warnings { progress.send(.warning(warning)) }
        let rootfs = try await rootfs(of: part, layers, registry, images, named: name)
        draft.rootfs.append(rootfs)
        draft.members += images.members
        draft.upstreamIndexes += images.upstreamIndexes
    }

    private func rootfs(
        of part: OlderImage.Part, _ packed: [PackedLayer], _ registry: CarriedRegistry, _ images: CarriedImages,
        named name: String
    ) async throws -> ClusterImageDraft.Rootfs {
        let store = store
        var layers: [Descriptor] = []
        var diffIDs: [Digest] = []
        var kept: [Bool] = []
        for (number, layer) in part.manifest.layers.enumerated() {
            if registry.layers.contains(number) {
                let packed = packed[number]
                let trimmed = try await BlockingPool.shared.run { try LayerTrim.run(packed, into: store, $0) }
                kept.append(trimmed != nil)
                guard let trimmed else { continue }
                layers.append(trimmed.descriptor)
                diffIDs.append(trimmed.diffID)
            } else {
                kept.append(true)
                layers.append(Self.renamed(layer))
                diffIDs.append(part.config.rootfs.diffIDs[number])
            }
        }
        var config = part.config
        config.rootfs = .init(diffIDs: diffIDs)
        config.history = Self.history(config.history ?? [], kept: kept)
        config.sealer = try settings(of: part, registry, images, named: name, &config)
        return .init(config: config, layers: layers, platform: config.platform)
    }

    /// The same bytes under OCI's type, for the manifest that refers to them is OCI's now.
    private static func renamed(_ layer: Descriptor) -> Descriptor {
        let type = layer.mediaType == MediaType.dockerLayerGzip ? MediaType.layerGzip : layer.mediaType
        return Descriptor(mediaType: type, digest: layer.digest, size: layer.size)
    }

    /// The history without the layers that went; nil when it never told of each layer.
    private static func history(_ history: [ImageConfig.History], kept: [Bool]) -> [ImageConfig.History]? {
        guard history.count(where: { $0.emptyLayer != true }) == kept.count else { return nil }
        var layer = 0
        return history.filter { entry in
            if entry.emptyLayer == true { return true }
            defer { layer += 1 }
            return kept[layer]
        }
    }

    private func settings(
        of part: OlderImage.Part, _ registry: CarriedRegistry, _ images: CarriedImages, named name: String,
        _ config: inout ImageConfig
    ) throws -> ClusterImageConfig {
        var labels = config.config?.labels ?? [:]
        if labels[LabelKey.runtimeVersion] == nil, let version = Metadata(registry.metadata)?.version {
            labels[LabelKey.runtimeVersion] = version
        }
        var execution = config.config ?? .init()
        execution.labels = labels.isEmpty ? nil : labels
        config.config = execution
        let own = part.ownExtension
        if own == nil {
            progress.send(
                .warning(
                    "\(name) has lost its annotations, as Docker's formats lose them: what it launches is not known;"
                        + " it has the applications: \(registry.applications.joined(separator: ", "))"))
        }
        let kind: ClusterImageConfig.Kind =
            switch own?.type ?? own?.imageType {
            case "app-installer", "application": .appInstaller
            case nil where labels[LabelKey.runtimeVersion] == nil: .appInstaller
            default: .kubeInstaller
            }
        return ClusterImageConfig(
            kind: kind,
            launch: own?.launchList ?? [],
            apps: try own?.apps(at: name) ?? [],
            args: own?.arguments ?? [:],
            env: own?.env ?? [:],
            kubeVersion: labels["app.alpha.sealer.io/supported-kube-version"],
            images: images.records
        )
    }

    /// The rootfs' file of that name, as far as it is of use.
    private struct Metadata: Decodable {
        var version: String?

        /// Whoever wrote the file, without it there is only less to say.
        init?(_ bytes: Data?) {
            guard let bytes, let metadata = try? JSONDecoder().decode(Metadata.self, from: bytes) else { return nil }
            self = metadata
        }
    }
}
