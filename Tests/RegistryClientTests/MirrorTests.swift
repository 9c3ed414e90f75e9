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

/// Remembers what was sent.
final class Recording: ProgressSink {
    private let events = Mutex<[ProgressEvent]>([])

    func send(_ event: ProgressEvent) { events.withLock { $0.append(event) } }

    var warnings: [String] {
        events.withLock { $0 }.compactMap { if case .warning(let text) = $0 { text } else { nil } }
    }

    /// The last state of progress, in bytes.
    var advances: [(completed: Int64, total: Int64?)] {
        events.withLock { $0 }.compactMap {
            if case .advanced(_, let completed, let total, _) = $0 { (completed, total) } else { nil }
        }
    }
}

/// Mirrors, and several images at once.
@Suite struct MirrorTests {
    private func configuration(mirrors: [FakeRegistry], location: FakeRegistry) -> RegistryConfiguration {
        var configuration = quickConfiguration()
        configuration.registries = [
            RegistryRule(
                prefix: "docker.io",
                location: location.host,
                mirrors: mirrors.map { .init(location: "\($0.host)/mirror") }
            )
        ]
        return configuration
    }

    @Test func theFirstMirrorThatHasItServesIt() async throws {
        let image = try SmallImage(layers: ["one"])
        let empty = try await FakeRegistry.start { _ in unknown }
        let full = try await FakeRegistry.start { image.answer($0.path) ?? unknown }
        let upstream = try await FakeRegistry.start { _ in unknown }
        let progress = Recording()
        let client = RegistryClient(
            configuration: configuration(mirrors: [empty, full], location: upstream), progress: progress)
        let resolved = try await client.resolve(Reference("nginx:v1"))
        #expect(resolved.bytes == image.manifest)
        #expect(empty.requests.last?.path == "/v2/mirror/library/nginx/manifests/v1")
        #expect(upstream.requests.isEmpty)
        #expect(progress.warnings.isEmpty)
        await client.close()
        for registry in [empty, full, upstream] { try await registry.stop() }
    }

    @Test func aMirrorWithWrongContentIsNamedAndPassedOver() async throws {
        let scratch = try Scratch()
        let image = try SmallImage(layers: ["one"])
        let liar = try await FakeRegistry.start {
            $0.path.contains("/blobs/") ? .reply(200, [:], Array("two".utf8)) : image.answer($0.path) ?? unknown
        }
        let upstream = try await FakeRegistry.start { image.answer($0.path) ?? unknown }
        let progress = Recording()
        let client = RegistryClient(
            configuration: configuration(mirrors: [liar], location: upstream), progress: progress)
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let blob = image.blobs[1]
        try await client.fetchBlob(blob, from: Reference("nginx:v1"), into: store)
        #expect(try await store.size(of: blob.digest) == 3)
        #expect(progress.warnings.count == 1)
        #expect(progress.warnings.first?.contains(liar.host) == true)
        await client.close()
        for registry in [liar, upstream] { try await registry.stop() }
    }

    @Test func whenAllFailAllAreNamed() async throws {
        let dead = try await FakeRegistry.start { _ in unknown }
        try await dead.stop()
        let empty = try await FakeRegistry.start { _ in unknown }
        let broken = try await FakeRegistry.start { _ in .json(500, "{}") }
        let client = RegistryClient(configuration: configuration(mirrors: [dead, broken], location: empty))
        let error = await #expect(throws: Failure.self) { try await client.resolve(Reference("nginx:v1")) }
        for registry in [dead, broken, empty] { #expect(error?.description.contains(registry.host) == true) }
        #expect(error?.description.contains("nginx:v1") == true)
        #expect(error?.kind == .notFound)
        // The dead one is not asked in its turn again at once, the broken one neither: the image comes from where it is.
        let count = broken.requests.count
        _ = try? await client.resolve(Reference("nginx:v1"))
        #expect(broken.requests.count == count + client.configuration.limits.attempts)
        await client.close()
        for registry in [empty, broken] { try await registry.stop() }
    }

    @Test func aDeadMirrorComesLastForAWhile() async throws {
        let image = try SmallImage(layers: ["one"])
        let broken = try await FakeRegistry.start { _ in .json(500, "{}") }
        let upstream = try await FakeRegistry.start { image.answer($0.path) ?? unknown }
        let client = RegistryClient(configuration: configuration(mirrors: [broken], location: upstream))
        _ = try await client.resolve(Reference("nginx:v1"))
        let count = broken.requests.count
        #expect(count == client.configuration.limits.attempts)
        _ = try await client.resolve(Reference("nginx:v1"))
        #expect(broken.requests.count == count)
        await client.close()
        for registry in [broken, upstream] { try await registry.stop() }
    }

    @Test func aBlobOfTwoImagesComesOnceAndOneThatIsThereNotAtAll() async throws {
        let scratch = try Scratch()
        let one = try SmallImage(layers: ["shared", "first"])
        let two = try SmallImage(layers: ["shared", "second", "there"])
        let registry = try await FakeRegistry.start { request in
            (request.path.contains("/one/") ? one : two).answer(request.path) ?? unknown
        }
        let store = try await ImageStore.open(scratch.path.appending("store"))
        try await store.put(Data("there".utf8), mediaType: MediaType.layerGzip)
        let client = RegistryClient(configuration: quickConfiguration())
        let progress = Recording()
        let puller = ImagePuller(client: client, store: store, progress: progress)
        let platform = try #require(Platform("linux/amd64"))
        async let first = puller.pull(Reference("\(registry.host)/one/x:v1"), platform: platform)
        async let second = puller.pull(Reference("\(registry.host)/two/x:v1"), platform: platform)
        _ = try await (first, second)
        func count(_ text: String) -> Int {
            registry.requests.count { $0.path.hasSuffix("\(Digest.of(Data(text.utf8)))") }
        }
        #expect(count("shared") == 1)
        #expect(count("first") == 1)
        #expect(count("there") == 0)
        for blob in one.blobs + two.blobs + [one.descriptor, two.descriptor] {
            #expect(try await store.size(of: blob.digest) == blob.size)
        }
        #expect(progress.advances.contains { $0.completed == $0.total })
        #expect(!progress.advances.contains { $0.completed > $0.total ?? 0 })
        await client.close()
        try await registry.stop()
    }

    @Test func aBlobThatTheFirstImagesRepositoryLacksComesFromTheSecond() async throws {
        let scratch = try Scratch()
        let image = try SmallImage(layers: ["shared"])
        let shared = "\(Digest.of(Data("shared".utf8)))"
        let registry = try await FakeRegistry.start { request in
            request.path.contains("/bad/") && request.path.hasSuffix(shared)
                ? unknown : image.answer(request.path) ?? unknown
        }
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let client = RegistryClient(configuration: quickConfiguration())
        let puller = ImagePuller(client: client, store: store)
        let platform = try #require(Platform("linux/amd64"))
        let names = ["bad/x", "good/x", "bad/y", "good/y"]
        let results = await withTaskGroup(of: (String, Bool).self) { group in
            for name in names {
                group.addTask {
                    do {
                        _ = try await puller.pull(Reference("\(registry.host)/\(name):v1"), platform: platform)
                        return (name, true)
                    } catch {
                        return (name, false)
                    }
                }
            }
            return await group.reduce(into: [String: Bool]()) { $0[$1.0] = $1.1 }
        }
        #expect(results["good/x"] == true)
        #expect(results["good/y"] == true)
        await client.close()
        try await registry.stop()
    }

    @Test func aClusterImageComesWhole() async throws {
        let scratch = try Scratch()
        let (one, two) = (try SmallImage(layers: ["root"]), try SmallImage(layers: ["member"], architecture: "s390x"))
        let index = try canonicalJSON(
            ImageIndex(artifactType: MediaType.clusterImage, manifests: [one.descriptor, two.descriptor])
        )
        let registry = try await FakeRegistry.start { request in
            if request.path.hasSuffix("/v1") { return .reply(200, ["Content-Type": MediaType.index], Array(index)) }
            return one.answer(request.path) ?? two.answer(request.path) ?? unknown
        }
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let client = RegistryClient(configuration: quickConfiguration())
        let image = try await ImagePuller(client: client, store: store).pullAll(Reference("\(registry.host)/c/i:v1"))
        #expect(image.bytes == index)
        #expect(try await store.closure(of: image.descriptor).count == 7)
        await client.close()
        try await registry.stop()
    }
}

/// Adds up progress.
final class Received: Sendable {
    private let total = Mutex<Int64>(0)

    func add(_ bytes: Int64) { total.withLock { $0 += bytes } }

    var bytes: Int64 { total.withLock { $0 } }
}
