import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@Suite("The check of a store")
struct StoreCheckTests {
    /// A store with one ClusterImage that contains one image.
    private struct Sample {
        let store: ImageStore
        let layer: Descriptor
        let manifest: Descriptor
        let name: Reference

        init(in root: FilePath) async throws {
            store = try await ImageStore.open(root)
            layer = try await store.put(Data("a layer".utf8), mediaType: MediaType.layer)
            let config = try await store.put(Data("{}".utf8), mediaType: MediaType.config)
            manifest = try await store.put(
                canonicalJSON(ImageManifest(config: config, layers: [layer])), mediaType: MediaType.manifest)
            var member = manifest
            member.annotations = [
                AnnotationKey.content: "image", AnnotationKey.imageName: "docker.io/library/nginx:1.25",
            ]
            let index = try await store.put(
                canonicalJSON(ImageIndex(artifactType: MediaType.clusterImage, manifests: [member])),
                mediaType: MediaType.index)
            name = try Reference("example.org/shop:1")
            try await store.tag(index, as: name)
        }
    }

    @Test("finds nothing wrong with a good store")
    func clean() async throws {
        let scratch = try Scratch()
        let sample = try await Sample(in: scratch.path)
        let check = try await sample.store.check()
        #expect(check.isClean)
        #expect(check.blobs == 4)
        #expect(check.images == 1)
    }

    @Test(
        "names a blob that is damaged, who needs it, and where it came from",
        arguments: [
            (StoreDamage.Kind.missing, nil), (.truncated, "a lay"), (.changed, "a Layer"),
        ] as [(StoreDamage.Kind, String?)])
    func damaged(kind: StoreDamage.Kind, content: String?) async throws {
        let scratch = try Scratch()
        let sample = try await Sample(in: scratch.path)
        let path = sample.store.path(of: sample.layer.digest)
        if let content { try AtomicFile.write(Array(content.utf8), to: path) } else { try Folder.delete(path) }
        let damages = try await sample.store.check().damages
        #expect(damages.count == 1)
        let damage = try #require(damages.first)
        #expect(damage.kind == kind)
        #expect(damage.path == sample.layer.digest.layoutPath)
        #expect(damage.images == ["example.org/shop:1"])
        #expect(damage.sources == ["docker.io/library/nginx:1.25", "example.org/shop:1"])
        #expect(damage.blob?.size == 7)
    }

    @Test("follows a document also when it was listed as mere bytes before")
    func documentAsBytes() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let layer = try await store.put(Data("a layer".utf8), mediaType: MediaType.layer)
        let config = try await store.put(Data("{}".utf8), mediaType: MediaType.config)
        let manifest = try await store.put(
            canonicalJSON(ImageManifest(config: config, layers: [layer])), mediaType: MediaType.manifest)
        let carrier = try await store.put(
            canonicalJSON(ImageManifest(config: config, layers: [manifest])), mediaType: MediaType.manifest)
        let inner = try await store.put(
            canonicalJSON(ImageIndex(manifests: [manifest])), mediaType: MediaType.index)
        let index = try await store.put(
            canonicalJSON(ImageIndex(manifests: [carrier, inner])), mediaType: MediaType.index)
        try await store.tag(index, as: Reference("example.org/a:1"))
        try Folder.delete(store.path(of: layer.digest))
        #expect(try await store.check().damages.map(\.path) == [layer.digest.layoutPath])
    }

    @Test("names what is no blob, and a damaged one that nobody needs")
    func foreign() async throws {
        let scratch = try Scratch()
        let sample = try await Sample(in: scratch.path)
        let folder = scratch.path.appending("blobs").appending("sha256")
        try AtomicFile.write(Array("x".utf8), to: folder.appending("letter.txt"))
        let loose = try await sample.store.put(Data("loose".utf8), mediaType: "text/plain")
        try AtomicFile.write(Array("Loose".utf8), to: sample.store.path(of: loose.digest))
        let damages = try await sample.store.check().damages
        #expect(Set(damages.map(\.kind)) == [.foreign, .changed])
        #expect(damages.allSatisfy { $0.images.isEmpty })
    }

    @Test("garbage is only told in a dry run, and not touched where a named image is damaged")
    func garbage() async throws {
        let scratch = try Scratch()
        let sample = try await Sample(in: scratch.path)
        let loose = try await sample.store.put(Data("loose".utf8), mediaType: "text/plain")
        let told = try await sample.store.collectGarbage(dryRun: true)
        #expect(told == ImageStore.Garbage(blobs: 1, unfinished: 0, bytes: 5))
        #expect(try await sample.store.size(of: loose.digest) == 5)
        try Folder.delete(sample.store.path(of: sample.manifest.digest))
        let failure = await #expect(throws: Failure.self) { try await sample.store.collectGarbage() }
        #expect(failure?.kind == .integrity)
        #expect(failure?.remedy?.contains("fsck") == true)
        #expect(try await sample.store.size(of: loose.digest) == 5)
    }

    @Test("an image is found by name, digest and beginning of its digest")
    func selection() async throws {
        let scratch = try Scratch()
        let sample = try await Sample(in: scratch.path)
        let store = sample.store
        let digest = try #require(try await store.resolve(sample.name)).digest
        try await store.tag(try #require(try await store.resolve(sample.name)), as: Reference("example.org/shop:2"))
        #expect(try await store.select("example.org/shop:1").asked == sample.name)
        #expect(try await store.select("example.org/shop@\(digest)").asked == sample.name)
        for text in [digest.description, digest.hex, String(digest.hex.prefix(4)), "sha256:\(digest.short)"] {
            let image = try await store.select(text)
            #expect(image.asked == nil)
            #expect(image.names.map(\.tag) == ["1", "2"])
        }
        for text in ["example.org/shop:3", String(digest.hex.prefix(3)), "sha512:\(digest.short)", "zzzz"] {
            let failure = await #expect(throws: Failure.self) { try await store.select(text) }
            #expect(failure?.kind == .notFound, "\(text)")
        }
    }

    @Test("a beginning that several images have is refused with their names")
    func ambiguous() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        // Few hundred texts are enough for two digests that begin with the same four characters.
        var byPrefix: [String: [Descriptor]] = [:]
        var number = 0
        while !byPrefix.values.contains(where: { $0.count > 1 }) {
            let digest = Digest.of(Data("\(number)".utf8))
            byPrefix[String(digest.hex.prefix(4)), default: []].append(
                Descriptor(mediaType: MediaType.index, digest: digest, size: Int64("\(number)".utf8.count)))
            number += 1
        }
        let (prefix, twins) = try #require(byPrefix.first { $0.value.count > 1 })
        for (position, twin) in twins.enumerated() {
            let text = try #require((0..<number).first { Digest.of(Data("\($0)".utf8)) == twin.digest })
            try await store.put(Data("\(text)".utf8), mediaType: MediaType.index)
            try await store.tag(twin, as: Reference("example.org/a:\(position)"))
        }
        let failure = await #expect(throws: Failure.self) { try await store.select(prefix) }
        #expect(failure?.kind == .usage)
        #expect(failure?.what.contains("example.org/a:0") == true)
    }
}

@Suite("What a process left that died")
struct LeftoverTests {
    @Test("in a store that it was making is no foreign thing, and goes with the garbage")
    func half() async throws {
        let scratch = try Scratch()
        try AtomicFile.write(Array("{".utf8), to: scratch.path.appending(".index.json.1.2"))
        try AtomicFile.write(Array("{".utf8), to: scratch.path.appending(".oci-layout.1.2"))
        let store = try await ImageStore.open(scratch.path)
        #expect(try await store.collectGarbage().unfinished == 2)
        #expect(try Folder.names(in: scratch.path).allSatisfy { !$0.hasPrefix(".") })
    }
}
