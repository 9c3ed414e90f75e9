import Archive
import FoundationEssentials
import Glibc
import ImageArchive
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@Suite("Hostile documents in archives")
struct HostileDocumentTests {
    @Test("documents that are nested too deep, or lead to themselves")
    func nesting() async throws {
        let image = try SmallImage()
        let hand = try HandMade().layout().blob(image.manifest).blob(image.config).blob(image.layer)
        var descriptor = image.manifestDescriptor
        for _ in 0..<3 {
            let index = try SmallImage.index([descriptor])
            try hand.blob(index)
            descriptor = SmallImage.descriptor(index, MediaType.index)
        }
        try hand.file("index.json", try SmallImage.index([SmallImage.named(descriptor, "example.org/deep:1")]))
        try await refused(try hand.bytes(), saying: "nested")
        // No index can hold its own digest; one that says so is refused for its bytes.
        let own = Descriptor(mediaType: MediaType.index, digest: .of(Data("self".utf8)), size: 300)
        let cycle = try SmallImage.index([own])
        let archive = try HandMade().layout().file(own.digest.layoutPath, cycle)
            .file("index.json", try SmallImage.index([SmallImage.named(own, "example.org/self:1")])).bytes()
        try await refused(archive)
        // The same one many times is one.
        let wide = try SmallImage.index([SmallImage](repeating: image, count: 1000).map(\.manifestDescriptor))
        let honest = try HandMade().layout().blob(image.manifest).blob(image.config).blob(image.layer).blob(wide)
            .file(
                "index.json",
                try SmallImage.index([SmallImage.named(SmallImage.descriptor(wide, MediaType.index), "w:1")])
            ).bytes()
        try await refused(honest, limits: ArchiveLimits(references: 500), saying: "500 references")
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        #expect(try await load(honest, into: store, in: scratch).images.count == 1)
    }

    @Test(
        "documents that are not what they should be",
        arguments: [
            "confusion", "size", "sizes", "type", "json", "noLayout", "oldLayout", "empty", "negative", "mediaType",
        ])
    func documents(kind: String) async throws {
        let image = try SmallImage()
        var manifest = image.manifest
        var index: Data?
        var extra: [Data] = []
        var layout = #"{"imageLayoutVersion":"1.0.0"}"#
        var descriptor: Descriptor?
        let text = String(decoding: image.manifest, as: UTF8.self)
        switch kind {
        case "confusion": manifest = Data(text.replacing("{\"config\"", with: "{\"manifests\":[],\"config\"").utf8)
        case "size":
            descriptor = Descriptor(
                mediaType: MediaType.manifest, digest: .of(manifest), size: Int64(manifest.count - 1))
        case "sizes":
            // Two references to one blob that differ in the size.
            let other = try canonicalJSON(
                ImageManifest(
                    config: SmallImage.descriptor(image.config, MediaType.config),
                    layers: [Descriptor(mediaType: MediaType.layer, digest: .of(image.layer), size: 7)]))
            extra = [other]
            index = try SmallImage.index([
                SmallImage.named(image.manifestDescriptor, "a:1"),
                SmallImage.named(SmallImage.descriptor(other, MediaType.manifest), "b:1"),
            ])
        case "type":
            descriptor = Descriptor(
                mediaType: "application/octet-stream", digest: .of(manifest), size: Int64(manifest.count))
        case "json": index = Data("{\"schemaVersion\":2,\"manifests\":[".utf8)
        case "noLayout": layout = ""
        case "oldLayout": layout = #"{"imageLayoutVersion":"2.0.0"}"#
        case "empty": index = try SmallImage.index([])
        case "negative": manifest = Data(text.replacing("\"size\":\(image.layer.count)", with: "\"size\":-1").utf8)
        default: manifest = Data(text.replacing("image.manifest.v1+json", with: "image.index.v1+json").utf8)
        }
        let named = SmallImage.named(
            descriptor ?? SmallImage.descriptor(manifest, MediaType.manifest), "example.org/a:1")
        let hand = HandMade()
        if !layout.isEmpty { try hand.file("oci-layout", layout) }
        try hand.file("index.json", try index ?? SmallImage.index([named]))
        for content in [manifest, image.config, image.layer] + extra { try hand.blob(content) }
        let archive = try hand.bytes()
        // A document in another size than announced is one that is not there.
        try await refused(archive, kind == "size" ? .notFound : .integrity)
    }

    @Test("a delta that lies about what it leaves out, or is of another version")
    func deltas() async throws {
        let image = try SmallImage()
        func archive(_ delta: String) throws -> [UInt8] {
            try HandMade().layout().file("index.json", image.index).file("sealer-delta.json", delta).blob(
                image.manifest
            )
            .blob(image.config).bytes()
        }
        try await refused(
            try archive(#"{"formatVersion":1,"omitted":[]}"#), .notFound, saying: Digest.of(image.layer).description)
        try await refused(try archive(#"{"formatVersion":2,"omitted":[]}"#), .invalidInput)
        try await refused(try archive(#"{"formatVersion":1,"omitted":[{"digest":"sha256:../x","size":1}]}"#))
        try await refused(try archive("[]"))
    }
}
