import Archive
import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage

/// Where an archive goes.
public enum ArchiveTarget: Sendable {
    /// A file. It is written beside its place and renamed when it is whole; a device or a pipe is written as it is.
    case file(FilePath)
    /// Files `NAME.part001`, `NAME.part002`, … of at most so many bytes each, and the list `NAME.parts`, which comes last.
    case parts(FilePath, size: Int64)
    /// An open descriptor, for instance standard output; `name` is for messages. It stays open.
    case descriptor(FileDescriptor, name: String)
}

/// How an archive is made.
public struct ArchiveOptions: Sendable {
    /// The packing of the whole. Layers are packed already, so the usual one is none. Docker before 23 reads no zstd.
    public var compression: Compression
    /// What the other side has, and the archive leaves out.
    public var base: ArchiveBase?
    /// Whether to add a `manifest.json` for `docker load`, where that is possible.
    public var dockerManifest: Bool
    /// The platform whose images go into `manifest.json`, which knows one platform only.
    public var platform: Platform

    /// Makes options: everything, not packed, with a `manifest.json` for the platform of this process.
    public init(
        compression: Compression = .none,
        base: ArchiveBase? = nil,
        dockerManifest: Bool = true,
        platform: Platform = .current
    ) {
        self.compression = compression
        self.base = base
        self.dockerManifest = dockerManifest
        self.platform = platform
    }
}

/// What a save wrote.
public struct SavedArchive: Sendable, Hashable {
    /// The files: one, or the parts and their list; none for a descriptor.
    public var files: [FilePath]
    /// The bytes of the archive.
    public var size: Int64
    /// How many blobs are in it.
    public var blobs: Int
    /// How many blobs were left out because the other side has them.
    public var omitted: Int
    /// The bytes of these.
    public var omittedSize: Int64
    /// The images that `docker load` finds in it, by the names that it will give them.
    public var dockerNames: [Reference]
}

/// Writes images of a store into an archive: an OCI image layout 1.1 in a tar, which sealer, skopeo, podman and containerd read.
///
/// The same images and options give the same bytes: `oci-layout`, `index.json`, `sealer-delta.json` if something is left out,
/// `manifest.json` if it is of use, then manifests and indexes, each before what it leads to, then the other blobs. Owners and times
/// are zero. Every blob is hashed while it is written, so damage in the store is noticed here.
///
/// **docker load** takes a `manifest.json`, which is added for the images that Docker 20.10 can read: those whose layers are plain or
/// gzip, all of them in the archive. Of a ClusterImage these are the contained images, each under its own name, and the rootfs if its layers are
/// such; the rootfs that `sealer build` writes has zstd layers, which Docker reads from version 23 on, and one image that it cannot
/// read makes Docker refuse the whole archive. So that rootfs is left out of `manifest.json`, and only the OCI side of the archive
/// has it. The index of a ClusterImage has no place in Docker's image store at all.
///
/// **skopeo copy oci-archive:FILE:NAME** finds every image under the whole name that it has here. Of an index it takes the image for
/// its platform, the rootfs of a ClusterImage; with `--all` everything.
public struct ArchiveWriter: Sendable {
    private let store: ImageStore

    /// Makes a writer of images of the store.
    public init(store: ImageStore) {
        self.store = store
    }

    /// Writes an archive.
    ///
    /// On failure nothing is left at the target, and a file that was there stays as it was; parts of an older archive of that name are
    /// replaced from the beginning. A descriptor has then got an archive without its end, which readers refuse.
    ///
    /// - Parameters:
    ///   - images: at least one; their order does not matter.
    ///   - step: gets the progress in bytes of the blobs.
    /// - Throws: `Failure` of kind `integrity` or `notFound` that names the damaged or missing blob, `conflict` when one name is given to two
    ///   images, `system` when the disk is full.
    public func save(
        _ images: [ArchivedImage],
        to target: ArchiveTarget,
        options: ArchiveOptions = ArchiveOptions(),
        step: Step? = nil
    ) async throws -> SavedArchive {
        guard !images.isEmpty else { throw Failure(.usage, "no image is given") }
        let session = try await store.session()
        defer { session.end() }
        let base = try await options.base?.blobs(in: store) ?? []
        let plan = try await ArchivePlan(images, in: store, base: base, options: options)
        let store = store
        let (size, files) = try await BlockingPool.shared.run { cancellation in
            let output = try ArchiveOutput(target)
            do {
                try ArchiveWriting(plan: plan, store: store, cancellation: cancellation, step: step)
                    .write(into: try options.compression.encoder(into: output.sink))
                try cancellation.check()
                return (output.size, try output.complete())
            } catch {
                output.abandon()
                throw error
            }
        }
        return SavedArchive(
            files: files,
            size: size,
            blobs: plan.blobs.count,
            omitted: plan.omitted.count,
            omittedSize: plan.omitted.reduce(0) { $0 + $1.size },
            dockerNames: plan.dockerNames
        )
    }
}
