import Archive
import FoundationEssentials
import Glibc
import ImageArchive
import ImageStore
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@Suite("Save and load")
struct RoundTripTests {
    /// A store with images of all sorts, by chance.
    static func randomStore(_ seed: UInt64, in scratch: borrowing Scratch) async throws -> ImageStore {
        let store = try await ImageStore.new(in: scratch, "source")
        var maker = ImageMaker(store, seed: seed)
        for number in 0..<Int.random(in: 1...4, using: &maker.random) {
            let sizes = (0..<Int.random(in: 1...4, using: &maker.random)).map { _ in
                Bool.random(using: &maker.random)
                    ? Int.random(in: 0...3000, using: &maker.random)
                    : Int.random(in: 0...1_500_000, using: &maker.random)
            }
            let compression = Compression.allCases.randomElement(using: &maker.random) ?? .none
            let descriptor =
                Bool.random(using: &maker.random)
                ? try await maker.image(sizes, compression)
                : try await maker.clusterImage(members: Int.random(in: 0...4, using: &maker.random), layers: sizes)
            try await store.tag(descriptor, as: Reference("example.org/app/i\(number):1"))
            if Bool.random(using: &maker.random) {
                try await store.tag(descriptor, as: Reference("second-\(number)"))
            }
        }
        return store
    }

    @Test(
        "gives the same images back, and the same bytes when it is saved again", arguments: 1...8 as ClosedRange<UInt64>
    )
    func roundTrip(seed: UInt64) async throws {
        let scratch = try Scratch()
        let source = try await Self.randomStore(seed, in: scratch)
        let compression = Compression.allCases[Int(seed) % 3]
        let path = scratch.path.appending("a.tar")
        let options = ArchiveOptions(compression: compression)
        let saved = try await ArchiveWriter(store: source).save(
            try await source.all(), to: .file(path), options: options)
        #expect(saved.files == [path])
        #expect(saved.size == Int64(try bytes(path).count))
        #expect(saved.blobs == (try source.blobNames().count))
        let target = try await ImageStore.new(in: scratch, "target")
        let loaded = try await ArchiveLoader(store: target).load(.file(path))
        #expect(loaded.added == saved.blobs)
        #expect(try await target.summary() == source.summary())
        #expect(try target.blobNames() == source.blobNames())
        try await target.expectSound()
        // From another store, and in another order.
        let again = scratch.path.appending("b.tar")
        _ = try await ArchiveWriter(store: target).save(
            try await target.all().reversed(), to: .file(again), options: options)
        #expect(try bytes(again) == bytes(path))
        // What is there is not written twice.
        let repeated = try await ArchiveLoader(store: target).load(.file(path))
        #expect(repeated.added == 0)
        #expect(repeated.present == saved.blobs)
        #expect(repeated.replaced == [])
        #expect(try Folder.names(in: scratch.path).sorted() == ["a.tar", "b.tar", "source", "target"])
    }

    @Test("has the lists first, then documents before what they lead to, without times and owners")
    func order() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        var maker = ImageMaker(store, seed: 3)
        let image = try await maker.clusterImage(members: 2, layers: [100])
        let path = scratch.path.appending("a.tar")
        let saved = try await ArchiveWriter(store: store).save(
            [ArchivedImage(names: [try Reference("example.org/c:1")], descriptor: image)], to: .file(path))
        let tar = TarReader(try FileSource(path), place: "a.tar")
        var names: [String] = []
        while let entry = try tar.next() {
            #expect(entry.modified == 0 && entry.userID == 0 && entry.groupID == 0 && entry.kind == .file)
            names.append(entry.displayName)
        }
        #expect(names.prefix(3) == ["oci-layout", "index.json", "manifest.json"])
        #expect(names[3] == image.digest.layoutPath)
        let order = try await store.closure(of: image)
        let documents = Set(order.filter { MediaType.isManifest($0.mediaType) }.map(\.digest.layoutPath))
        #expect(Set(names[4..<7]) == documents)
        #expect(Set(names.dropFirst(3)) == Set(order.map(\.digest.layoutPath)))
        // The rootfs has zstd layers, which Docker 20.10 cannot load; the contained images it can.
        #expect(saved.dockerNames.map(\.description) == ["example.org/member/m0:1", "example.org/member/m1:1"])
    }

    @Test("goes through a pipe", arguments: Compression.allCases)
    func pipe(compression: Compression) async throws {
        let scratch = try Scratch()
        let source = try await Self.randomStore(77, in: scratch)
        let target = try await ImageStore.new(in: scratch, "target")
        let (reading, writing) = try FileDescriptor.pipe()
        async let saved = {
            defer { close(writing.rawValue) }
            return try await ArchiveWriter(store: source).save(
                try await source.all(), to: .descriptor(writing, name: "standard output"),
                options: ArchiveOptions(compression: compression))
        }()
        let loaded = try await ArchiveLoader(store: target).load(.descriptor(reading, name: "standard input"))
        try reading.close()
        #expect(try await saved.files == [])
        #expect(loaded.images.count > 0)
        #expect(try await target.summary() == source.summary())
    }

    @Test("writes to what is no file without replacing it")
    func device() async throws {
        let scratch = try Scratch()
        let source = try await Self.randomStore(5, in: scratch)
        let saved = try await ArchiveWriter(store: source).save(try await source.all(), to: .file("/dev/null"))
        #expect(saved.files == [])
        var information = stat()
        #expect(stat("/dev/null", &information) == 0 && information.st_mode & S_IFMT == S_IFCHR)
    }

    @Test("carries blobs with sha512 digests")
    func sha512() async throws {
        let scratch = try Scratch()
        let source = try await ImageStore.new(in: scratch, "source")
        let content = Data("a layer".utf8)
        let layer = Descriptor(mediaType: MediaType.layer, digest: .of(content, .sha512), size: Int64(content.count))
        let ingest = try await source.ingest(layer)
        try content.withUnsafeBytes { try ingest.write($0) }
        try ingest.commit()
        let config = try await source.put(Data("{}".utf8), mediaType: MediaType.empty)
        let manifest = try await source.put(
            canonicalJSON(ImageManifest(config: config, layers: [layer])), mediaType: MediaType.manifest)
        try await source.tag(manifest, as: Reference("example.org/long:1"))
        let path = scratch.path.appending("a.tar")
        let saved = try await ArchiveWriter(store: source).save(try await source.all(), to: .file(path))
        // It is an artifact, no image that Docker could run.
        #expect(saved.dockerNames.isEmpty)
        let target = try await ImageStore.new(in: scratch, "target")
        _ = try await ArchiveLoader(store: target).load(.file(path))
        #expect(try await target.bytes(of: layer) == content)
        try await target.expectSound()
    }

    @Test("tells its progress in bytes, up to the whole")
    func progress() async throws {
        let scratch = try Scratch()
        let source = try await ImageStore.new(in: scratch, "source")
        var maker = ImageMaker(source, seed: 6)
        try await source.tag(try await maker.image([5_000_000, 10], .none), as: Reference("a"))
        let path = scratch.path.appending("a.tar")
        let events = Events()
        let writer = ArchiveWriter(store: source)
        let saved = try await events.sink.step("save") {
            try await writer.save(try await source.all(), to: .file(path), step: $0)
        }
        #expect(events.last.map { $0.0 == $0.1 } == true)
        #expect(events.count > 4)
        let target = try await ImageStore.new(in: scratch, "target")
        let loading = Events()
        _ = try await loading.sink.step("load") { try await ArchiveLoader(store: target).load(.file(path), step: $0) }
        #expect(loading.last.map { $0.0 == saved.size && $0.1 == saved.size } == true)
    }

    final class Events: Sendable {
        private let seen = Mutex<[(Int64, Int64?)]>([])
        var sink: HookedProgress {
            HookedProgress { event in
                if case .advanced(_, let done, let total, .bytes) = event {
                    self.seen.withLock { $0.append((done, total)) }
                }
            }
        }
        var last: (Int64, Int64?)? { seen.withLock { $0.last } }
        var count: Int { seen.withLock { $0.count } }
    }

    // MARK: Damage in the store

    @Test("names a damaged blob, leaves nothing behind, and keeps the older archive", arguments: [false, true])
    func damagedBlob(isLarge: Bool) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        var maker = ImageMaker(store, seed: 9)
        let image = try await maker.image([isLarge ? 4_000_000 : 1000], .none)
        try await store.tag(image, as: Reference("example.org/a:1"))
        let layer = try #require(try await store.closure(of: image).first { $0.mediaType == MediaType.layer })
        var content = try bytes(store.path(of: layer.digest))
        content[content.count / 2] ^= 1
        try write(content, to: store.path(of: layer.digest))
        let target = scratch.path.appending("a.tar")
        try write(Array("older".utf8), to: target)
        let images = try await store.all()
        let failure = await #expect(throws: Failure.self) {
            try await ArchiveWriter(store: store).save(images, to: .file(target))
        }
        #expect(failure?.kind == .integrity)
        #expect(failure?.what.contains(layer.digest.description) == true)
        #expect(try Folder.names(in: scratch.path) == ["a.tar", "store"])
        #expect(try bytes(target) == Array("older".utf8))
        let parts = scratch.path.appending("p.tar")
        await #expect(throws: Failure.self) {
            try await ArchiveWriter(store: store).save(images, to: .parts(parts, size: 65_536))
        }
        #expect(try Folder.names(in: scratch.path) == ["a.tar", "store"])
        // A cut one is noticed too, and a missing one is named before anything is written.
        try write(Array(content.dropLast()), to: store.path(of: layer.digest))
        await #expect(throws: Failure.self) { try await ArchiveWriter(store: store).save(images, to: .file(target)) }
        unlink(store.path(of: layer.digest).string)
        let missing = await #expect(throws: Failure.self) {
            try await ArchiveWriter(store: store).save(images, to: .file(target))
        }
        #expect(missing?.kind == .notFound)
        #expect(missing?.what.contains(layer.digest.description) == true)
        #expect(try Folder.names(in: scratch.path) == ["a.tar", "store"])
    }

    @Test("refuses two images under one name")
    func conflict() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        var maker = ImageMaker(store, seed: 10)
        let name = try Reference("example.org/a:1")
        let images = [
            ArchivedImage(names: [name], descriptor: try await maker.image([1])),
            ArchivedImage(names: [name], descriptor: try await maker.image([2])),
        ]
        let path = scratch.path.appending("a.tar")
        let failure = await #expect(throws: Failure.self) {
            try await ArchiveWriter(store: store).save(images, to: .file(path))
        }
        #expect(failure?.kind == .conflict)
    }
}
