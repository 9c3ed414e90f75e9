import FoundationEssentials
import ImageStore
import NIOCore
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import RegistryServer

/// Time that passes when a test says so.
private final class TestTime: Sendable {
    private let instant = Mutex(ContinuousClock.now)
    var now: ContinuousClock.Instant { instant.withLock { $0 } }
    func pass(_ duration: Duration) { instant.withLock { $0 += duration } }
}

@Suite final class PendingBlobsTests {
    private let scratch: Scratch
    private let store: ImageStore
    private let time = TestTime()
    private let pending: PendingBlobs
    private let content: WritableStoreContent

    init() async throws {
        scratch = try Scratch()
        store = try await ImageStore.open(scratch.path.appending("store"))
        pending = PendingBlobs(limit: .seconds(600)) { [time] in time.now }
        content = WritableStoreContent(store: store, pending: pending)
    }

    private func push(_ bytes: Data, to repository: String) async throws -> Descriptor {
        let upload = try await content.upload(to: repository, algorithm: .sha256)
        try await upload.write(ByteBuffer(bytes: bytes))
        try await upload.finish(as: .of(bytes))
        return Descriptor(mediaType: MediaType.layer, digest: .of(bytes), size: Int64(bytes.count))
    }

    @Test func aPushMayTakeAsLongAsItNeeds() async throws {
        let repository = "docker.io/team/app"
        let layer = try await push(Data("layer".utf8), to: repository)
        /// More than half of the limit passes, so that each use in between is needed.
        func pause(after what: String) async throws {
            time.pass(.seconds(400))
            await content.tidy()
            try #require(pending.contains(layer.digest), "\(what)")
        }
        try await pause(after: "the upload of the layer")
        let upload = try await content.upload(to: repository, algorithm: .sha256)
        try await pause(after: "the begin of an upload")
        for _ in 0..<3 {
            try await upload.write(ByteBuffer(string: "{}\n"))
            try await pause(after: "bytes of an upload")
        }
        let config = Digest.of(Data("{}\n{}\n{}\n".utf8))
        try await upload.finish(as: config)
        try await pause(after: "the end of an upload")
        #expect(try await content.holds(layer.digest, repository: repository))
        try await pause(after: "a request for a blob")
        #expect(try await content.mount(config, to: repository))
        try await pause(after: "a mount")
        var manifest = ImageManifest(
            config: Descriptor(mediaType: MediaType.config, digest: config, size: 8), layers: [layer])
        func put() async throws {
            _ = try await content.put(
                canonicalJSON(manifest), mediaType: MediaType.manifest, to: repository, as: .tag("v1"),
                isConfined: false)
        }
        await #expect(throws: RegistryError.self) { try await put() }
        try await pause(after: "a manifest that is refused")
        manifest.config.size = 9
        try await put()
        #expect(try await store.resolve(Reference("docker.io/team/app:v1")) != nil)
        #expect(try await store.collectGarbage(limit: .milliseconds(100)).blobs == 0)
    }

    @Test func eachRepositoryHasItsTime() async throws {
        let idle = try await push(Data("idle".utf8), to: "docker.io/team/idle")
        let busy = try await push(Data("busy".utf8), to: "docker.io/team/busy")
        time.pass(.seconds(400))
        #expect(try await content.holds(busy.digest, repository: "docker.io/team/busy"))
        // Who asks in another repository does not keep it.
        #expect(try await !content.holds(idle.digest, repository: "docker.io/team/busy"))
        time.pass(.seconds(400))
        await content.tidy()
        #expect(!pending.contains(idle.digest))
        #expect(pending.contains(busy.digest))
        await #expect(throws: Failure.self) { try await store.collectGarbage(limit: .milliseconds(100)) }
        time.pass(.seconds(400))
        await content.tidy()
        #expect(try await store.collectGarbage(limit: .milliseconds(100)).blobs == 2)
    }
}
