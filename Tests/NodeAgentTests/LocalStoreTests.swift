import Archive
import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Remote
import Report
import SystemPackage
import TestSupport
import Testing

@testable import NodeAgent

/// The agent over the project's own store and archive code.
@Suite struct LocalStoreTests {
    /// A layer with these files, given as path and content; a content of nil deletes the path.
    private static func layer(_ files: [(String, String?)], _ compression: Compression) throws -> [UInt8] {
        let sink = MemorySink()
        let writer = LayerWriter(try compression.encoder(into: sink))
        for (path, content) in files {
            if let content {
                try writer.add(content: Array(content.utf8), as: FilePath(path))
            } else {
                try writer.addWhiteout(of: FilePath(path))
            }
        }
        _ = try writer.finish()
        return sink.bytes
    }

    private static func image(_ store: ImageStore, _ layers: [([UInt8], String)]) async throws -> Descriptor {
        var descriptors: [Descriptor] = []
        for (bytes, type) in layers { descriptors.append(try await store.put(Data(bytes), mediaType: type)) }
        let config = try await store.put(Data("{}".utf8), mediaType: MediaType.config)
        let manifest = ImageManifest(config: config, layers: descriptors)
        return try await store.put(canonicalJSON(manifest), mediaType: MediaType.manifest)
    }

    private static func text(_ path: FilePath) throws -> String {
        String(decoding: try LinuxSystem.readFile(path), as: UTF8.self)
    }

    @Test func unpacksLayersInTheirOrder() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let base = try Self.layer([("etc/a", "one"), ("etc/b", "two"), ("bin/tool", "x")], .gzip)
        let top = try Self.layer([("etc/a", "three"), ("etc/b", nil)], .zstd)
        let image = try await Self.image(store, [(base, MediaType.layerGzip), (top, MediaType.layerZstd)])
        let target = scratch.path.appending("nodes").appending("rootfs")
        let seen = Seen<Int64>()
        try await LayerUnpacker(store).unpack(
            UnpackRequest(manifest: image, destination: target.string),
            advanced: seen.add
        )
        #expect(try Self.text(target.appending("etc/a")) == "three")
        #expect(try Folder.names(in: target.appending("etc")) == ["a"])
        #expect(try Folder.names(in: target) == ["bin", "etc"])
        #expect(!seen.all.isEmpty)
        // A second image takes the place of the first, and nothing else is left beside it.
        let other = try await Self.image(store, [(try Self.layer([("only", "this")], .gzip), MediaType.layerGzip)])
        try await LayerUnpacker(store).unpack(
            UnpackRequest(manifest: other, destination: target.string),
            advanced: { _ in }
        )
        #expect(try Folder.names(in: target) == ["only"])
        #expect(try Folder.names(in: target.removingLastComponent()) == ["rootfs"])
    }

    @Test func aDamagedLayerLeavesTheOldTree() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let target = scratch.path.appending("nodes").appending("rootfs")
        let good = try await Self.image(store, [(try Self.layer([("a", "old")], .gzip), MediaType.layerGzip)])
        try await LayerUnpacker(store).unpack(
            UnpackRequest(manifest: good, destination: target.string),
            advanced: { _ in }
        )
        var bytes = try Self.layer([("a", String(repeating: "new", count: 10_000))], .gzip)
        bytes.removeLast(20)
        let bad = try await Self.image(store, [(bytes, MediaType.layerGzip)])
        let failure = await #expect(throws: Failure.self) {
            try await LayerUnpacker(store).unpack(
                UnpackRequest(manifest: bad, destination: target.string),
                advanced: { _ in }
            )
        }
        #expect(failure?.kind == .integrity)
        #expect(try Self.text(target.appending("a")) == "old")
        #expect(try Folder.names(in: target.removingLastComponent()) == ["rootfs"])
    }

    @Test func deletesWhatAnUnpackingThatDiedLeft() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let nodes = scratch.path.appending("nodes")
        // No process has so high a number.
        try Folder.make(nodes.appending(".rootfs.unpacking-4194305-1").appending("etc"))
        try Folder.make(nodes.appending(".rootfs.unpacking-\(getpid())-1"))
        let image = try await Self.image(store, [(try Self.layer([("a", "x")], .gzip), MediaType.layerGzip)])
        try await LayerUnpacker(store).unpack(
            UnpackRequest(manifest: image, destination: nodes.appending("rootfs").string),
            advanced: { _ in }
        )
        #expect(try Folder.names(in: nodes) == [".rootfs.unpacking-\(getpid())-1", "rootfs"])
    }

    @Test func refusesPlacesNearTheRootAndIndexes() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let image = try await Self.image(store, [])
        for place in ["/", "/etc", "relative", "/etc/.."] {
            await #expect(throws: Failure.self) {
                try await LayerUnpacker(store).unpack(
                    UnpackRequest(manifest: image, destination: place),
                    advanced: { _ in }
                )
            }
        }
        let index = try await store.put(canonicalJSON(ImageIndex(manifests: [image])), mediaType: MediaType.index)
        let failure = await #expect(throws: Failure.self) {
            try await LayerUnpacker(store).unpack(
                UnpackRequest(manifest: index, destination: scratch.path.appending("x").string),
                advanced: { _ in }
            )
        }
        #expect(failure?.kind == .invalidInput)
    }

    @Test func takesBlobsAndNamesWhatIsComplete() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let local = LocalStore(store)
        let content = Data("layer".utf8)
        let digest = Digest.of(content)
        let layer = Descriptor(mediaType: MediaType.layer, digest: digest, size: 5)
        #expect(try await local.missing([layer]) == [layer])
        let config = try await store.put(Data("{}".utf8), mediaType: MediaType.config)
        let manifest = ImageManifest(config: config, layers: [layer])
        let image = try await store.put(canonicalJSON(manifest), mediaType: MediaType.manifest)
        let reference = try Reference("demo:v1")
        let failure = await #expect(throws: Failure.self) { try await local.name(image, as: reference) }
        #expect(failure?.kind == .notFound)
        #expect(failure?.what.contains("\(digest)") == true)
        let ingest = try await local.ingest(layer)
        try content.withUnsafeBytes { try ingest.write($0) }
        try ingest.complete()
        try await local.name(image, as: reference)
        #expect(try await store.resolve(reference)?.digest == image.digest)
        #expect(try await local.missing([layer]) == [])
    }
}
