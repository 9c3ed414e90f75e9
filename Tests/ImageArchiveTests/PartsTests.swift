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

@Suite("Archives in parts")
struct PartsTests {
    private func save(
        in scratch: borrowing Scratch, _ compression: Compression = .none, size: Int = 500_000
    ) async throws -> (store: ImageStore, files: [FilePath]) {
        let store = try await ImageStore.new(in: scratch, "source")
        var maker = ImageMaker(store, seed: 21)
        try await store.tag(try await maker.image([size, 100, 70_000]), as: Reference("example.org/p:1"))
        let folder = scratch.path.appending("out")
        try Folder.make(folder)
        let saved = try await ArchiveWriter(store: store).save(
            try await store.all(), to: .parts(folder.appending("a.tar"), size: 65_536),
            options: ArchiveOptions(compression: compression))
        return (store, saved.files)
    }

    @Test("hold at most the size, and load in any order", arguments: Compression.allCases)
    func roundTrip(compression: Compression) async throws {
        let scratch = try Scratch()
        let (store, files) = try await save(in: scratch, compression)
        #expect(files.count > 3)
        #expect(
            try Folder.names(in: scratch.path.appending("out"))
                == files.compactMap { $0.lastComponent?.string }.sorted())
        for file in files.dropLast().dropLast() { #expect(try bytes(file).count == 65_536) }
        let joined = try files.dropLast().flatMap { try bytes($0) }
        let whole = scratch.path.appending("whole.tar")
        _ = try await ArchiveWriter(store: store).save(
            try await store.all(), to: .file(whole), options: ArchiveOptions(compression: compression))
        #expect(try bytes(whole) == joined)
        var random = SeededGenerator(seed: 4)
        for given in [
            files.shuffled(using: &random), [files[1]], [try #require(files.last)], Array(files.dropLast().reversed()),
        ] {
            let target = try await ImageStore.new(in: scratch, "target-\(UInt64.random(in: 0...UInt64.max))")
            _ = try await ArchiveLoader(store: target).load(try ArchiveInput(given))
            #expect(try await target.summary() == store.summary())
        }
    }

    @Test(
        "that are missing, cut or changed are named, and nothing is loaded", arguments: ["missing", "cut", "changed"])
    func damage(kind: String) async throws {
        let scratch = try Scratch()
        let (_, files) = try await save(in: scratch)
        let bad = files[2]
        switch kind {
        case "missing": unlink(bad.string)
        case "cut": try write(Array(try bytes(bad).dropLast()), to: bad)
        default:
            var content = try bytes(bad)
            content[1000] ^= 1
            try write(content, to: bad)
        }
        let target = try await ImageStore.new(in: scratch, "target")
        let failure = await #expect(throws: Failure.self) {
            try await ArchiveLoader(store: target).load(
                try ArchiveInput(files.filter { $0 != bad || kind != "missing" }))
        }
        #expect(failure?.place == bad.string)
        #expect(failure?.kind == (kind == "missing" ? .notFound : .integrity))
        #expect(try await target.names().isEmpty)
        #expect(try target.blobNames().isEmpty)
    }

    @Test("need their list, which leads nowhere else")
    func list() async throws {
        let scratch = try Scratch()
        let (_, files) = try await save(in: scratch)
        let target = try await ImageStore.new(in: scratch, "target")
        let list = try #require(files.last)
        let content = String(decoding: try bytes(list), as: UTF8.self)
        let foreign = scratch.path.appending("out/a.tar.part999")
        try write([1], to: foreign)
        let stranger = await #expect(throws: Failure.self) {
            try await ArchiveLoader(store: target).load(try ArchiveInput(files + [foreign]))
        }
        #expect(stranger?.place == foreign.string)
        try write(Array(content.replacing("a.tar.part001", with: "../a.tar.part001").utf8), to: list)
        let hostile = await #expect(throws: Failure.self) {
            try await ArchiveLoader(store: target).load(try ArchiveInput(files))
        }
        #expect(hostile?.kind == .integrity)
        unlink(list.string)
        let lacking = await #expect(throws: Failure.self) {
            try await ArchiveLoader(store: target).load(try ArchiveInput(Array(files.dropLast())))
        }
        #expect(lacking?.kind == .notFound)
        #expect(lacking?.place == list.string)
    }

    @Test("of an older, longer archive go")
    func shorter() async throws {
        let scratch = try Scratch()
        let (_, files) = try await save(in: scratch)
        let other = try await ImageStore.new(in: scratch, "other")
        var maker = ImageMaker(other, seed: 22)
        try await other.tag(try await maker.image([100]), as: Reference("example.org/q:1"))
        let saved = try await ArchiveWriter(store: other).save(
            try await other.all(), to: .parts(scratch.path.appending("out/a.tar"), size: 65_536))
        #expect(saved.files.count == 2)
        #expect(files.count > 2)
        #expect(try Folder.names(in: scratch.path.appending("out")) == ["a.tar.part001", "a.tar.parts"])
    }

    @Test("of senseless sizes are refused")
    func tooSmall() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        var maker = ImageMaker(store, seed: 23)
        let images = [ArchivedImage(names: [try Reference("a")], descriptor: try await maker.image([1]))]
        let path = scratch.path.appending("a.tar")
        let failure = await #expect(throws: Failure.self) {
            try await ArchiveWriter(store: store).save(images, to: .parts(path, size: 4))
        }
        #expect(failure?.kind == .usage)
    }
}
