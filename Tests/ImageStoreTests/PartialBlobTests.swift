import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Report
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
