import Archive
import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import SystemPackage
import TestSupport

/// An image of a store that tests send around.
struct SampleImage: Sendable {
    /// Its name in the store, and its path in registries.
    var name: String
    /// What the name stands for: a manifest or an index.
    var top: Descriptor
    /// What a client has that takes only the image of this machine's platform: the top itself, unless that is an index.
    var own: Descriptor

    var reference: String { "example.org/\(name):1" }
}

/// How a manifest is written. Tools that take an image apart and put it together again write its manifest anew. When it was in
/// their own form before, the bytes, and so the digest, are the same.
enum ManifestForm: Sendable {
    /// OCI, as the Go tools (podman, buildah, skopeo) write it: the fields in the order of their type, no white space.
    case oci
    /// Docker's schema 2, as podman and buildah write it.
    case schema2
    /// The same, as docker writes it: indented by three spaces.
    case schema2OfDocker

    private var isOCI: Bool { self == .oci }

    var manifestType: String { isOCI ? MediaType.manifest : MediaType.dockerManifest }
    var configType: String { isOCI ? MediaType.config : MediaType.dockerConfig }

    func layerType(_ compression: Compression) -> String {
        switch (self, compression) {
        case (.oci, .zstd): MediaType.layerZstd
        case (.oci, _): MediaType.layerGzip
        default: "application/vnd.docker.image.rootfs.diff.tar.gzip"
        }
    }

    /// The bytes of a manifest.
    func manifest(config: Descriptor, layers: [Descriptor]) -> Data {
        let isIndented = self == .schema2OfDocker
        func object(_ fields: [(String, String)], _ depth: Int) -> String {
            joined(fields.map { "\"\($0)\":\(isIndented ? " " : "")\($1)" }, "{", "}", depth)
        }
        func joined(_ items: [String], _ open: String, _ close: String, _ depth: Int) -> String {
            guard isIndented else { return open + items.joined(separator: ",") + close }
            let inner = "\n" + String(repeating: "   ", count: depth + 1)
            return open + inner + items.joined(separator: "," + inner) + "\n" + String(repeating: "   ", count: depth)
                + close
        }
        func descriptor(_ item: Descriptor, _ depth: Int) -> String {
            let (type, size, digest) =
                (("mediaType", "\"\(item.mediaType)\""), ("size", "\(item.size)"), ("digest", "\"\(item.digest)\""))
            return object(isOCI ? [type, digest, size] : [type, size, digest], depth)
        }
        let list = joined(layers.map { descriptor($0, 2) }, "[", "]", 1)
        return Data(
            object(
                [
                    ("schemaVersion", "2"), ("mediaType", "\"\(manifestType)\""), ("config", descriptor(config, 1)),
                    ("layers", list),
                ], 0
            ).utf8)
    }
}

/// Makes images of real layers whose content is another one each time, so that no tool has any of it already.
struct ImageMaker {
    let store: ImageStore
    private var random = SeededGenerator(seed: UInt64.random(in: 0...UInt64.max))

    init(_ store: ImageStore) { self.store = store }

    /// A layer with one file: half of it noise, so that it is large, and half of it shrinks.
    private mutating func layer(_ file: String, _ compression: Compression, _ form: ManifestForm) async throws
        -> (blob: Descriptor, diffID: Digest)
    {
        var content: [UInt8] = []
        while content.count < 1_200_000 { withUnsafeBytes(of: random.next()) { content.append(contentsOf: $0) } }
        content += [UInt8](repeating: 7, count: 1_200_000)
        let plain = MemorySink()
        let tar = TarWriter(plain)
        try tar.begin(TarEntry(.file, name: Array(file.utf8), size: Int64(content.count)))
        try content.withUnsafeBytes { try tar.write($0) }
        try tar.finish()
        let packed = MemorySink()
        let encoder = try compression.encoder(into: packed)
        try encoder.write(plain.bytes)
        try encoder.finish()
        let blob = try await store.put(Data(packed.bytes), mediaType: form.layerType(compression))
        return (blob, .of(Data(plain.bytes)))
    }

    private mutating func manifest(_ layers: [Compression], _ form: ManifestForm, _ platform: Platform) async throws
        -> Descriptor
    {
        var blobs: [Descriptor] = []
        var diffIDs: [Digest] = []
        for (number, compression) in layers.enumerated() {
            let (blob, diffID) = try await layer("file\(number)", compression, form)
            blobs.append(blob)
            diffIDs.append(diffID)
        }
        var config = ImageConfig(platform: platform, rootfs: .init(diffIDs: diffIDs))
        config.created = "2026-01-01T00:00:00Z"
        config.config = .init(labels: ["made.by": "sealer"])
        config.history = layers.map { _ in ImageConfig.History(createdBy: "a test") }
        let stored = try await store.put(canonicalJSON(config), mediaType: form.configType)
        return try await store.put(form.manifest(config: stored, layers: blobs), mediaType: form.manifestType)
    }

    /// An image for this machine's platform.
    mutating func image(_ name: String, _ layers: [Compression], _ form: ManifestForm) async throws -> SampleImage {
        let manifest = try await manifest(layers, form, .current)
        return try await named(SampleImage(name: name, top: manifest, own: manifest))
    }

    /// An index of an image for this machine's platform and one for another.
    mutating func index(_ name: String, _ layers: [Compression]) async throws -> SampleImage {
        var entries: [Descriptor] = []
        for platform in [Platform(architecture: "riscv64"), .current] {
            var entry = try await manifest(layers, .oci, platform)
            entry.platform = platform
            entries.append(entry)
        }
        let top = try await store.put(canonicalJSON(ImageIndex(manifests: entries)), mediaType: MediaType.index)
        return try await named(SampleImage(name: name, top: top, own: entries[1]))
    }

    private func named(_ image: SampleImage) async throws -> SampleImage {
        try await store.tag(image.top, as: Reference(image.reference))
        return image
    }
}
