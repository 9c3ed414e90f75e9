import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@Suite("The store")
struct ImageStoreTests {
    @Test("is a valid image layout from its birth")
    func layout() async throws {
        let scratch = try Scratch()
        let root = scratch.path.appending("store")
        _ = try await ImageStore.open(root)
        #expect(try readFile(root.appending("oci-layout")) == Data(#"{"imageLayoutVersion":"1.0.0"}"#.utf8))
        let index = try Document(readFile(root.appending("index.json")), mediaType: MediaType.index)
        #expect(index.references.isEmpty)
        _ = try await ImageStore.open(root)
    }

    @Test("does not take a folder with other things over")
    func foreignFolder() async throws {
        let scratch = try Scratch()
        try AtomicFile.write(Array("x".utf8), to: scratch.path.appending("letter.txt"))
        let path = scratch.path
        await #expect(throws: Failure.self) { try await ImageStore.open(path) }
        #expect(try Folder.names(in: scratch.path) == ["letter.txt"])
    }

    @Test("keeps a blob under its digest and gives it back")
    func putAndRead() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let bytes = Data("hello".utf8)
        let blob = try await store.put(bytes, mediaType: "text/plain")
        #expect(blob.digest.hex == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
        #expect(try await store.bytes(of: blob) == bytes)
        #expect(try Folder.names(in: scratch.path.appending("ingest")) == [])
    }

    @Test(
        "refuses bytes that are not what was announced, and keeps nothing of them",
        arguments: [
            ("hellO", 5), ("hell", 5), ("hello!", 5),
        ])
    func wrongBytes(text: String, size: Int64) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let expected = Descriptor(mediaType: "text/plain", digest: .of(Data("hello".utf8)), size: size)
        let ingest = try await store.ingest(expected)
        let failure = #expect(throws: Failure.self) {
            try Array(text.utf8).withUnsafeBytes { try ingest.write($0) }
            try ingest.commit()
        }
        #expect(failure?.kind == .integrity)
        ingest.abandon()
        #expect(try await store.size(of: expected.digest) == nil)
        #expect(try Folder.names(in: scratch.path.appending("ingest")) == [])
    }

    @Test("notices a blob that was changed on disk")
    func changedBlob() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let blob = try await store.put(Data("hello".utf8), mediaType: "text/plain")
        try AtomicFile.write(Array("hellO".utf8), to: store.path(of: blob.digest))
        let failure = await #expect(throws: Failure.self) { try await store.bytes(of: blob) }
        #expect(failure?.kind == .integrity)
    }

    @Test("moves a name, says what it stood for, and forgets it")
    func names() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let name = try Reference("example.org/a:1")
        let first = try await store.put(Data("1".utf8), mediaType: MediaType.index)
        let second = try await store.put(Data("2".utf8), mediaType: MediaType.index)
        #expect(try await store.tag(first, as: name) == nil)
        #expect(try await store.tag(second, as: name)?.digest == first.digest)
        #expect(try await store.resolve(name)?.digest == second.digest)
        #expect(try await store.names().count == 1)
        #expect(try await store.untag(name)?.digest == second.digest)
        #expect(try await store.resolve(name) == nil)
    }

    @Test("takes a name away only from what it was seen to stand for, and gives no name of another digest")
    func movedNames() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let name = try Reference("example.org/a:1")
        let first = try await store.put(Data("1".utf8), mediaType: MediaType.index)
        let second = try await store.put(Data("2".utf8), mediaType: MediaType.index)
        try await store.tag(second, as: name)
        #expect(try await store.untag(name, ifStandsFor: first.digest) == nil)
        #expect(try await store.resolve(name)?.digest == second.digest)
        let lie = try Reference("example.org/a@\(first.digest)")
        let failure = await #expect(throws: Failure.self) { try await store.tag(second, as: lie) }
        #expect(failure?.kind == .integrity)
        #expect(try await store.untag(name, ifStandsFor: second.digest)?.digest == second.digest)
    }

    @Test("garbage collection leaves what is no blob alone")
    func foreignAmongBlobs() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        try Folder.make(scratch.path.appending("blobs/sha256/a-folder"))
        let loose = try await store.put(Data("loose".utf8), mediaType: "text/plain")
        #expect(try await store.collectGarbage().blobs == 1)
        #expect(try await store.size(of: loose.digest) == nil)
        #expect(Folder.exists(scratch.path.appending("blobs/sha256/a-folder")))
    }

    @Test("does not name what it does not have")
    func tagMissing() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let absent = Descriptor(mediaType: MediaType.index, digest: .of(Data("x".utf8)), size: 1)
        await #expect(throws: Failure.self) { try await store.tag(absent, as: Reference("example.org/a:1")) }
        #expect(try await store.names().isEmpty)
    }

    @Test("collects what no name leads to, and waits while somebody adds blobs")
    func garbage() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let layer = try await store.put(Data("layer".utf8), mediaType: MediaType.layer)
        let config = try await store.put(Data("{}".utf8), mediaType: MediaType.empty)
        let manifest = try await store.put(
            canonicalJSON(ImageManifest(config: config, layers: [layer])),
            mediaType: MediaType.manifest
        )
        try await store.tag(manifest, as: Reference("example.org/a:1"))
        let loose = try await store.put(Data("loose".utf8), mediaType: "text/plain")
        let session = try await store.session()
        let failure = await #expect(throws: Failure.self) {
            try await store.collectGarbage(limit: .milliseconds(50))
        }
        #expect(failure?.kind == .conflict)
        session.end()
        let collected = try await store.collectGarbage()
        #expect(collected.blobs == 1)
        #expect(collected.bytes == 5)
        #expect(try await store.size(of: loose.digest) == nil)
        for kept in [layer, config, manifest] { #expect(try await store.size(of: kept.digest) == kept.size) }
    }

    @Test("two writers of one blob do not disturb each other")
    func concurrentIngest() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let bytes = Data((0..<300_000).map { UInt8(truncatingIfNeeded: $0) })
        let descriptor = Descriptor(mediaType: "x/y", digest: .of(bytes), size: Int64(bytes.count))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    let ingest = try await store.ingest(descriptor)
                    try await BlockingPool.shared.run {
                        try bytes.withUnsafeBytes { try ingest.write($0) }
                        try ingest.commit()
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try await store.bytes(of: descriptor) == bytes)
    }
}
