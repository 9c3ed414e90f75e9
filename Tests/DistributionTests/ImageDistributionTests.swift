import Distribution
import FoundationEssentials
import ImageStore
import OCI
import Remote
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@Suite("Bringing an image to hosts")
struct ImageDistributionTests {
    /// A host that keeps in memory what it gets, and may lose what it is sent.
    private final class MemoryHost: Host {
        struct State {
            var blobs: Set<Digest> = []
            var sent: [Digest] = []
            var names: [String: Digest] = [:]
            var fetched: [Descriptor] = []
        }
        let name = "memory"
        let state: Mutex<State>
        let loses: Digest?

        init(has blobs: [Descriptor] = [], loses: Digest? = nil) {
            state = Mutex(State(blobs: Set(blobs.map(\.digest))))
            self.loses = loses
        }

        func facts() async throws -> HostFacts { throw Failure(.software, "not asked for") }
        func run(
            _ command: RemoteCommand, limit: Duration, output: @escaping @Sendable (OutputLine) -> Void
        ) async throws -> CommandResult { throw Failure(.software, "not asked for") }
        func writeFile(_ path: FilePath, _ bytes: Data, permissions: UInt32) async throws {}
        func readFile(_ path: FilePath, limit: Int) async throws -> Data? { nil }
        func inspect(_ paths: [FilePath]) async throws -> [String: FileState] { [:] }
        func delete(_ path: FilePath) async throws {}
        func missing(_ blobs: [Descriptor]) async throws -> [Descriptor] {
            state.withLock { state in blobs.filter { !state.blobs.contains($0.digest) } }
        }
        func send(_ blob: Descriptor, from file: FilePath, advanced: @escaping @Sendable (Int64) -> Void) async throws {
            state.withLock { state in
                state.sent.append(blob.digest)
                if blob.digest != loses { state.blobs.insert(blob.digest) }
            }
        }
        func name(_ image: Descriptor, as reference: Reference) async throws {
            state.withLock { $0.names[reference.description] = image.digest }
        }
        func fetch(_ request: FetchRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws {
            state.withLock { state in
                state.fetched = request.blobs
                for blob in request.blobs where blob.digest != loses { state.blobs.insert(blob.digest) }
            }
        }
        func unpack(_ request: UnpackRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws {}
        func takeLease(_ owner: LeaseOwner, staleAfter: Duration, ended: [String]) async throws -> LeaseOutcome {
            .taken(from: nil)
        }
        func renewLease(_ owner: LeaseOwner) async throws -> LeaseRenewal { .renewed }
        func returnLease(_ id: String?) async throws {}
        func lease() async throws -> LeaseHolder? { nil }
        var isLost: Bool { false }
        func close() async {}
    }

    /// A ClusterImage with a rootfs of two layers and one contained image.
    private func image(in store: ImageStore) async throws -> (ClusterImage, Reference) {
        let layers = [
            try await store.put(Data("one".utf8), mediaType: MediaType.layerZstd),
            try await store.put(Data("second".utf8), mediaType: MediaType.layerZstd),
        ]
        let config = ImageConfig(
            platform: .current,
            rootfs: .init(diffIDs: []),
            sealer: ClusterImageConfig(kind: .appInstaller)
        )
        let configBlob = try await store.put(canonicalJSON(config), mediaType: MediaType.config)
        var rootfs = try await store.put(
            canonicalJSON(ImageManifest(config: configBlob, layers: layers)),
            mediaType: MediaType.manifest
        )
        rootfs.annotations = [AnnotationKey.content: "rootfs"]
        rootfs.platform = .current
        let contained = try await store.put(Data("contained layer".utf8), mediaType: MediaType.layer)
        var member = try await store.put(
            canonicalJSON(ImageManifest(config: configBlob, layers: [contained])),
            mediaType: MediaType.manifest
        )
        member.annotations = [AnnotationKey.content: "image", AnnotationKey.imageName: "example.org/app:1"]
        let index = ImageIndex(artifactType: MediaType.clusterImage, manifests: [rootfs, member])
        let descriptor = try await store.put(canonicalJSON(index), mediaType: MediaType.index)
        let reference = try Reference("example.org/cluster:1")
        try await store.tag(descriptor, as: reference)
        return (try await store.clusterImage(reference), reference)
    }

    private func step(_ body: (Step) async throws -> Void) async throws {
        try await SilentProgress().step("test") { try await body($0) }
    }

    @Test("sends each blob once, only what is missing, and names the image last")
    func sendAll() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let (image, reference) = try await image(in: store)
        let distribution = ImageDistribution(image, named: reference, from: store)
        let host = MemoryHost(has: [image.manifest.layers[0]])
        try await step { try await distribution.sendRootfs(to: host, step: $0) }
        #expect(host.state.withLock { $0.sent.count } == 3)
        #expect(host.state.withLock { $0.names.isEmpty })
        try await step { try await distribution.sendAll(to: host, step: $0) }
        let sent = host.state.withLock { $0.sent }
        #expect(Set(sent).count == sent.count)
        let all = Set(try await store.closure(of: image.descriptor).map(\.digest))
        #expect(Set(sent) == all.subtracting([image.manifest.layers[0].digest]))
        #expect(host.state.withLock { $0.names } == [reference.description: image.descriptor.digest])
    }

    @Test("a blob that does not arrive is a failure, and the image gets no name")
    func lost() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let (image, reference) = try await image(in: store)
        let distribution = ImageDistribution(image, named: reference, from: store)
        let host = MemoryHost(loses: image.manifest.layers[1].digest)
        let failure = await #expect(throws: Failure.self) {
            try await step { try await distribution.sendAll(to: host, step: $0) }
        }
        #expect(failure?.kind == .integrity)
        #expect(failure?.what.contains(image.manifest.layers[1].digest.short) == true)
        #expect(host.state.withLock { $0.names.isEmpty })
    }

    @Test("another host fetches the rootfs only, and what did not come is a failure")
    func fetch() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let (image, reference) = try await image(in: store)
        let distribution = ImageDistribution(image, named: reference, from: store)
        let host = MemoryHost(has: [image.manifest.config])
        let source = ImageDistribution.Source(url: "https://sea.hub:5000", address: "10.0.0.2", authority: "pem")
        try await step {
            try await distribution.fetchRootfs(on: host, from: source, step: $0)
        }
        let fetched = host.state.withLock { $0.fetched.map(\.digest) }
        #expect(Set(fetched) == Set([image.rootfs.digest] + image.manifest.layers.map(\.digest)))
        let loser = MemoryHost(loses: image.rootfs.digest)
        let failure = await #expect(throws: Failure.self) {
            try await step {
                try await distribution.fetchRootfs(on: loser, from: source, step: $0)
            }
        }
        #expect(failure?.kind == .integrity)
    }
}
