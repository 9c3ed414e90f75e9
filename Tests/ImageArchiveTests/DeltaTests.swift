import Archive
import FoundationEssentials
import ImageArchive
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@Suite("Archives that leave out what the other side has")
struct DeltaTests {
    /// Two versions of an image that share a layer, and the whole archive of the first.
    private struct Setting {
        var store: ImageStore
        var first: Descriptor
        var second: Descriptor
        var whole: FilePath
        var secondImage: [ArchivedImage]
    }

    private func setting(in scratch: borrowing Scratch, _ compression: Compression = .none) async throws -> Setting {
        let store = try await ImageStore.new(in: scratch, "source")
        var maker = ImageMaker(store, seed: 11)
        let first = try await maker.image([400_000, 2000], .none)
        // The same seed again: the first layer is the same, the second is another.
        maker.random = SeededGenerator(seed: 11)
        let second = try await maker.image([400_000, 3000], .none)
        try await store.tag(first, as: Reference("example.org/a:1"))
        try await store.tag(second, as: Reference("example.org/a:2"))
        let whole = scratch.path.appending("first.tar")
        _ = try await ArchiveWriter(store: store).save(
            [ArchivedImage(names: [try Reference("example.org/a:1")], descriptor: first)], to: .file(whole),
            options: ArchiveOptions(compression: compression))
        let images = [ArchivedImage(names: [try Reference("example.org/a:2")], descriptor: second)]
        return Setting(store: store, first: first, second: second, whole: whole, secondImage: images)
    }

    @Test(
        "are made against an image, an archive or a list", arguments: ["image", "archive", "packed", "list", "parts"])
    func delta(against kind: String) async throws {
        let scratch = try Scratch()
        let setting = try await setting(in: scratch, kind == "packed" ? .zstd : .none)
        let argument: String
        switch kind {
        case "image": argument = "example.org/a:1"
        case "list":
            let digests = try await setting.store.closure(of: setting.first).map(\.digest.description)
            argument = scratch.path.appending("list.txt").string
            try write(Array("# what they have\n\n\(digests.joined(separator: "\n"))\n".utf8), to: FilePath(argument))
        case "parts":
            argument = scratch.path.appending("p.tar.part002").string
            _ = try await ArchiveWriter(store: setting.store).save(
                [ArchivedImage(names: [try Reference("example.org/a:1")], descriptor: setting.first)],
                to: .parts(scratch.path.appending("p.tar"), size: 65_536))
        default: argument = setting.whole.string
        }
        let path = scratch.path.appending("delta.tar")
        let base = try await ArchiveBase.find(argument, in: setting.store)
        let saved = try await ArchiveWriter(store: setting.store).save(
            setting.secondImage, to: .file(path), options: ArchiveOptions(base: base))
        #expect(saved.omitted == 1)
        #expect(saved.omittedSize > 400_000)
        #expect(saved.size < 100_000)
        #expect(saved.dockerNames.isEmpty)
        // A store that has nothing names the blob that is missing, and stays as it is.
        let empty = try await ImageStore.new(in: scratch, "empty")
        let failure = await #expect(throws: Failure.self) { try await ArchiveLoader(store: empty).load(.file(path)) }
        #expect(failure?.kind == .notFound)
        let shared = try await Set(setting.store.closure(of: setting.first).map(\.digest))
            .intersection(setting.store.closure(of: setting.second).map(\.digest))
        let digest = try #require(shared.first)
        #expect(shared.count == 1)
        #expect(failure?.what.contains(digest.description) == true)
        #expect(try await empty.names().isEmpty)
        #expect(try empty.blobNames().isEmpty)
        // One that has the first image gets the second.
        _ = try await ArchiveLoader(store: empty).load(.file(setting.whole))
        let loaded = try await ArchiveLoader(store: empty).load(.file(path))
        #expect(loaded.images == setting.secondImage)
        #expect(try await empty.summary() == setting.store.summary())
        try await empty.expectSound()
    }

    @Test("count for the next one: what a delta left out is there too")
    func chain() async throws {
        let scratch = try Scratch()
        let setting = try await setting(in: scratch)
        let delta = scratch.path.appending("delta.tar")
        _ = try await ArchiveWriter(store: setting.store).save(
            setting.secondImage, to: .file(delta), options: ArchiveOptions(base: .image(setting.first)))
        let next = scratch.path.appending("next.tar")
        let saved = try await ArchiveWriter(store: setting.store).save(
            setting.secondImage, to: .file(next), options: ArchiveOptions(base: .archive(.file(delta))))
        #expect(saved.blobs == 0)
        let target = try await ImageStore.new(in: scratch, "target")
        for path in [setting.whole, delta, next] { _ = try await ArchiveLoader(store: target).load(.file(path)) }
        #expect(try await target.summary() == setting.store.summary())
    }

    @Test("that lack the document of what they lack still name it")
    func withoutDocument() async throws {
        let scratch = try Scratch()
        let small = try SmallImage()
        let archive = try HandMade().layout().file("index.json", small.index).blob(small.manifest).blob(small.config)
            .bytes()
        let store = try await ImageStore.new(in: scratch)
        let failure = await #expect(throws: Failure.self) { try await load(archive, into: store, in: scratch) }
        #expect(failure?.kind == .notFound)
        #expect(failure?.what.contains(Digest.of(small.layer).description) == true)
        #expect(try store.blobNames().isEmpty)
    }

    @Test("are made against something that is there")
    func badBases() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        let neither = await #expect(throws: Failure.self) { try await ArchiveBase.find("nothing", in: store) }
        #expect(neither?.kind == .notFound)
        let list = scratch.path.appending("list.txt")
        try write(Array("sha256:1234\n".utf8), to: list)
        var maker = ImageMaker(store, seed: 1)
        let images = [ArchivedImage(names: [try Reference("a")], descriptor: try await maker.image([1]))]
        let base = try await ArchiveBase.find(list.string, in: store)
        let target = scratch.path.appending("a.tar")
        let invalid = await #expect(throws: InvalidText.self) {
            try await ArchiveWriter(store: store).save(images, to: .file(target), options: ArchiveOptions(base: base))
        }
        #expect(invalid?.diagnostics.first?.line == 1)
        // A cut archive does not tell what the other side has.
        let whole = scratch.path.appending("whole.tar")
        _ = try await ArchiveWriter(store: store).save(images, to: .file(whole))
        let cut = scratch.path.appending("cut.tar")
        try write(Array(try bytes(whole).dropLast(1024 + 400)), to: cut)
        let failure = await #expect(throws: Failure.self) {
            try await ArchiveWriter(store: store).save(
                images, to: .file(target), options: ArchiveOptions(base: .archive(.file(cut))))
        }
        #expect(failure?.kind == .integrity)
    }
}
