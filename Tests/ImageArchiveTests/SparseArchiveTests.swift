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

/// Archives that GNU tar packed with `--sparse`: their blobs are read whole.
@Suite("archives with sparse entries") struct SparseArchiveTests {
    @Test(
        "load as any other",
        arguments: ["--format=gnu"] + ["0.0", "0.1", "1.0"].map { "--format=pax --sparse-version=\($0)" })
    func loads(format: String) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        var maker = ImageMaker(store, seed: 61)
        // A layer with holes, as an image of a disk has them.
        let content = maker.random.bytes(5000) + Data(count: 900_000) + maker.random.bytes(300) + Data(count: 70_000)
        let layer = try await maker.layer(content, .none)
        let config = ImageConfig(platform: .current, rootfs: .init(diffIDs: [layer.diffID]))
        let blob = try await store.put(canonicalJSON(config), mediaType: MediaType.config)
        let manifest = ImageManifest(config: blob, layers: [layer.blob])
        try await store.tag(
            try await store.put(canonicalJSON(manifest), mediaType: MediaType.manifest), as: Reference("example.org/s"))
        let path = scratch.path.appending("a.tar")
        _ = try await ArchiveWriter(store: store).save(try await store.all(), to: .file(path))
        let folder = scratch.path.appending("unpacked")
        try Folder.make(folder)
        let tar = try #require(Program("tar"))
        _ = try await tar.run(["-C", folder.string, "-xf", path.string], in: scratch.path)
        // GNU tar looks for holes only in files that have some.
        let holes = scratch.path.appending("holes")
        _ = try await #require(Program("cp")).run(
            ["-r", "--sparse=always", folder.string, holes.string], in: scratch.path)
        let sparse = scratch.path.appending("sparse.tar")
        let options = format.split(separator: " ").map(String.init)
        _ = try await tar.run(
            ["--sparse", "--hole-detection=raw"] + options + ["-C", holes.string, "-cf", sparse.string, "."],
            in: scratch.path)
        try #require(bytes(sparse).count < 100_000)

        let target = try await ImageStore.new(in: scratch, "target")
        let loaded = try await ArchiveLoader(store: target).load(.file(sparse))
        #expect(loaded.images.map(\.descriptor.digest) == (try await store.names()).map(\.descriptor.digest))
        #expect(try target.blobNames() == store.blobNames())
        try await target.expectSound()
        // A second time all blobs are there, and are passed over.
        #expect(try await ArchiveLoader(store: target).load(.file(sparse)).images == loaded.images)
    }

    @Test("cannot be bombs")
    func bombs() async throws {
        func archive(_ size: Int64) -> [UInt8] {
            let record = [("major", "1"), ("minor", "0"), ("realsize", "\(size)")]
                .flatMap { RawTar.record("GNU.sparse.\($0.0)", $0.1) }
            let name = Digest.of(Data("x".utf8)).layoutPath
            return RawTar.block("x", "PaxHeader", record.count) + RawTar.padded(record) + RawTar.block("0", name, 512)
                + RawTar.padded(Array("1\n\(size)\n0\n".utf8)) + [UInt8](repeating: 0, count: 1024)
        }
        // As much as a packed archive may be, and too much.
        try await refused(archive(1 << 20), saying: "sha256")
        try await refused(archive(100 << 20), saying: "bomb")
        try await refused(archive(1 << 50), saying: "more than")
        try await refused(archive(2 << 20), limits: ArchiveLimits(size: 1 << 20), saying: "more than")
    }
}
