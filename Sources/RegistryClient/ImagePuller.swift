import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import Synchronization

/// An image that is in the store with everything it needs on one platform.
public struct PulledImage: Sendable, Hashable {
    /// The name that was asked for.
    public let reference: Reference
    /// What the name stands for upstream, byte for byte: an index, or the manifest itself.
    public let top: ResolvedImage
    /// The platform's manifest, byte for byte; its descriptor says the platform.
    public let manifest: ResolvedImage

    /// The upstream index; nil when the name stands for a manifest.
    public var upstreamIndex: ResolvedImage? {
        if case .index = top.document { top } else { nil }
    }
}

/// Pulls images into a store. One puller may pull several images at the same time: all share its limit of downloads, and a
/// blob that several of them need comes once.
///
/// Blobs that the store has are not downloaded. Hold a `StoreSession` from before the pull until something named refers to the
/// image.
public final class ImagePuller: Sendable {
    private let client: RegistryClient
    private let store: ImageStore
    private let progress: any ProgressSink
    private let downloads: Limiter
    private let documents: Limiter
    private let fetching = SharedWork<Digest, Void>()

    /// Makes a puller.
    ///
    /// - Parameter concurrency: how many blobs are downloaded at once, over all images.
    public init(
        client: RegistryClient,
        store: ImageStore,
        concurrency: Int = 6,
        progress: any ProgressSink = SilentProgress()
    ) {
        self.client = client
        self.store = store
        self.progress = progress
        downloads = Limiter(width: concurrency)
        documents = Limiter(width: concurrency)
    }

    /// Brings an image for one platform, its documents included, into the store.
    ///
    /// - Throws: `Failure`, of kind `notFound` when the image does not exist or not for the platform.
    public func pull(_ reference: Reference, platform: Platform) async throws -> PulledImage {
        try await progress.step("pull \(reference.familiar)") { step in
            let top = try await documents.run { try await client.resolve(reference) }
            switch top.document {
            case .index(let index):
                let entry = try Self.entry(for: platform, in: index, of: reference)
                let manifest = try await self.manifest(entry, of: reference)
                try await fetchBlobs(of: [manifest], step: step)
                try await put(manifest)
                try await put(top)
                return PulledImage(reference: reference, top: top, manifest: manifest)
            case .manifest(let manifest):
                try await fetchBlobs(of: [top], step: step)
                let own = try await store.platform(of: manifest)
                guard own?.runs(on: platform) ?? true else {
                    throw Failure(
                        .notFound,
                        "\(reference.familiar) is only for \(own?.description ?? ""), not for \(platform)",
                        at: reference.domain,
                        remedy: "use an image that is built for \(platform)"
                    )
                }
                try await put(top)
                return PulledImage(reference: reference, top: top, manifest: top.on(own ?? platform))
            }
        }
    }

    /// Brings everything that a name stands for into the store: of an index every manifest with its blobs, whatever the
    /// platform. This is how a ClusterImage is pulled.
    ///
    /// - Parameter isKnown: asked about what the name stands for; when it says yes nothing is fetched.
    public func pullAll(
        _ reference: Reference, unless isKnown: (Descriptor) async throws -> Bool = { _ in false }
    ) async throws -> ResolvedImage {
        try await progress.step("pull \(reference.familiar)") { step in
            let top = try await documents.run { try await client.resolve(reference) }
            if try await isKnown(top.descriptor) { return top }
            guard case .index(let index) = top.document else {
                try await fetchBlobs(of: [top], step: step)
                try await put(top)
                return top
            }
            guard index.manifests.allSatisfy({ MediaType.isManifest($0.mediaType) }) else {
                throw Failure(
                    .integrity,
                    "the index of \(reference.familiar) lists other things than image manifests",
                    at: reference.domain
                )
            }
            let manifests = try await withThrowingTaskGroup(of: ResolvedImage.self) { group in
                for entry in index.manifests { group.addTask { try await self.manifest(entry, of: reference) } }
                return try await group.reduce(into: [ResolvedImage]()) { $0.append($1) }
            }
            try await fetchBlobs(of: manifests, step: step)
            for manifest in manifests { try await put(manifest) }
            try await put(top)
            return top
        }
    }

    // MARK: - Documents

    private static func entry(for platform: Platform, in index: ImageIndex, of reference: Reference) throws
        -> Descriptor
    {
        let manifests = index.manifests.filter { MediaType.isManifest($0.mediaType) }
        let fitting = manifests.filter { $0.platform?.runs(on: platform) ?? (manifests.count == 1) }
        if let exact = fitting.first(where: { $0.platform?.variant == platform.variant }) ?? fitting.first {
            return exact
        }
        let available = Set(manifests.compactMap(\.platform).filter { $0.os != "unknown" }.map(\.description)).sorted()
        throw Failure(
            .notFound,
            "\(reference.familiar) has no image for \(platform), only for: "
                + printable(available.joined(separator: ", "), limit: 300),
            at: reference.domain,
            remedy: "use an image that is built for \(platform)"
        )
    }

    private func manifest(_ entry: Descriptor, of reference: Reference) async throws -> ResolvedImage {
        let resolved: ResolvedImage
        if try await store.size(of: entry.digest) == entry.size {
            let bytes = try await store.bytes(of: entry)
            resolved = ResolvedImage(
                reference: reference,
                descriptor: entry,
                bytes: bytes,
                document: try Document(bytes, mediaType: entry.mediaType, at: reference.familiar)
            )
        } else {
            resolved = try await documents.run { try await client.manifest(entry, in: reference) }
        }
        guard case .manifest = resolved.document else {
            throw Failure(
                .integrity, "\(entry.digest) of \(reference.familiar) is not a manifest", at: reference.domain)
        }
        return resolved.on(entry.platform)
    }

    private func put(_ image: ResolvedImage) async throws {
        guard try await store.size(of: image.descriptor.digest) != image.descriptor.size else { return }
        // Not `put`: the digest may be of another algorithm than the store's own.
        let ingest = try await store.ingest(image.descriptor)
        let bytes = image.bytes
        try await BlockingPool.shared.run {
            try bytes.withUnsafeBytes { try ingest.write($0) }
            try ingest.commit()
        }
    }

    // MARK: - Blobs

    private func fetchBlobs(of images: [ResolvedImage], step: Step) async throws {
        var wanted: [Digest: (blob: Descriptor, reference: Reference)] = [:]
        for image in images {
            for blob in image.document.references {
                if let other = wanted[blob.digest], other.blob.size != blob.size {
                    throw Failure(
                        .integrity,
                        "the manifests give \(blob.digest) both \(blob.size) and \(other.blob.size) bytes",
                        at: image.reference.familiar
                    )
                }
                wanted[blob.digest] = (blob, image.reference)
            }
        }
        let total = wanted.values.reduce(Int64(0)) { sum, item in
            let (result, isTooMuch) = sum.addingReportingOverflow(item.blob.size)
            return isTooMuch ? Int64.max : result
        }
        let counter = ByteCounter(total: total, step: step)
        counter.add(0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (blob, reference) in wanted.values {
                group.addTask { try await self.fetch(blob, of: reference, counter: counter) }
            }
            try await group.waitForAll()
        }
    }

    private func fetch(_ blob: Descriptor, of reference: Reference, counter: ByteCounter) async throws {
        // The second round is for who had joined another image's download, and that one failed: another repository, or
        // another mirror, may do better.
        for _ in 0..<2 {
            do {
                let (_, isOwn) = try await fetching.value(for: blob.digest) {
                    if try await self.store.size(of: blob.digest) == blob.size {
                        counter.add(blob.size)
                        return
                    }
                    try await self.downloads.run {
                        try await self.client.fetchBlob(blob, from: reference, into: self.store) { counter.add($0) }
                    }
                }
                guard try await store.size(of: blob.digest) == blob.size else {
                    throw Failure(
                        .integrity,
                        "the manifest of \(reference.familiar) gives \(blob.digest) the wrong size \(blob.size)",
                        at: reference.domain
                    )
                }
                if !isOwn { counter.add(blob.size) }
                return
            } catch let error as SharedWorkError where !error.isOwn {
                continue
            } catch let error as SharedWorkError {
                throw error.underlying
            }
        }
        try await downloads.run {
            try await client.fetchBlob(blob, from: reference, into: store) { counter.add($0) }
        }
    }
}

/// Adds up the bytes of one image's parallel downloads for its progress.
private final class ByteCounter: Sendable {
    private let total: Int64
    private let step: Step
    private let done = Mutex<Int64>(0)

    init(total: Int64, step: Step) {
        self.total = total
        self.step = step
    }

    func add(_ bytes: Int64) {
        // Told under the lock: the last that is told is the last that was counted.
        done.withLock { done in
            done += bytes
            step.advance(done, of: total)
        }
    }
}

extension ResolvedImage {
    /// The same document with its platform on the descriptor, and nothing else that an index said about it.
    func on(_ platform: Platform?) -> ResolvedImage {
        ResolvedImage(
            reference: reference,
            descriptor: Descriptor(
                mediaType: descriptor.mediaType,
                digest: descriptor.digest,
                size: descriptor.size,
                platform: platform
            ),
            bytes: bytes,
            document: document
        )
    }
}
