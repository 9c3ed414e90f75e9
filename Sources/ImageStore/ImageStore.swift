import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Report
import SystemPackage

/// The content-addressed store on local disk: a valid OCI image layout (OCI image layout 1.1) with `ingest/` for blobs on
/// their way and two lock files beside it.
///
/// Several processes may use one store. Names change under `index.lock`; whoever adds blobs holds a `StoreSession`, and
/// blobs are only deleted while nobody does.
public final class ImageStore: Sendable {
    /// The folder of the store.
    public let root: FilePath

    private init(root: FilePath) {
        self.root = root
    }

    /// Opens the store, making an empty one when there is none.
    ///
    /// - Throws: `Failure` of kind `integrity` when the folder is a layout of another version, `denied` or `system`.
    public static func open(_ root: FilePath) async throws -> ImageStore {
        try await BlockingPool.shared.run {
            let layoutFile = root.appending("oci-layout")
            do {
                let bytes = try readFile(layoutFile, limit: 4096)
                guard let layout = try? JSONDecoder().decode(Layout.self, from: bytes),
                    layout.imageLayoutVersion == "1.0.0"
                else {
                    throw Failure(
                        .integrity,
                        "the folder is not an OCI image layout of version 1.0.0",
                        at: layoutFile.string,
                        remedy: "name another folder with --root or SEALER_ROOT"
                    )
                }
            } catch let failure as Failure where failure.kind == .notFound {
                try make(root)
            }
            for folder in ["blobs/sha256", "blobs/sha512", "ingest"] { try Folder.make(root.appending(folder)) }
            return ImageStore(root: root)
        }
    }

    private static func make(_ root: FilePath) throws {
        try Folder.make(root)
        let names = try Folder.names(in: root)
        let own = ["blobs", "ingest", "index.json", "index.lock", "blobs.lock"]
        guard names.allSatisfy({ own.contains($0) || isUnfinished($0) }) else {
            throw Failure(
                .conflict,
                "the folder holds other things and is no image store",
                at: root.string,
                remedy: "name an empty folder with --root or SEALER_ROOT"
            )
        }
        if !names.contains("index.json") {
            try AtomicFile.write(canonicalJSON(ImageIndex(manifests: [])), to: root.appending("index.json"))
        }
        // Last: whoever sees this file finds the rest.
        try AtomicFile.write(
            canonicalJSON(Layout(imageLayoutVersion: "1.0.0")),
            to: root.appending("oci-layout")
        )
    }

    /// Whether a file of the store's root is one that a process was writing when it died.
    static func isUnfinished(_ name: String) -> Bool {
        name.hasPrefix(".index.json.") || name.hasPrefix(".oci-layout.")
    }

    private struct Layout: Codable {
        var imageLayoutVersion: String
    }

    // MARK: - Blobs

    /// A blob that is open for reading; whoever gets it closes the file.
    public struct OpenBlob: Sendable {
        /// The file, at its beginning.
        public let file: FileDescriptor
        /// Its size in bytes.
        public let size: Int64

        /// Takes a file that is open, also one from elsewhere.
        public init(file: FileDescriptor, size: Int64) {
            self.file = file
            self.size = size
        }
    }

    /// The path of a blob, whether or not it is there.
    public func path(of digest: Digest) -> FilePath {
        root.appending(digest.layoutPath)
    }

    /// The size of a blob in bytes; nil when the store does not have it.
    public func size(of digest: Digest) async throws -> Int64? {
        let path = path(of: digest)
        return try await BlockingPool.shared.run { try Self.size(at: path) }
    }

    /// Whether the store has a blob in the size that the descriptor says. Blocks.
    public func has(_ blob: Descriptor) throws -> Bool {
        try Self.size(at: path(of: blob.digest)) == blob.size
    }

    static func size(at path: FilePath) throws -> Int64? {
        var information = stat()
        guard lstat(path.string, &information) == 0 else {
            if errno == ENOENT { return nil }
            throw Failure(.system, "cannot look at a blob", at: path.string, causes: [Errno(rawValue: errno)])
        }
        guard information.st_mode & S_IFMT == S_IFREG else {
            throw Failure(.integrity, "a blob of the store is not a file", at: path.string)
        }
        return Int64(information.st_size)
    }

    /// Which of the blobs the store lacks (or has in another size), in the given order, each once.
    public func missing(_ blobs: [Descriptor]) async throws -> [Descriptor] {
        let root = root
        return try await BlockingPool.shared.run {
            var seen: Set<Digest> = []
            return try blobs.filter { blob in
                guard seen.insert(blob.digest).inserted else { return false }
                return try Self.size(at: root.appending(blob.digest.layoutPath)) != blob.size
            }
        }
    }

    /// Opens a blob.
    ///
    /// - Throws: `Failure` of kind `notFound`.
    public func openBlob(_ digest: Digest) async throws -> OpenBlob {
        let path = path(of: digest)
        return try await BlockingPool.shared.run { try Self.open(digest, at: path) }
    }

    static func open(_ digest: Digest, at path: FilePath) throws -> OpenBlob {
        guard let size = try size(at: path) else {
            throw Failure(.notFound, "the store has no blob \(digest)", at: path.string)
        }
        do {
            let file = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .noFollow])
            return OpenBlob(file: file, size: size)
        } catch {
            throw Failure(.system, "cannot open a blob of the store", at: path.string, causes: [error])
        }
    }

    /// Reads a small blob whole, and verifies it.
    ///
    /// - Parameter limit: the most bytes that are accepted.
    /// - Throws: `Failure` of kind `notFound` or `integrity`.
    public func bytes(of descriptor: Descriptor, limit: Int64 = Document.sizeLimit) async throws -> Data {
        let path = path(of: descriptor.digest)
        guard descriptor.size <= limit else {
            throw Failure(.integrity, "\(descriptor.digest) has \(descriptor.size) bytes, more than \(limit)")
        }
        let bytes: Data
        do {
            bytes = try await BlockingPool.shared.run { try readFile(path, limit: Int(limit)) }
        } catch let failure as Failure where failure.kind == .notFound {
            throw Failure(.notFound, "the store has no blob \(descriptor.digest)", at: path.string)
        }
        guard bytes.count == descriptor.size, Digest.of(bytes, descriptor.digest.algorithm) == descriptor.digest else {
            throw Failure(.integrity, "a blob of the store was changed or cut off", at: path.string)
        }
        return bytes
    }

    /// Reads and parses a manifest or an index.
    public func document(_ descriptor: Descriptor) async throws -> Document {
        try Document(
            await bytes(of: descriptor),
            mediaType: descriptor.mediaType,
            at: path(of: descriptor.digest).string
        )
    }

    /// Reads and parses a JSON blob, for instance an image's configuration.
    public func json<Value: Decodable & Sendable>(_ type: Value.Type, _ descriptor: Descriptor) async throws -> Value {
        let bytes = try await bytes(of: descriptor)
        do {
            return try JSONDecoder().decode(type, from: bytes)
        } catch {
            throw Failure(
                .integrity,
                "a blob of the store is not the JSON it should be",
                at: path(of: descriptor.digest).string,
                causes: [error]
            )
        }
    }

    /// The platform that an image's configuration tells; nil when it tells none, or the manifest is that of something else.
    public func platform(of manifest: ImageManifest) async throws -> Platform? {
        guard [MediaType.config, MediaType.dockerConfig].contains(manifest.config.mediaType) else { return nil }
        struct Shape: Decodable, Sendable {
            var os: String?
            var architecture: String?
            var variant: String?
        }
        let shape = try await json(Shape.self, manifest.config)
        guard let os = shape.os, let architecture = shape.architecture, !os.isEmpty, !architecture.isEmpty else {
            return nil
        }
        return Platform(os: os, architecture: architecture, variant: shape.variant.flatMap { $0.isEmpty ? nil : $0 })
    }

    /// Starts a blob. Hold a `StoreSession` until something named refers to it.
    ///
    /// - Parameter expected: what the bytes must turn out to be; nil when that is not known before.
    public func ingest(_ expected: Descriptor? = nil) async throws -> BlobIngest {
        let root = root
        return try await BlockingPool.shared.run { try BlobIngest(expected: expected, layout: root) }
    }

    /// Stores bytes that are in memory.
    @discardableResult
    public func put(_ bytes: Data, mediaType: String) async throws -> Descriptor {
        let descriptor = Descriptor(mediaType: mediaType, digest: .of(bytes), size: Int64(bytes.count))
        if try await size(of: descriptor.digest) == descriptor.size { return descriptor }
        let ingest = try await ingest(descriptor)
        try await BlockingPool.shared.run {
            try bytes.withUnsafeBytes { try ingest.write($0) }
            try ingest.commit()
        }
        return descriptor
    }
}
