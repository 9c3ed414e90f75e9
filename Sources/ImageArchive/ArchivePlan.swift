import Archive
import FoundationEssentials
import ImageStore
import OCI
import Report
import SystemPackage

/// What goes into an archive, in its order.
struct ArchivePlan: Sendable {
    /// The small files at the beginning.
    private(set) var lists: [(name: String, content: Data)] = []
    /// The blobs, documents first.
    let blobs: [Descriptor]
    /// The blobs that the other side has.
    let omitted: [Descriptor]
    /// The names that `docker load` will find.
    private(set) var dockerNames: [Reference] = []

    /// Reads all documents of the images, and makes the lists.
    ///
    /// - Parameter base: what the other side has.
    init(_ images: [ArchivedImage], in store: ImageStore, base: Set<Digest>, options: ArchiveOptions) async throws {
        let named = try Self.sorted(images)
        let contents = try await ImageContents(of: named.map(\.descriptor), in: store, limits: Self.limits)
        guard contents.missing.isEmpty else {
            throw Failure(
                .notFound,
                "the store lacks blobs of the image: \(ImageContents.list(contents.missing.map(\.digest)))",
                at: store.root.string,
                remedy: "sealer fsck --repair"
            )
        }
        let all = contents.all
        blobs = all.filter { !base.contains($0.digest) }
        omitted = all.filter { base.contains($0.digest) }
        lists.append((ArchiveLayout.layout, ArchiveLayout.layoutContent))
        lists.append((ArchiveLayout.index, try canonicalJSON(Self.index(named))))
        if !omitted.isEmpty {
            lists.append((ArchiveLayout.delta, try canonicalJSON(DeltaDocument(omitted: omitted))))
        }
        if options.dockerManifest {
            let docker = DockerList(
                documents: Dictionary(contents.documents.map { ($0.descriptor.digest, $0.document) }) { first, _ in
                    first
                },
                present: Set(blobs.map(\.digest)),
                platform: options.platform
            )
            let entries = try docker.entries(named)
            if !entries.isEmpty {
                lists.append((ArchiveLayout.dockerManifest, try canonicalJSON(entries.map(\.image))))
                dockerNames = entries.flatMap(\.names)
            }
        }
    }

    /// Our own images have no bounds but memory.
    private static let limits = ArchiveLimits(documents: .max, references: .max)

    /// One element for each name, sorted by name; the descriptors bare of remarks.
    private static func sorted(_ images: [ArchivedImage]) throws -> [(name: Reference, descriptor: Descriptor)] {
        var result: [Reference: Descriptor] = [:]
        for image in images {
            guard !image.names.isEmpty else {
                throw Failure(.usage, "the image \(image.descriptor.digest) has no name to be saved under")
            }
            var bare = image.descriptor
            bare.annotations = nil
            for name in image.names {
                guard result.updateValue(bare, forKey: name)?.digest ?? bare.digest == bare.digest else {
                    throw Failure(.conflict, "two images are to be saved under the name \(name.familiar)")
                }
            }
        }
        return result.map { (name: $0.key, descriptor: $0.value) }.sorted { $0.name.description < $1.name.description }
    }

    private static func index(_ named: [(name: Reference, descriptor: Descriptor)]) -> ImageIndex {
        ImageIndex(
            manifests: named.map { name, descriptor in
                var entry = descriptor
                entry.annotations = [
                    AnnotationKey.refName: name.description,
                    ArchiveLayout.containerdName: name.description,
                ]
                return entry
            })
    }
}

/// Makes the `manifest.json` of an archive: the images that every Docker can load.
private struct DockerList {
    let documents: [Digest: Document]
    /// What is in the archive.
    let present: Set<Digest>
    let platform: Platform

    struct Entry {
        var image: DockerArchiveImage
        var names: [Reference]
    }

    /// The images under the given names, and those that ClusterImages contain; each image once, each name once.
    func entries(_ named: [(name: Reference, descriptor: Descriptor)]) throws -> [Entry] {
        var order: [Digest] = []
        var found: [Digest: Entry] = [:]
        var taken: Set<Reference> = []
        func add(_ name: Reference, _ manifest: Descriptor) throws {
            // Docker knows no names with a digest.
            guard name.tag != nil, name.digest == nil, let image = try image(manifest) else { return }
            guard taken.insert(name).inserted else { return }
            var entry = found[manifest.digest] ?? Entry(image: image, names: [])
            if entry.names.isEmpty { order.append(manifest.digest) }
            entry.names.append(name)
            entry.image.repoTags = entry.names.map(\.familiar)
            found[manifest.digest] = entry
        }
        for (name, descriptor) in named {
            if let manifest = choose(descriptor) { try add(name, manifest) }
        }
        for (_, descriptor) in named {
            // Only a ClusterImage names its members; any other index could give strangers' images a name.
            guard case .index(let index) = documents[descriptor.digest], index.artifactType == MediaType.clusterImage
            else { continue }
            for member in index.manifests where member.annotations?[AnnotationKey.content] == "image" {
                guard runs(member), let name = member.annotations?[AnnotationKey.imageName] else { continue }
                try add(try Reference(name), member)
            }
        }
        return order.compactMap { found[$0] }
    }

    private func runs(_ descriptor: Descriptor) -> Bool { descriptor.platform?.runs(on: platform) ?? true }

    /// The manifest itself, or that of an index for the platform; of a ClusterImage the rootfs.
    private func choose(_ descriptor: Descriptor) -> Descriptor? {
        guard case .index(let index) = documents[descriptor.digest] else { return descriptor }
        let isCluster = index.artifactType == MediaType.clusterImage
        return index.manifests.first { entry in
            MediaType.isManifest(entry.mediaType) && runs(entry)
                && (!isCluster || entry.annotations?[AnnotationKey.content] == "rootfs")
        }
    }

    /// The image as Docker takes it; nil when it is none that Docker 20.10 reads.
    private func image(_ descriptor: Descriptor) throws -> DockerArchiveImage? {
        guard case .manifest(let manifest) = documents[descriptor.digest],
            [MediaType.config, MediaType.dockerConfig].contains(manifest.config.mediaType)
        else { return nil }
        let isReadable = manifest.layers.allSatisfy {
            [.some(.none), .gzip].contains(Compression(mediaType: $0.mediaType))
        }
        let isComplete = ([manifest.config] + manifest.layers).allSatisfy { present.contains($0.digest) }
        guard isReadable, isComplete, !manifest.layers.isEmpty else { return nil }
        return DockerArchiveImage(
            config: manifest.config.digest.layoutPath,
            repoTags: [],
            layers: manifest.layers.map(\.digest.layoutPath)
        )
    }
}
