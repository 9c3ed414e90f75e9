import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage

/// What a load brought.
public struct LoadedArchive: Sendable, Hashable {
    /// An image that lost a name to one of the archive.
    public struct Replaced: Sendable, Hashable {
        /// The name.
        public var name: Reference
        /// What it stood for before.
        public var previous: Descriptor
    }

    /// The images, in the archive's order, under the names that they got.
    public var images: [ArchivedImage]
    /// The names that stood for other images before.
    public var replaced: [Replaced]
    /// How many blobs of the archive the store lacked.
    public var added: Int
    /// How many blobs of the archive the store had already.
    public var present: Int
    /// How many bytes the images have in the store.
    public var size: Int64
}

/// Reads image archives into a store, in one pass and without a second copy: oci-archives and docker-archives, plain, gzip or zstd.
///
/// Blobs go straight into the store, hashed while they are written, in whatever order the archive has them. Names are given only
/// when everything that the images lead to is in the store, and all of them in one step. A load that fails gives no name, and
/// takes back what it wrote unless another process uses the store just then; what an interrupted one wrote stays for the next
/// attempt, or for garbage collection.
///
/// Where an archive has both an `index.json` and a `manifest.json`, the first decides. Layers of a docker-archive are stored as
/// they are; an OCI manifest is made for them, so its digest is not that of the image in any registry.
public struct ArchiveLoader: Sendable {
    private let store: ImageStore
    private let limits: ArchiveLimits

    /// Makes a loader.
    public init(store: ImageStore, limits: ArchiveLimits = ArchiveLimits()) {
        self.store = store
        self.limits = limits
    }

    /// Loads an archive.
    ///
    /// - Parameters:
    ///   - name: the name for the only image of the archive, or the repository for archives that tell tags only; nil takes the
    ///     names that the archive tells.
    ///   - step: gets the progress in packed bytes.
    ///   - adopt: may make another image of one that was read, before it gets its name.
    /// - Throws: `Failure` of kind `integrity` for a damaged or hostile archive, `notFound` when blobs are missing (they are named),
    ///   `usage` when a name is needed, `system` when the disk is full.
    public func load(
        _ input: ArchiveInput, name: String? = nil, step: Step? = nil,
        adopting adopt: (ArchivedImage) async throws -> Descriptor = { $0.descriptor }
    ) async throws -> LoadedArchive {
        let wanted = try name.map { try GivenName($0) }
        let session = try await store.session()
        let commits = CommitQueue()
        do {
            let loaded = try await load(input, name: wanted, commits: commits, step: step, adopting: adopt)
            session.end()
            await discard(loaded.unneeded, step)
            return loaded.result
        } catch {
            session.end()
            if !(error is CancellationError) { await discard(commits.written, step) }
            throw error
        }
    }

    /// Takes back what no image needs. What cannot be deleted now is garbage for later, and no reason to fail.
    private func discard(_ blobs: Set<Digest>, _ step: Step?) async {
        guard !blobs.isEmpty else { return }
        do {
            try await store.discard(blobs)
        } catch {
            step?.note("\(blobs.count) blobs of the archive that nothing needs are left for: sealer prune (\(error))")
        }
    }

    private func load(
        _ input: ArchiveInput, name: GivenName?, commits: CommitQueue, step: Step?,
        adopting adopt: (ArchivedImage) async throws -> Descriptor
    ) async throws -> (result: LoadedArchive, unneeded: Set<Digest>) {
        let (store, limits) = (store, limits)
        let scan = try await BlockingPool.shared.run { cancellation in
            var scanner = ArchiveScanner(
                store: store, input: input, limits: limits, commits: commits, cancellation: cancellation
            ) { step?.advance($0, of: $1) }
            return try scanner.run()
        }
        var images = try await images(of: scan, name: name, at: input.name)
        var contents = try await ImageContents(of: images.map(\.descriptor), in: store, limits: limits)
        guard contents.missing.isEmpty else {
            throw Failure(
                .notFound,
                "\(contents.missing.count) blobs are neither in the archive nor in the store:"
                    + " \(ImageContents.list(contents.missing.map(\.digest)))",
                at: input.name
            )
        }
        try Task.checkCancellation()
        for position in images.indices { images[position].descriptor = try await adopt(images[position]) }
        contents = try await ImageContents(of: images.map(\.descriptor), in: store, limits: limits)
        let replaced = try await store.tag(
            images.flatMap { image in image.names.map { (descriptor: image.descriptor, reference: $0) } })
        let all = contents.all
        let result = LoadedArchive(
            images: images,
            replaced: replaced.map { .init(name: $0.reference, previous: $0.previous) },
            added: scan.added,
            present: scan.present,
            size: all.reduce(0) { $0 + $1.size }
        )
        return (result, commits.written.subtracting(all.map(\.digest)))
    }

    /// The images of an archive, with the names that they get.
    private func images(of scan: ArchiveScan, name: GivenName?, at place: String) async throws -> [ArchivedImage] {
        let found: [FoundImage]
        if let index = scan.index {
            guard scan.hasLayout else {
                throw Failure(.integrity, "the archive has an index.json but no oci-layout", at: place)
            }
            found = try Self.images(ofIndex: index, at: place)
        } else if let manifest = scan.dockerManifest {
            var docker = DockerArchive(store: store, scan: scan, limits: limits, place: place)
            found = try await docker.images(manifest)
        } else {
            throw Failure(
                .invalidInput,
                "this is no image archive: it has neither an index.json nor a manifest.json",
                at: place,
                remedy: "make one with: sealer save, docker save, podman save, or skopeo copy"
            )
        }
        guard !found.isEmpty else { throw Failure(.integrity, "the archive has no image", at: place) }
        return try FoundImage.named(found, given: name, at: place)
    }

    private static func images(ofIndex bytes: Data, at place: String) throws -> [FoundImage] {
        let place = "\(place): \(ArchiveLayout.index)"
        guard case .index(let index) = try Document(bytes, mediaType: MediaType.index, at: place) else { return [] }
        return try index.manifests.map { descriptor in
            guard MediaType.isIndex(descriptor.mediaType) || MediaType.isManifest(descriptor.mediaType) else {
                throw Failure(.integrity, "\(descriptor.digest) is of a type that is no image", at: place)
            }
            let names = [ArchiveLayout.containerdName, AnnotationKey.refName].compactMap { descriptor.annotations?[$0] }
            // What index.json remarks about an image is no part of it.
            let bare = Descriptor(
                mediaType: descriptor.mediaType, digest: descriptor.digest, size: descriptor.size,
                artifactType: descriptor.artifactType, platform: descriptor.platform)
            return FoundImage(
                descriptor: bare, names: Array(names.prefix(1)), tag: descriptor.annotations?[AnnotationKey.refName])
        }
    }
}
