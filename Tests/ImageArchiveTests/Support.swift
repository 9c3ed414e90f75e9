import Archive
import FoundationEssentials
import Glibc
import ImageArchive
import ImageStore
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

extension SeededGenerator {
    /// Bytes of some size that shrink a little.
    mutating func bytes(_ count: Int) -> Data {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 64)
        while bytes.count < count {
            let run = Int.random(in: 1...40, using: &self)
            let byte = UInt8.random(in: 0...255, using: &self)
            if Bool.random(using: &self) {
                bytes += [UInt8](repeating: byte, count: run)
            } else {
                for _ in 0..<run { bytes.append(UInt8.random(in: 0...255, using: &self)) }
            }
        }
        return Data(bytes.prefix(count))
    }
}

/// Makes images in a store.
struct ImageMaker {
    let store: ImageStore
    var random: SeededGenerator

    init(_ store: ImageStore, seed: UInt64) {
        self.store = store
        random = SeededGenerator(seed: seed)
    }

    /// A tar layer with one file of this content, packed.
    mutating func layer(_ content: Data, _ compression: Compression) async throws -> (blob: Descriptor, diffID: Digest)
    {
        let plain = MemorySink()
        let tar = TarWriter(plain)
        try tar.begin(TarEntry(.file, name: Array("file-\(content.count)".utf8), size: Int64(content.count)))
        try content.withUnsafeBytes { try tar.write($0) }
        try tar.finish()
        let packed = MemorySink()
        let encoder = try compression.encoder(into: packed)
        try encoder.write(plain.bytes)
        try encoder.finish()
        let type =
            switch compression {
            case .none: MediaType.layer
            case .gzip: MediaType.layerGzip
            case .zstd: MediaType.layerZstd
            }
        return (try await store.put(Data(packed.bytes), mediaType: type), .of(Data(plain.bytes)))
    }

    /// An image with layers of these sizes.
    mutating func image(
        _ sizes: [Int], _ compression: Compression = .gzip, sealer: ClusterImageConfig? = nil
    ) async throws -> Descriptor {
        var layers: [Descriptor] = []
        var diffIDs: [Digest] = []
        for size in sizes {
            let (blob, diffID) = try await layer(random.bytes(size), compression)
            layers.append(blob)
            diffIDs.append(diffID)
        }
        var config = ImageConfig(platform: .current, rootfs: .init(diffIDs: diffIDs), sealer: sealer)
        config.created = "2026-01-01T00:00:00Z"
        let blob = try await store.put(canonicalJSON(config), mediaType: MediaType.config)
        return try await store.put(
            canonicalJSON(ImageManifest(config: blob, layers: layers)), mediaType: MediaType.manifest)
    }

    /// A ClusterImage with some contained images.
    mutating func clusterImage(members: Int, layers: [Int], rootfs: Compression = .zstd) async throws -> Descriptor {
        var root = try await image(layers, rootfs, sealer: ClusterImageConfig(kind: .appInstaller))
        root.platform = .current
        root.annotations = [AnnotationKey.content: "rootfs"]
        var entries = [root]
        for number in 0..<members {
            var member = try await image([Int.random(in: 0...30_000, using: &random)])
            member.platform = .current
            member.annotations = [
                AnnotationKey.content: "image", AnnotationKey.imageName: "example.org/member/m\(number):1",
            ]
            entries.append(member)
        }
        let index = ImageIndex(artifactType: MediaType.clusterImage, manifests: entries)
        var descriptor = try await store.put(canonicalJSON(index), mediaType: MediaType.index)
        descriptor.artifactType = MediaType.clusterImage
        return descriptor
    }
}

extension ImageStore {
    /// A new store in a folder of its own.
    static func new(in scratch: borrowing Scratch, _ name: String = "store") async throws -> ImageStore {
        try await open(scratch.path.appending(name))
    }

    /// All images under all names.
    func all() async throws -> [ArchivedImage] {
        try await names().map { ArchivedImage(names: [$0.reference], descriptor: $0.descriptor) }
    }

    /// What the names stand for, as text.
    func summary() async throws -> [String] {
        try await names().map { "\($0.reference) \($0.descriptor.digest) \($0.descriptor.size)" }
    }

    /// The file names of all blobs.
    func blobNames() throws -> Set<String> {
        Set(try Folder.names(in: root.appending("blobs/sha256")))
    }

    /// Nothing is wrong, and nothing is unfinished.
    func expectSound(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let check = try await check()
        #expect(check.damages == [], sourceLocation: sourceLocation)
        #expect(check.unfinished == 0, sourceLocation: sourceLocation)
    }
}

/// Bytes of a file.
func bytes(_ path: FilePath) throws -> [UInt8] { Array(try readFile(path)) }

func write(_ bytes: [UInt8], to path: FilePath) throws {
    let file = try FileDescriptor.open(
        path, .writeOnly, options: [.create, .truncate], permissions: [.ownerReadWrite, .groupRead, .otherRead])
    _ = try file.closeAfter { try file.writeAll(bytes) }
}

/// An archive made by hand, entry by entry, honest or not.
struct HandMade {
    private let sink = MemorySink()
    private let tar: TarWriter

    init() { tar = TarWriter(sink) }

    @discardableResult
    func file(_ name: String, _ content: Data) throws -> HandMade {
        try tar.begin(TarEntry(.file, name: Array(name.utf8), size: Int64(content.count)))
        try content.withUnsafeBytes { try tar.write($0) }
        return self
    }

    @discardableResult
    func file(_ name: String, _ text: String) throws -> HandMade { try file(name, Data(text.utf8)) }

    @discardableResult
    func blob(_ content: Data) throws -> HandMade { try file(Digest.of(content).layoutPath, content) }

    @discardableResult
    func entry(_ kind: TarEntry.Kind, _ name: String, to target: String = "") throws -> HandMade {
        try tar.begin(TarEntry(kind, name: Array(name.utf8), linkName: Array(target.utf8)))
        return self
    }

    @discardableResult
    func layout() throws -> HandMade { try file("oci-layout", #"{"imageLayoutVersion":"1.0.0"}"#) }

    func bytes() throws -> [UInt8] {
        try tar.finish()
        return sink.bytes
    }
}

/// The parts of a small honest image.
struct SmallImage {
    let layer: Data
    let config: Data
    let manifest: Data
    let index: Data

    init(name: String? = "example.org/small:1", text: String = "a file", configExtra: String = "") throws {
        let sink = MemorySink()
        let tar = TarWriter(sink)
        try tar.begin(TarEntry(.file, name: Array("a".utf8), size: Int64(text.utf8.count)))
        try Array(text.utf8).withUnsafeBytes { try tar.write($0) }
        try tar.finish()
        layer = Data(sink.bytes)
        config = Data(
            #"{"architecture":"amd64","os":"linux",\#(configExtra)"rootfs":{"type":"layers","diff_ids":["\#(Digest.of(layer))"]}}"#
                .utf8)
        manifest = try canonicalJSON(
            ImageManifest(
                config: Self.descriptor(config, MediaType.config), layers: [Self.descriptor(layer, MediaType.layer)]))
        index = try Self.index([Self.named(Self.descriptor(manifest, MediaType.manifest), name)])
    }

    static func descriptor(_ content: Data, _ type: String) -> Descriptor {
        Descriptor(mediaType: type, digest: .of(content), size: Int64(content.count))
    }

    static func named(_ descriptor: Descriptor, _ name: String?) -> Descriptor {
        var descriptor = descriptor
        descriptor.annotations = name.map { [AnnotationKey.refName: $0] }
        return descriptor
    }

    static func index(_ entries: [Descriptor]) throws -> Data { try canonicalJSON(ImageIndex(manifests: entries)) }

    var manifestDescriptor: Descriptor { Self.descriptor(manifest, MediaType.manifest) }

    /// As docker-archive; the names of config and layer can be chosen.
    func dockerManifest(config: String, layers: [String], tags: [String]?) throws -> Data {
        let tags = tags.map { "[\($0.map { "\"\($0)\"" }.joined(separator: ","))]" } ?? "null"
        let layers = layers.map { "\"\($0)\"" }.joined(separator: ",")
        return Data(#"[{"Config":"\#(config)","RepoTags":\#(tags),"Layers":[\#(layers)]}]"#.utf8)
    }
}

/// Loads bytes into a new store.
func load(
    _ archive: [UInt8], into store: ImageStore, in scratch: borrowing Scratch, name: String? = nil,
    limits: ArchiveLimits = ArchiveLimits()
) async throws -> LoadedArchive {
    let path = scratch.path.appending("archive-\(UInt64.random(in: 0...UInt64.max)).tar")
    try write(archive, to: path)
    return try await ArchiveLoader(store: store, limits: limits).load(.file(path), name: name)
}

/// Calls back for every event, on the thread that sends it.
struct HookedProgress: ProgressSink {
    let hook: @Sendable (ProgressEvent) -> Void
    func send(_ event: ProgressEvent) { hook(event) }
}
