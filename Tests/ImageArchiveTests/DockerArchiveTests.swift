import Archive
import FoundationEssentials
import ImageArchive
import ImageStore
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@Suite("docker-archives")
struct DockerArchiveTests {
    private func expectImage(
        _ archive: [UInt8], is image: SmallImage, layer: Data? = nil, type: String = MediaType.layer,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        let loaded = try await load(archive, into: store, in: scratch)
        #expect(loaded.images.flatMap(\.names) == [try Reference("example.org/d:1")], sourceLocation: sourceLocation)
        let descriptor = try #require(loaded.images.first?.descriptor, sourceLocation: sourceLocation)
        guard case .manifest(let manifest) = try await store.document(descriptor) else {
            Issue.record("no manifest", sourceLocation: sourceLocation)
            return
        }
        #expect(
            manifest.config == SmallImage.descriptor(image.config, MediaType.config), sourceLocation: sourceLocation)
        #expect(manifest.layers == [SmallImage.descriptor(layer ?? image.layer, type)], sourceLocation: sourceLocation)
        try await store.expectSound()
        // Nothing but the image stays.
        #expect(try await store.collectGarbage().blobs == 0, sourceLocation: sourceLocation)
    }

    private func hex(_ content: Data) -> String { Digest.of(content).hex }

    @Test("as docker save writes them, with the list last")
    func docker() async throws {
        let image = try SmallImage()
        let id = String(repeating: "ab", count: 32)
        let list = try image.dockerManifest(
            config: "\(hex(image.config)).json", layers: ["\(id)/layer.tar"], tags: ["example.org/d:1"])
        try await expectImage(
            try HandMade().entry(.folder, id).file("\(id)/VERSION", "1.0").file("\(id)/json", "{}")
                .file("\(id)/layer.tar", image.layer).file("\(hex(image.config)).json", image.config)
                .file("manifest.json", list).file("repositories", "{}").bytes(),
            is: image)
    }

    @Test("as skopeo and podman write them, with links for old readers, and with the list first")
    func skopeo() async throws {
        let image = try SmallImage()
        let name = "\(hex(image.layer)).tar"
        let list = try image.dockerManifest(
            config: "\(hex(image.config)).json", layers: [name], tags: ["example.org/d:1"])
        try await expectImage(
            try HandMade().file("manifest.json", list).file(name, image.layer)
                .file("\(hex(image.config)).json", image.config).entry(.symbolicLink, "old/layer.tar", to: "../\(name)")
                .bytes(),
            is: image)
    }

    @Test("with blobs named as in an image layout")
    func blobs() async throws {
        let image = try SmallImage()
        let list = try image.dockerManifest(
            config: Digest.of(image.config).layoutPath, layers: [Digest.of(image.layer).layoutPath],
            tags: ["example.org/d:1"])
        try await expectImage(
            try HandMade().blob(image.config).file("manifest.json", list).blob(image.layer).bytes(), is: image)
    }

    @Test("with links to earlier and later layers", arguments: [TarEntry.Kind.symbolicLink, .hardLink])
    func links(kind: TarEntry.Kind) async throws {
        let image = try SmallImage()
        let isHard = kind == .hardLink
        let list = try image.dockerManifest(config: "c.json", layers: ["one/layer.tar"], tags: ["example.org/d:1"])
        let earlier = try HandMade().entry(kind, "one/layer.tar", to: isHard ? "two/layer.tar" : "../two/layer.tar")
            .entry(kind, "two/layer.tar", to: isHard ? "three/layer.tar" : "./../three/./layer.tar")
        try await expectImage(
            try earlier.file("three/layer.tar", image.layer).file("c.json", image.config).file("manifest.json", list)
                .bytes(),
            is: image)
    }

    @Test("with packed layers, whose bytes are compared unpacked", arguments: [Compression.gzip, .zstd])
    func packed(compression: Compression) async throws {
        let image = try SmallImage()
        let sink = MemorySink()
        let encoder = try compression.encoder(into: sink)
        try encoder.write(Array(image.layer))
        try encoder.finish()
        let layer = Data(sink.bytes)
        func archive(_ layer: Data) throws -> [UInt8] {
            let list = try image.dockerManifest(
                config: "sha256:\(hex(image.config))", layers: ["l.tar.gz"], tags: ["example.org/d:1"])
            return try HandMade().file("sha256:\(hex(image.config))", image.config).file("l.tar.gz", layer)
                .file("manifest.json", list).bytes()
        }
        try await expectImage(
            try archive(layer), is: image, layer: layer,
            type: compression == .gzip ? MediaType.layerGzip : MediaType.layerZstd)
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        let other = MemorySink()
        let second = try compression.encoder(into: other)
        try second.write(Array("other".utf8))
        try second.finish()
        let bad = try archive(Data(other.bytes))
        let failure = await #expect(throws: Failure.self) { try await load(bad, into: store, in: scratch) }
        #expect(failure?.kind == .integrity)
    }

    @Test("with several names, of which a given repository keeps the tags")
    func severalNames() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        let image = try SmallImage()
        let list = try image.dockerManifest(config: "c.json", layers: ["l.tar"], tags: ["a:1", "localhost:5000/b:2"])
        let archive = try HandMade().file("l.tar", image.layer).file("c.json", image.config).file("manifest.json", list)
            .bytes()
        let loaded = try await load(archive, into: store, in: scratch)
        #expect(loaded.images.map(\.names) == [[try Reference("a:1"), try Reference("localhost:5000/b:2")]])
        let renamed = try await load(archive, into: store, in: scratch, name: "example.org/r")
        #expect(renamed.images.map(\.names) == [[try Reference("example.org/r:1"), try Reference("example.org/r:2")]])
        let nameless = try HandMade().file("l.tar", image.layer).file("c.json", image.config)
            .file("manifest.json", try image.dockerManifest(config: "c.json", layers: ["l.tar"], tags: nil)).bytes()
        let failure = await #expect(throws: Failure.self) { try await load(nameless, into: store, in: scratch) }
        #expect(failure?.kind == .usage)
        #expect(try await load(nameless, into: store, in: scratch, name: "n:1").images.count == 1)
    }

    @Test("with no layers at all")
    func empty() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        let config = #"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#
        let archive = try HandMade().file("c.json", config)
            .file("manifest.json", #"[{"Config":"c.json","RepoTags":["e:1"],"Layers":null}]"#).bytes()
        #expect(try await load(archive, into: store, in: scratch).images.count == 1)
        try await store.expectSound()
    }

    @Test("that are packed as a whole", arguments: Compression.allCases)
    func whole(compression: Compression) async throws {
        let image = try SmallImage()
        let list = try image.dockerManifest(config: "c.json", layers: ["l.tar"], tags: ["example.org/d:1"])
        let plain = try HandMade().file("l.tar", image.layer).file("c.json", image.config).file("manifest.json", list)
            .bytes()
        let sink = MemorySink()
        let encoder = try compression.encoder(into: sink)
        try encoder.write(plain)
        try encoder.finish()
        try await expectImage(sink.bytes, is: image)
    }

    @Test("whose layers the store has are not written again, and what a name promises is checked all the same")
    func hints() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        let image = try SmallImage()
        let name = "\(hex(image.layer)).tar"
        let list = try image.dockerManifest(
            config: "\(hex(image.config)).json", layers: [name], tags: ["example.org/d:1"])
        let archive = try HandMade().file("manifest.json", list).file(name, image.layer)
            .file("\(hex(image.config)).json", image.config).bytes()
        #expect(try await load(archive, into: store, in: scratch).added == 2)
        let again = try await load(archive, into: store, in: scratch)
        #expect(again.added == 0)
        #expect(again.present == 2)
        // The name of a blob of the store in front of another image's configuration.
        let other = try SmallImage(text: "b file")
        let wrong = try other.dockerManifest(config: "c.json", layers: [name], tags: ["example.org/e:1"])
        let bad = try HandMade().file(name, other.layer).file("c.json", other.config).file("manifest.json", wrong)
            .bytes()
        let failure = await #expect(throws: Failure.self) { try await load(bad, into: store, in: scratch) }
        #expect(failure?.kind == .integrity)
        #expect(try await store.names().count == 1)
        try await store.expectSound()
    }

    @Test(
        "that do not fit together are refused",
        arguments: ["layer", "config", "count", "missing", "loop", "out", "absolute", "noList", "device"])
    func damage(kind: String) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        let image = try SmallImage()
        var config = "c.json"
        var layers = ["l.tar"]
        let hand = HandMade()
        switch kind {
        case "layer": try hand.file("l.tar", "not the layer")
        case "config":
            config = "\(hex(image.layer)).json"
            try hand.file("l.tar", image.layer).file(config, image.config)
        case "count":
            layers = ["l.tar", "l.tar"]
            try hand.file("l.tar", image.layer)
        case "missing": layers = ["other.tar"]
        case "loop": try hand.entry(.symbolicLink, "l.tar", to: "m.tar").entry(.symbolicLink, "m.tar", to: "l.tar")
        case "out": try hand.entry(.symbolicLink, "l.tar", to: "../../etc/passwd")
        case "absolute": try hand.entry(.symbolicLink, "l.tar", to: "/etc/passwd")
        case "device": try hand.entry(.characterDevice, "l.tar")
        default: try hand.file("l.tar", image.layer)
        }
        if kind != "config" { try hand.file("c.json", image.config) }
        if kind != "noList" {
            try hand.file("manifest.json", try image.dockerManifest(config: config, layers: layers, tags: ["e:1"]))
        }
        let archive = try hand.bytes()
        let failure = await #expect(throws: Failure.self) { try await load(archive, into: store, in: scratch) }
        #expect(failure?.kind == (kind == "noList" ? .invalidInput : .integrity))
        #expect(try await store.names().isEmpty)
        #expect(try store.blobNames().isEmpty)
    }
}
