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

@Suite("Hostile and damaged archives")
struct HostileArchiveTests {
    @Test("the honest one of these tests loads, in any order of its entries")
    func anyOrder() async throws {
        let image = try SmallImage()
        let entries: [(String, Data)] = [
            ("oci-layout", Data(#"{"imageLayoutVersion":"1.0.0"}"#.utf8)), ("index.json", image.index),
            (Digest.of(image.manifest).layoutPath, image.manifest), (Digest.of(image.config).layoutPath, image.config),
            (Digest.of(image.layer).layoutPath, image.layer),
        ]
        var random = SeededGenerator(seed: 12)
        for _ in 0..<6 {
            let hand = HandMade()
            for (name, content) in entries.shuffled(using: &random) {
                try hand.file(Bool.random() ? name : "./\(name)", content)
            }
            let scratch = try Scratch()
            let store = try await ImageStore.new(in: scratch)
            let loaded = try await load(try hand.bytes(), into: store, in: scratch)
            #expect(loaded.images.map(\.descriptor) == [image.manifestDescriptor])
            try await store.expectSound()
        }
    }

    @Test(
        "names that lead out of the archive",
        arguments: ["../x", "a/../../x", "/etc/x", "blobs/sha256/../../../x", "./../x", "blobs/../index.json"])
    func traversal(name: String) async throws {
        try await refused(try SmallImage().handMade().file(name, "x").bytes())
    }

    @Test(
        "blobs whose names are no digests",
        arguments: [
            "blobs/sha256/abc", "blobs/sha256/\(String(repeating: "A", count: 64))",
            "blobs/md5/\(String(repeating: "a", count: 32))",
            "blobs/sha256/\(String(repeating: "a", count: 65))",
            "blobs/sha256/\(String(repeating: "a", count: 63))\u{7f}",
            "blobs/sha256/x/\(String(repeating: "a", count: 64))", "blobs/readme",
            "blobs/sha256/\(String(repeating: "é", count: 32))",
        ])
    func digestNames(name: String) async throws {
        try await refused(try SmallImage().handMade().file(name, "x").bytes(), saying: "no digest")
    }

    @Test("blobs whose bytes are not those of their digest")
    func wrongBytes() async throws {
        let image = try SmallImage()
        var changed = image.layer
        changed[600] ^= 1
        let archive = try HandMade().layout().file("index.json", image.index).blob(image.manifest).blob(image.config)
            .file(Digest.of(image.layer).layoutPath, changed).bytes()
        try await refused(archive, saying: Digest.of(image.layer).description)
    }

    @Test(
        "links and other things where files must be",
        arguments: [
            (TarEntry.Kind.symbolicLink, "index.json"), (.hardLink, "index.json"), (.symbolicLink, "manifest.json"),
            (.symbolicLink, "oci-layout"), (.symbolicLink, "blobs/sha256/\(String(repeating: "a", count: 64))"),
            (.hardLink, "blobs/sha256/\(String(repeating: "a", count: 64))"), (.symbolicLink, "blobs/sha256"),
            (.fifo, "pipe"), (.characterDevice, "null"), (.blockDevice, "disk"), (.other(UInt8(ascii: "V")), "label"),
            (.fifo, "index.json"),
        ])
    func kinds(kind: TarEntry.Kind, name: String) async throws {
        let image = try SmallImage()
        let hand = try HandMade().layout().entry(kind, name, to: "/etc/passwd")
        for content in [image.manifest, image.config, image.layer] { try hand.blob(content) }
        if name != "index.json" { try hand.file("index.json", image.index) }
        try await refused(try hand.bytes())
    }

    @Test(
        "two entries of one name, also written differently", arguments: ["index.json", "./index.json", ".//index.json"])
    func duplicates(name: String) async throws {
        let other = try SmallImage(name: "example.org/other:1", text: "other")
        try await refused(try SmallImage().handMade().file(name, other.index).bytes(), saying: "two entries")
        let image = try SmallImage()
        try await refused(try SmallImage().handMade().blob(image.layer).bytes(), saying: "two entries")
    }

    @Test("cut anywhere")
    func truncated() async throws {
        let whole = try SmallImage().handMade().bytes()
        var random = SeededGenerator(seed: 13)
        for _ in 0..<25 {
            try await refused(Array(whole.prefix(Int.random(in: 0..<whole.count - 1024, using: &random))))
        }
        for compression in [Compression.gzip, .zstd] {
            let sink = MemorySink()
            let encoder = try compression.encoder(into: sink)
            try encoder.write(whole)
            try encoder.finish()
            try await refused(Array(sink.bytes.dropLast(9)))
        }
    }

    @Test("cut within a blob that the store has, which is skipped over")
    func truncatedBehindASkip() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        var maker = ImageMaker(store, seed: 14)
        try await store.tag(try await maker.image([500_000], .none), as: Reference("a"))
        let path = scratch.path.appending("a.tar")
        _ = try await ArchiveWriter(store: store).save(try await store.all(), to: .file(path))
        let cut = Array(try bytes(path).dropLast(200_000))
        let failure = await #expect(throws: Failure.self) { try await load(cut, into: store, in: scratch) }
        #expect(failure?.kind == .integrity)
        try await store.expectSound()
    }

    @Test("sizes that ustar and PAX tell differently hide nothing")
    func sizeDifferential() async throws {
        // A reader that believes the header's size of 0 finds another index.json in the content of the first file.
        let image = try SmallImage(name: "example.org/hidden:1")
        let hidden = try HandMade().layout().file("index.json", image.index).blob(image.manifest).blob(image.config)
            .blob(image.layer).bytes()
        let record = RawTar.record("size", String(hidden.count))
        let archive =
            RawTar.block("x", "PaxHeader", record.count) + RawTar.padded(record)
            + RawTar.block("0", "harmless", 0) + RawTar.padded(hidden) + [UInt8](repeating: 0, count: 1024)
        try await refused(archive, .invalidInput, saying: "neither an index.json")
        // The other way round: a size beyond what is there.
        let short =
            RawTar.block("x", "PaxHeader", record.count) + RawTar.padded(record) + RawTar.block("0", "x", 0)
            + hidden.prefix(512)
        try await refused(short)
        // And a blob whose PAX size would let it swallow what follows: the digest does not fit.
        let swallow = RawTar.record("size", "1024")
        let blob =
            RawTar.block("x", "PaxHeader", swallow.count) + RawTar.padded(swallow)
            + RawTar.block("0", Digest.of(Data("x".utf8)).layoutPath, 1) + [UInt8](repeating: 0, count: 2048)
        try await refused(blob)
    }

    @Test("too many entries, too large lists, too much content")
    func bounds() async throws {
        let many = HandMade()
        for number in 0..<50 { try many.file("note-\(number)", "") }
        try await refused(try many.bytes(), limits: ArchiveLimits(entries: 40), saying: "40 entries")
        let large = String(repeating: " ", count: 9 << 20)
        try await refused(try HandMade().layout().file("index.json", large).bytes(), saying: "larger than")
        try await refused(
            try HandMade().file("manifest.json", large).bytes(), limits: ArchiveLimits(listSize: 1 << 20),
            saying: "larger than")
        try await refused(
            try SmallImage().handMade().bytes(), limits: ArchiveLimits(size: 1000), saying: "more than 1000 bytes")
        // A size of a hundred petabytes is refused before anything is reserved.
        let huge = RawTar.record("size", String(100_000_000_000_000_000))
        let archive =
            RawTar.block("x", "PaxHeader", huge.count) + RawTar.padded(huge)
            + RawTar.block("0", Digest.of(Data("x".utf8)).layoutPath, 1) + [UInt8](repeating: 0, count: 4096)
        try await refused(archive, saying: "more than")
        try await refused(archive, .system, limits: ArchiveLimits(size: .max), saying: "free")
    }

    @Test("decompression bombs", arguments: [Compression.gzip, .zstd])
    func bomb(compression: Compression) async throws {
        let sink = MemorySink()
        let encoder = try compression.encoder(into: sink)
        try encoder.write(RawTar.block("0", "zeros", 256 << 20))
        let zeros = [UInt8](repeating: 0, count: 1 << 20)
        for _ in 0..<256 { try encoder.write(zeros) }
        try encoder.write([UInt8](repeating: 0, count: 1024))
        try encoder.finish()
        try await refused(sink.bytes, limits: ArchiveLimits(ratio: 500), saying: "bomb")
        try await refused(sink.bytes, limits: ArchiveLimits(size: 100 << 20))
    }

    @Test("something else altogether", arguments: ["", "hello", "{}", "#!/bin/sh\nexit 0\n"])
    func noArchive(text: String) async throws {
        try await refused(Array(text.utf8))
    }

    @Test("any damage of one byte is refused or harmless")
    func flippedBytes() async throws {
        let whole = try SmallImage().handMade().bytes()
        let image = try SmallImage()
        var random = SeededGenerator(seed: 15)
        for _ in 0..<150 {
            var damaged = whole
            damaged[Int.random(in: 0..<whole.count, using: &random)] ^= UInt8.random(in: 1...255, using: &random)
            let scratch = try Scratch()
            let store = try await ImageStore.new(in: scratch)
            do {
                let loaded = try await load(damaged, into: store, in: scratch)
                // The name in index.json is the only thing that no digest covers; the owners and times of headers mean nothing.
                #expect(loaded.images.map(\.descriptor.digest) == [image.manifestDescriptor.digest])
            } catch is Failure {
                #expect(try store.blobNames().isEmpty)
            }
            try await store.expectSound()
        }
    }
}
