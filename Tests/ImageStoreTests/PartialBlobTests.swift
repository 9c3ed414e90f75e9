import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import ImageStore

@Suite("A partial blob")
struct PartialBlobTests {
    private let bytes = Data("the whole content".utf8)
    private var descriptor: Descriptor {
        Descriptor(mediaType: MediaType.layer, digest: .of(bytes), size: Int64(bytes.count))
    }

    private func file(_ store: ImageStore) -> FilePath {
        store.root.appending("ingest/sha256-\(Digest.of(bytes).hex).partial")
    }

    private func open(_ store: ImageStore) async throws -> PartialBlob? {
        let (descriptor, root) = (descriptor, store.root)
        return try await BlockingPool.shared.run { try PartialBlob.open(descriptor, layout: root, $0) }
    }

    private func write(_ bytes: some Sequence<UInt8>, to blob: PartialBlob) throws {
        try Array(bytes).withUnsafeBytes { try blob.write($0) }
    }

    @Test("is gone on with where it was left, and is named when it is whole")
    func goesOn() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let first = try #require(try await open(store))
        try write(bytes.prefix(5), to: first)
        first.close()
        #expect(try readFile(file(store)) == bytes.prefix(5))
        let second = try #require(try await open(store))
        #expect(second.count == 5)
        try write(bytes.dropFirst(5), to: second)
        #expect(try await store.size(of: descriptor.digest) == nil)
        try second.commit()
        #expect(try await store.bytes(of: descriptor) == bytes)
        #expect(try Folder.names(in: store.root.appending("ingest")) == [])
    }

    @Test("is written by one at a time, also within a process")
    func oneAtATime() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let first = try #require(try await open(store))
        #expect(try await open(store) == nil)
        try write(bytes, to: first)
        #expect(try await open(store) == nil)
        first.close()
        #expect(try await open(store)?.count == Int64(bytes.count))
    }

    @Test("that was named meanwhile is not written to")
    func namedMeanwhile() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let first = try #require(try await open(store))
        try write(bytes, to: first)
        try first.commit()
        // A new file, not the blob.
        let second = try #require(try await open(store))
        #expect(second.count == 0)
        try write("other".utf8, to: second)
        second.close()
        #expect(try await store.bytes(of: descriptor) == bytes)
    }

    @Test("without a byte leaves no file")
    func empty() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        try #require(try await open(store)).close()
        #expect(try Folder.names(in: store.root.appending("ingest")) == [])
    }

    @Test("with wrong bytes gets no name and begins anew")
    func wrongBytes() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let blob = try #require(try await open(store))
        try write(repeatElement(7, count: bytes.count), to: blob)
        #expect(throws: Failure.self) { try blob.commit() }
        #expect(blob.count == 0)
        #expect(try await store.size(of: descriptor.digest) == nil)
        try write(bytes, to: blob)
        #expect(throws: Failure.self) { try write([1], to: blob) }
        try blob.commit()
        #expect(try await store.bytes(of: descriptor) == bytes)
    }

    @Test("that is not whole gets no name")
    func short() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let blob = try #require(try await open(store))
        try write(bytes.dropLast(), to: blob)
        let error = #expect(throws: Failure.self) { try blob.commit() }
        #expect(error?.kind == .integrity)
        #expect(try await store.size(of: descriptor.digest) == nil)
    }

    @Test("longer than the whole begins anew")
    func tooLong() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        try AtomicFile.write(bytes + [1], to: file(store))
        #expect(try await open(store)?.count == 0)
    }

    @Test("keeps its bytes when the reading of them is cancelled")
    func cancelled() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        try AtomicFile.write(bytes.prefix(5), to: file(store))
        let (descriptor, root) = (descriptor, store.root)
        for _ in 0..<50 {
            let task = Task { try await BlockingPool.shared.run { try PartialBlob.open(descriptor, layout: root, $0) } }
            task.cancel()
            _ = await task.result
        }
        #expect(try readFile(file(store)) == bytes.prefix(5))
    }

    // MARK: - Waiting for somebody else's

    /// Time that passes when a test says so.
    private final class TestTime: Sendable {
        private let state = Mutex((now: ContinuousClock.now, calls: 0))
        var calls: Int { state.withLock { $0.calls } }
        func pass(_ duration: Duration) -> ContinuousClock.Instant {
            state.withLock { state in
                state.now += duration
                state.calls += 1
                return state.now
            }
        }
    }

    /// Sets the file's time back.
    private func age(_ path: FilePath) throws {
        let old = [timespec(tv_sec: 1000, tv_nsec: 0), timespec(tv_sec: 1000, tv_nsec: 0)]
        guard utimensat(AT_FDCWD, path.string, old, 0) == 0 else { throw Errno(rawValue: errno) }
    }

    private func isOld(_ path: FilePath) throws -> Bool {
        var information = stat()
        guard stat(path.string, &information) == 0 else { throw Errno(rawValue: errno) }
        return information.st_mtim.tv_sec == 1000
    }

    @Test("shows by its time that it is being hashed")
    func hashingShows() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let content = Data(repeating: 7, count: 5 << 20)
        let whole = Descriptor(mediaType: MediaType.layer, digest: .of(content), size: Int64(content.count))
        let path = PartialBlob.path(of: whole.digest, layout: store.root)
        try AtomicFile.write(content.prefix(4 << 20), to: path)
        try age(path)
        let root = store.root
        let shown = Mutex<[Bool]>([])
        let blob = try await BlockingPool.shared.run { cancellation in
            try PartialBlob.open(whole, layout: root, cancellation) {
                let isShown = try !isOld(path)
                shown.withLock { $0.append(isShown) }
                try age(path)
            }
        }
        #expect(blob?.count == 4 << 20)
        #expect(shown.withLock { $0 } == [true, true, true, true])
    }

    @Test("shows by its time that it is brought to the disk")
    func flushingShows() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let content = Data(repeating: 8, count: 40 << 20)
        let whole = Descriptor(mediaType: MediaType.layer, digest: .of(content), size: Int64(content.count))
        let path = PartialBlob.path(of: whole.digest, layout: store.root)
        let blob = try #require(try await store.partialBlob(whole, patience: .seconds(60)))
        try content.withUnsafeBytes { try blob.write($0) }
        try age(path)
        try blob.commit()
        #expect(try !isOld(store.path(of: whole.digest)))
        #expect(try readFile(store.path(of: whole.digest)) == content)
    }

    @Test("is waited for as long as something is done with it, however long that is")
    func patience() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let first = try #require(try await open(store))
        try write(bytes.prefix(5), to: first)
        let (file, time) = (file(store), TestTime())
        // Each time that the waiting one looks, a good part of its patience has passed, and the file has another time.
        let second = try await store.partialBlob(descriptor, patience: .seconds(60)) {
            let now = time.pass(.seconds(25))
            let stamp = [
                timespec(tv_sec: 2000 + time.calls, tv_nsec: 0), timespec(tv_sec: 2000 + time.calls, tv_nsec: 0),
            ]
            guard utimensat(AT_FDCWD, file.string, stamp, 0) == 0 else { throw Errno(rawValue: errno) }
            if time.calls > 30 { first.close() }
            return now
        }
        #expect(second?.count == 5)
        #expect(time.calls > 30)
    }

    @Test("is not waited for when nothing is done with it")
    func silence() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let first = try #require(try await open(store))
        try write(bytes.prefix(5), to: first)
        let time = TestTime()
        let error = await #expect(throws: Failure.self) {
            try await store.partialBlob(descriptor, patience: .seconds(60)) { time.pass(.seconds(25)) }
        }
        #expect(error?.kind == .conflict)
        #expect(error?.what.contains("did not get on for") == true)
        #expect(time.calls < 10)
        first.close()
    }

    @Test("is never reached through a link")
    func links() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let victim = scratch.path.appending("victim")
        try AtomicFile.write(Array("mine".utf8), to: victim)
        #expect(symlink(victim.string, file(store).string) == 0)
        await #expect(throws: Failure.self) { try await open(store) }
        #expect(try readFile(victim) == Data("mine".utf8))
    }
}
