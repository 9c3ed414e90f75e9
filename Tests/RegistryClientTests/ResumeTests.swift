import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import RegistryClient

/// A large blob comes whole, whatever happens on the way, and what has come does not come again.
@Suite struct ResumeTests {
    private static let size = 300_000
    private let blob: Data
    private let descriptor: Descriptor

    init() {
        var random = SeededGenerator(seed: 21)
        blob = Data((0..<Self.size).map { _ in UInt8.random(in: .min ... .max, using: &random) })
        descriptor = Descriptor(mediaType: MediaType.layer, digest: .of(blob), size: Int64(Self.size))
    }

    private func configuration() -> RegistryConfiguration {
        var configuration = quickConfiguration()
        configuration.limits.resumableSize = 1000
        return configuration
    }

    /// The right answer to a request for the blob, with or without a range.
    private static func serve(_ blob: Data, _ request: FakeRegistry.Request) -> FakeRegistry.Answer {
        guard let offset = offset(request) else { return .reply(200, [:], Array(blob)) }
        return .reply(
            206, ["Content-Range": "bytes \(offset)-\(blob.count - 1)/\(blob.count)"], Array(blob.dropFirst(offset)))
    }

    private static func offset(_ request: FakeRegistry.Request) -> Int? {
        request.headers["range"].flatMap { Int($0.dropFirst("bytes=".count).dropLast()) }
    }

    /// What was asked for after `cut` bytes came; the last of them may be lost with the connection.
    private func expect(_ requests: some Sequence<FakeRegistry.Request>, goOnAfter cut: Int) {
        let offsets = requests.map { Self.offset($0) ?? 0 }
        #expect(offsets.allSatisfy { (1...cut).contains($0) } && offsets.count == 1, "\(offsets)")
    }

    private static func partialFile(_ store: ImageStore, _ digest: Digest) -> FilePath {
        store.root.appending("ingest/sha256-\(digest.hex).partial")
    }

    /// Fetches the blob; afterwards it must be in the store as it should be, and nothing else.
    private func fetch(
        _ store: ImageStore,
        from host: String,
        _ configuration: RegistryConfiguration? = nil,
        sink: any ProgressSink = SilentProgress()
    ) async throws {
        let client = RegistryClient(configuration: configuration ?? self.configuration(), progress: sink)
        let received = Mutex<Int64>(0)
        let result: Result<Void, any Error>
        do {
            try await client.fetchBlob(descriptor, from: Reference("\(host)/a/b:v1"), into: store) { count in
                received.withLock { $0 += count }
            }
            result = .success(())
        } catch {
            result = .failure(error)
        }
        await client.close()
        if case .success = result {
            #expect(try readFile(store.path(of: descriptor.digest)) == blob)
            #expect(try Folder.names(in: store.root.appending("ingest")) == [])
            #expect(received.withLock { $0 } == descriptor.size)
        } else {
            #expect(try await store.size(of: descriptor.digest) == nil)
            #expect(received.withLock { $0 } == 0)
        }
        try result.get()
    }

    @Test func whatACutConnectionBroughtIsNotAskedForAgain() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let (blob, size) = (blob, Self.size)
        let registry = try await FakeRegistry.start { request in
            request.headers["range"] == nil
                ? .cut(Array(blob.prefix(100_000)), length: size) : Self.serve(blob, request)
        }
        try await fetch(store, from: registry.host)
        expect(registry.requests.dropFirst(), goOnAfter: 100_000)
        try await registry.stop()
    }

    @Test func asLongAsItGetsOnItMayBreakOften() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let (blob, size) = (blob, Self.size)
        let registry = try await FakeRegistry.start { request in
            let offset = Self.offset(request) ?? 0
            let piece = Array(blob.dropFirst(offset).prefix(30_000))
            if offset + piece.count == size, offset > 0 { return Self.serve(blob, request) }
            if offset == 0 { return .cut(piece, length: size) }
            return .cutReply(
                206, ["Content-Range": "bytes \(offset)-\(size - 1)/\(size)"], piece, length: size - offset)
        }
        var configuration = configuration()
        configuration.limits.attempts = 2
        try await fetch(store, from: registry.host, configuration)
        #expect(registry.requests.count >= 10)
        try await registry.stop()
    }

    @Test func aRegistryThatKnowsNoRangesAndAlwaysBreaksIsNotAskedForEver() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let (blob, size) = (blob, Self.size)
        let registry = try await FakeRegistry.start { _ in .cut(Array(blob.prefix(100_000)), length: size) }
        let error = await #expect(throws: Failure.self) { try await fetch(store, from: registry.host) }
        #expect(error?.kind == .unreachable)
        // Three that did not get on, and before them those that got further than any before.
        #expect((3...20).contains(registry.requests.count))
        try await registry.stop()
    }

    /// Answers to a range that are none, or another one: the blob is asked for whole.
    @Test(arguments: [
        "bytes 0-199999/300000", "bytes 100001-299999/300000", "bytes 100000-299998/300000",
        "bytes 100000-299999/300001",
        "bytes=100000-299999/300000", "", "416",
    ])
    func anotherRangeThanAskedForIsNotTaken(_ answer: String) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        try AtomicFile.write(blob.prefix(100_000), to: Self.partialFile(store, descriptor.digest))
        let blob = blob
        let registry = try await FakeRegistry.start { request in
            guard request.headers["range"] != nil else { return Self.serve(blob, request) }
            if answer == "416" { return .reply(416, ["Content-Range": "bytes */300000"], []) }
            let headers = answer.isEmpty ? [:] : ["Content-Range": answer]
            return .reply(206, headers, [UInt8](repeating: 0, count: 200_000))
        }
        try await fetch(store, from: registry.host)
        #expect(registry.requests.map { $0.headers["range"] } == ["bytes=100000-", nil])
        try await registry.stop()
    }

    @Test func theWholeInsteadOfARangeBeginsAnew() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        try AtomicFile.write(blob.prefix(100_000), to: Self.partialFile(store, descriptor.digest))
        let blob = blob
        let registry = try await FakeRegistry.start { _ in .reply(200, [:], Array(blob)) }
        try await fetch(store, from: registry.host)
        #expect(registry.requests.map { $0.headers["range"] } == ["bytes=100000-"])
        try await registry.stop()
    }

    /// A process that ends leaves what it has; the next one goes on.
    @Test func anotherClientGoesOnAfterACancellation() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let (blob, size, descriptor) = (blob, Self.size, descriptor)
        let (sent, announce) = AsyncStream<Void>.makeStream()
        let registry = try await FakeRegistry.start { request in
            if request.headers["range"] == nil { return .stall(Array(blob.prefix(100_000)), length: size) }
            return Self.serve(blob, request)
        }
        let (configuration, host) = (configuration(), registry.host)
        let first = Task {
            let client = RegistryClient(configuration: configuration)
            let total = Mutex<Int64>(0)
            let result = await Result.catching {
                try await client.fetchBlob(descriptor, from: Reference("\(host)/a/b:v1"), into: store) { count in
                    let now = total.withLock { total in
                        total += count
                        return total
                    }
                    if now == 100_000 { announce.finish() }
                }
            }
            await client.close()
            return result
        }
        for await _ in sent {}
        first.cancel()
        await #expect(throws: CancellationError.self) { try (await first.value).get() }
        #expect(try readFile(Self.partialFile(store, descriptor.digest)) == blob.prefix(100_000))
        try await fetch(store, from: registry.host)
        #expect(registry.requests.map { $0.headers["range"] } == [nil, "bytes=100000-"])
        try await registry.stop()
    }

    @Test func wrongBytesFromAnEarlierAttemptCostOneMoreDownload() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        try AtomicFile.write([UInt8](repeating: 7, count: 100_000), to: Self.partialFile(store, descriptor.digest))
        let blob = blob
        let registry = try await FakeRegistry.start { Self.serve(blob, $0) }
        try await fetch(store, from: registry.host)
        #expect(registry.requests.map { $0.headers["range"] } == ["bytes=100000-", nil])
        try await registry.stop()
    }

    @Test func wrongBytesFromTheRegistryNeverGetTheName() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let size = Self.size
        let registry = try await FakeRegistry.start { _ in .reply(200, [:], [UInt8](repeating: 7, count: size)) }
        let error = await #expect(throws: Failure.self) { try await fetch(store, from: registry.host) }
        #expect(error?.kind == .integrity)
        #expect(error?.place?.contains(registry.host) == true)
        #expect(try Folder.names(in: store.root.appending("ingest")) == [])
        try await registry.stop()
    }

    @Test(arguments: [true, false])
    func allBytesOfAnEarlierAttempt(_ areRight: Bool) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let bytes = areRight ? blob : Data(repeating: 7, count: Self.size)
        try AtomicFile.write(bytes, to: Self.partialFile(store, descriptor.digest))
        let blob = blob
        let registry = try await FakeRegistry.start { Self.serve(blob, $0) }
        try await fetch(store, from: registry.host)
        #expect(registry.requests.map { $0.headers["range"] } == (areRight ? [] : [nil]))
        try await registry.stop()
    }

    @Test func oneRegistryGoesOnWhereAnotherStopped() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let (blob, size) = (blob, Self.size)
        let mirror = try await FakeRegistry.start { request in
            request.headers["range"] == nil
                ? .cut(Array(blob.prefix(100_000)), length: size) : .json(503, "{}")
        }
        let origin = try await FakeRegistry.start { Self.serve(blob, $0) }
        var configuration = configuration()
        configuration.registries = [
            RegistryRule(prefix: origin.host, mirrors: [.init(location: mirror.host, insecure: true)])
        ]
        try await fetch(store, from: origin.host, configuration)
        expect(origin.requests, goOnAfter: 100_000)
        try await mirror.stop()
        try await origin.stop()
    }

    /// The half of a mirror that lies and the half of one that does not.
    @Test func halvesThatDoNotFitAreFetchedOnceMoreFromTheOtherPlace() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let (blob, size) = (blob, Self.size)
        let mirror = try await FakeRegistry.start { request in
            request.headers["range"] == nil
                ? .cut([UInt8](repeating: 7, count: 100_000), length: size) : .json(404, "{}")
        }
        let origin = try await FakeRegistry.start { Self.serve(blob, $0) }
        var configuration = configuration()
        configuration.limits.attempts = 1
        configuration.registries = [
            RegistryRule(prefix: origin.host, mirrors: [.init(location: mirror.host, insecure: true)])
        ]
        try await fetch(store, from: origin.host, configuration)
        expect(origin.requests.dropLast(), goOnAfter: 100_000)
        #expect(origin.requests.last?.headers["range"] == nil)
        try await mirror.stop()
        try await origin.stop()
    }

    // MARK: - Several at once

    @Test func theSecondTakesWhatTheFirstBrings() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let registry = try await FakeRegistry.start { _ in unknown }
        let other = try #require(try await store.partialBlob(descriptor, patience: .seconds(1)))
        try blob.prefix(100_000).withUnsafeBytes { try other.write($0) }
        let host = registry.host
        async let second: Void = fetch(store, from: host)
        // Longer than it looks once; however late the second comes, the result is the same.
        try await Task.sleep(for: .milliseconds(200))
        try blob.dropFirst(100_000).withUnsafeBytes { try other.write($0) }
        try other.commit()
        try await second
        #expect(registry.requests.isEmpty)
        try await registry.stop()
    }

    @Test func theSecondGoesOnWhenTheFirstGivesUp() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let blob = blob
        let registry = try await FakeRegistry.start { Self.serve(blob, $0) }
        let other = try #require(try await store.partialBlob(descriptor, patience: .seconds(1)))
        let host = registry.host
        async let second: Void = fetch(store, from: host)
        try blob.prefix(100_000).withUnsafeBytes { try other.write($0) }
        try await Task.sleep(for: .milliseconds(100))
        #expect(registry.requests.isEmpty)
        other.close()
        try await second
        #expect(registry.requests.map { $0.headers["range"] } == ["bytes=100000-"])
        try await registry.stop()
    }

    @Test func aFirstThatDoesNotGetOnIsNotWaitedForForEver() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let registry = try await FakeRegistry.start { _ in unknown }
        let other = try #require(try await store.partialBlob(descriptor, patience: .seconds(1)))
        var configuration = configuration()
        configuration.limits.partialPatience = .milliseconds(100)
        let error = await #expect(throws: Failure.self) { try await fetch(store, from: registry.host, configuration) }
        #expect(error?.kind == .conflict)
        other.close()
        try await registry.stop()
    }

    @Test func twoPullsOfOneBlobAtOnce() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let blob = blob
        let registry = try await FakeRegistry.start { Self.serve(blob, $0) }
        let (configuration, descriptor, host) = (configuration(), descriptor, registry.host)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    let client = RegistryClient(configuration: configuration)
                    try await client.fetchBlob(descriptor, from: Reference("\(host)/a/b:v1"), into: store)
                    await client.close()
                }
            }
            try await group.waitForAll()
        }
        #expect(try readFile(store.path(of: descriptor.digest)) == blob)
        #expect(try Folder.names(in: store.root.appending("ingest")) == [])
        try await registry.stop()
    }

    @Test func garbageCollectionTakesWhatIsUnfinished() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        try AtomicFile.write(blob.prefix(100_000), to: Self.partialFile(store, descriptor.digest))
        #expect(try await store.collectGarbage().unfinished == 1)
        #expect(try Folder.names(in: store.root.appending("ingest")) == [])
    }
}

extension Result where Failure == any Error {
    /// What a piece of work comes to.
    static func catching(_ body: () async throws -> Success) async -> Result {
        do { return .success(try await body()) } catch { return .failure(error) }
    }
}
