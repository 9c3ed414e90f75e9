import Archive
import FoundationEssentials
import ImageArchive
import ImageStore
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@Suite("Names of loaded images")
struct NamesTests {
    private func archive(_ entries: [(image: SmallImage, annotations: [String: String])]) throws -> [UInt8] {
        let hand = try HandMade().layout()
        let index = try SmallImage.index(
            entries.map { image, annotations in
                var descriptor = image.manifestDescriptor
                descriptor.annotations = annotations
                return descriptor
            })
        try hand.file("index.json", index)
        for (image, _) in entries {
            for content in [image.manifest, image.config, image.layer] { try hand.blob(content) }
        }
        return try hand.bytes()
    }

    @Test(
        "come from the archive, or from the argument",
        arguments: [
            (["org.opencontainers.image.ref.name": "example.org/a/b:1"], nil, "example.org/a/b:1"),
            (["org.opencontainers.image.ref.name": "busybox:1.36"], nil, "docker.io/library/busybox:1.36"),
            (
                [
                    "org.opencontainers.image.ref.name": "1.36",
                    "io.containerd.image.name": "docker.io/library/busybox:1.36",
                ],
                nil, "docker.io/library/busybox:1.36"
            ),
            (["org.opencontainers.image.ref.name": "1.36"], "example.org/a", "example.org/a:1.36"),
            (["org.opencontainers.image.ref.name": "1.36"], "example.org/a:2", "example.org/a:2"),
            (["org.opencontainers.image.ref.name": "x/y:3"], "localhost:5000/a", "localhost:5000/a:3"),
            ([:], "example.org/a", "example.org/a:latest"),
            ([:], "example.org:5000/a:7", "example.org:5000/a:7"),
        ] as [([String: String], String?, String)])
    func names(annotations: [String: String], given: String?, expected: String) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        let image = try SmallImage()
        let loaded = try await load(try archive([(image, annotations)]), into: store, in: scratch, name: given)
        #expect(loaded.images.map(\.names) == [[try Reference(expected)]])
        #expect(try await store.names().map(\.reference) == [try Reference(expected)])
        #expect(try await store.resolve(try Reference(expected))?.digest == image.manifestDescriptor.digest)
    }

    @Test(
        "that nobody tells are asked for",
        arguments: [[:], ["org.opencontainers.image.ref.name": "latest"]] as [[String: String]])
    func untold(annotations: [String: String]) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        let bytes = try archive([(try SmallImage(), annotations)])
        let failure = await #expect(throws: Failure.self) { try await load(bytes, into: store, in: scratch) }
        #expect(failure?.kind == .usage)
        #expect(try store.blobNames().isEmpty)
    }

    @Test(
        "that are none are refused",
        arguments: ["../x/y", "a//b:1", "example.org/UPPER:1", "a/b:\u{1b}[31m", "sha256:../x"])
    func hostileNames(name: String) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        let bytes = try archive([(try SmallImage(), ["org.opencontainers.image.ref.name": name])])
        await #expect(throws: Failure.self) { try await load(bytes, into: store, in: scratch) }
        #expect(try await store.names().isEmpty)
        #expect(try store.blobNames().isEmpty)
    }

    @Test("of several images: one for all is refused, a repository for tags is not")
    func several() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        let key = "org.opencontainers.image.ref.name"
        let bytes = try archive([(try SmallImage(text: "1"), [key: "1"]), (try SmallImage(text: "2"), [key: "2"])])
        let failure = await #expect(throws: Failure.self) {
            try await load(bytes, into: store, in: scratch, name: "a:1")
        }
        #expect(failure?.kind == .usage)
        let loaded = try await load(bytes, into: store, in: scratch, name: "example.org/a")
        #expect(loaded.images.flatMap(\.names).map(\.description) == ["example.org/a:1", "example.org/a:2"])
        let same = try archive([(try SmallImage(text: "1"), [key: "b:1"]), (try SmallImage(text: "2"), [key: "b:1"])])
        let conflict = await #expect(throws: Failure.self) { try await load(same, into: store, in: scratch) }
        #expect(conflict?.kind == .conflict)
        #expect(try await store.names().count == 2)
    }

    @Test("that were taken from another image are told")
    func replaced() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        let key = "org.opencontainers.image.ref.name"
        let (old, new) = (try SmallImage(text: "old"), try SmallImage(text: "new"))
        _ = try await load(try archive([(old, [key: "a:1"])]), into: store, in: scratch)
        let loaded = try await load(try archive([(new, [key: "a:1"])]), into: store, in: scratch)
        #expect(loaded.replaced.map(\.name) == [try Reference("a:1")])
        #expect(loaded.replaced.map(\.previous.digest) == [old.manifestDescriptor.digest])
    }
}
