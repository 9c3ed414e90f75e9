import FoundationEssentials
import ImageStore
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import RegistryServer

/// A ClusterImage with four contained images, made by hand as `docs/image-format.md` says.
struct ContentFixture {
    let store: ImageStore
    let cluster: Descriptor
    let rootfs: Descriptor
    let nginxIndex: Descriptor
    let nginx: Descriptor
    let pause: Descriptor
    let quayTool: Descriptor
    let ghcrTool: Descriptor
    /// A layer of nginx, larger than the sender's chunk.
    let layer: Descriptor
    let layerBytes: Data
    /// In the store, but no name leads to it.
    let orphan: Descriptor

    static let layerSize = (5 << 19) + 7

    init(in folder: FilePath) async throws {
        let store = try await ImageStore.open(folder.appending("store"))
        self.store = store
        var random = SeededGenerator(seed: 31)
        var bytes = Data(capacity: Self.layerSize + 8)
        while bytes.count < Self.layerSize { withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) } }
        layerBytes = bytes.prefix(Self.layerSize)
        layer = try await store.put(layerBytes, mediaType: MediaType.layer)

        func image(_ name: String?, content: String, layers: [Descriptor], sealer: ClusterImageConfig? = nil)
            async throws -> Descriptor
        {
            let config = ImageConfig(
                platform: Platform(architecture: "amd64"),
                config: .init(labels: ["name": name ?? "rootfs"]),
                rootfs: .init(diffIDs: layers.map(\.digest)),
                sealer: sealer
            )
            let configBlob = try await store.put(canonicalJSON(config), mediaType: MediaType.config)
            var entry = try await store.put(
                canonicalJSON(ImageManifest(config: configBlob, layers: layers)),
                mediaType: MediaType.manifest
            )
            entry.platform = Platform(architecture: "amd64")
            entry.annotations = [AnnotationKey.content: content]
            if let name { entry.annotations?[AnnotationKey.imageName] = name }
            return entry
        }
        let small = try await store.put(Data("small".utf8), mediaType: MediaType.layer)
        nginx = try await image("docker.io/library/nginx:1.25", content: "image", layers: [layer])
        pause = try await image("k8s.gcr.io/pause:3.2", content: "image", layers: [small])
        quayTool = try await image("quay.io/team/tool:v1", content: "image", layers: [small])
        ghcrTool = try await image("ghcr.io/team/tool:v2", content: "image", layers: [])
        // The other platform of nginx is not carried.
        var other = nginx
        other.digest = .of(Data("elsewhere".utf8))
        other.platform = Platform(architecture: "arm64")
        other.annotations = nil
        var own = nginx
        own.annotations = nil
        nginxIndex = try await store.put(
            canonicalJSON(ImageIndex(manifests: [other, own])), mediaType: MediaType.index)
        rootfs = try await image(
            nil,
            content: "rootfs",
            layers: [small],
            sealer: ClusterImageConfig(
                kind: .kubeInstaller,
                images: [
                    .init(
                        name: "docker.io/library/nginx:1.25", digest: nginxIndex.digest, foundIn: ["manifests/a.yaml:1"]
                    ),
                    .init(name: "k8s.gcr.io/pause:3.2", digest: pause.digest, foundIn: ["manifests/imageList:1"]),
                ]
            )
        )
        let empty = try await store.put(Data("{}".utf8), mediaType: MediaType.empty)
        var carrier = try await store.put(
            canonicalJSON(ImageManifest(artifactType: MediaType.upstreamIndexes, config: empty, layers: [nginxIndex])),
            mediaType: MediaType.manifest
        )
        carrier.annotations = [AnnotationKey.content: "indexes"]
        cluster = try await store.put(
            canonicalJSON(
                ImageIndex(
                    artifactType: MediaType.clusterImage,
                    manifests: [rootfs, nginx, pause, quayTool, ghcrTool, carrier]
                )
            ),
            mediaType: MediaType.index
        )
        try await store.tag(cluster, as: Reference("registry.example.com/acme/cluster:v1"))
        orphan = try await store.put(Data("orphan".utf8), mediaType: MediaType.layer)
    }
}

@Suite struct StoreContentTests {
    @Test func containedImagesHaveTheirOriginalNames() async throws {
        let scratch = try Scratch()
        let fixture = try await ContentFixture(in: scratch.path)
        let content = StoreContent(store: fixture.store)
        let expected: [(path: String, namespace: String?, tag: String, digest: Digest?)] = [
            ("library/nginx", "docker.io", "1.25", fixture.nginxIndex.digest),
            ("library/nginx", "registry-1.docker.io", "1.25", fixture.nginxIndex.digest),
            ("library/nginx", nil, "1.25", fixture.nginxIndex.digest),
            ("nginx", nil, "1.25", fixture.nginxIndex.digest),
            ("docker.io/library/nginx", nil, "1.25", fixture.nginxIndex.digest),
            ("nginx", "docker.io", "1.25", nil),
            ("library/nginx", "quay.io", "1.25", nil),
            ("library/nginx", nil, "1.26", nil),
            ("pause", "k8s.gcr.io", "3.2", fixture.pause.digest),
            ("pause", nil, "3.2", fixture.pause.digest),
            ("k8s.gcr.io/pause", nil, "3.2", fixture.pause.digest),
            ("team/tool", "quay.io", "v1", fixture.quayTool.digest),
            ("ghcr.io/team/tool", nil, "v2", fixture.ghcrTool.digest),
            ("quay.io/team/tool", nil, "v2", nil),
            ("acme/cluster", "registry.example.com", "v1", fixture.cluster.digest),
            ("acme/cluster", nil, "v1", fixture.cluster.digest),
        ]
        for item in expected {
            let found = try await content.manifest(
                repository: item.path, namespace: item.namespace, reference: .tag(item.tag), scope: .all)
            #expect(found?.descriptor.digest == item.digest, "\(item)")
            if let found { #expect(Digest.of(found.bytes) == found.descriptor.digest) }
        }
        let ambiguous = await #expect(throws: Failure.self) {
            try await content.manifest(repository: "team/tool", namespace: nil, reference: .tag("v1"), scope: .all)
        }
        #expect(ambiguous?.kind == .notFound)
        #expect(ambiguous?.what.contains("ghcr.io/team/tool, quay.io/team/tool") == true)
        // Who sees only one of them is not told of the other.
        let scope = RepositoryScope(["quay.io/team"])
        let seen = try await content.manifest(
            repository: "team/tool", namespace: nil, reference: .tag("v1"), scope: scope)
        #expect(seen?.descriptor.digest == fixture.quayTool.digest)
        #expect(
            try await content.fullName(repository: "team/tool", namespace: nil, scope: scope) == "quay.io/team/tool")
        for (path, namespace) in [("nginx", nil), ("team/tool", "ghcr.io"), ("nowhere", nil)] as [(String, String?)] {
            #expect(try await content.fullName(repository: path, namespace: namespace, scope: scope) == nil, "\(path)")
        }
        #expect(
            try await content.repositories() == [
                "docker.io/library/nginx", "ghcr.io/team/tool", "k8s.gcr.io/pause", "quay.io/team/tool",
                "registry.example.com/acme/cluster",
            ]
        )
        #expect(try await content.tags(repository: "docker.io/library/nginx") == ["1.25"])
        #expect(try await content.tags(repository: "docker.io/library/nothing") == nil)
    }

    @Test func onlyWhatANameLeadsToIsServed() async throws {
        let scratch = try Scratch()
        let fixture = try await ContentFixture(in: scratch.path)
        let content = StoreContent(store: fixture.store)
        for descriptor in try await fixture.store.closure(of: fixture.cluster) {
            let blob = try await content.blob(descriptor.digest)
            #expect(blob?.size == descriptor.size)
            try blob?.file.close()
        }
        #expect(try await content.blob(fixture.orphan.digest) == nil)
        #expect(try await content.blob(.of(Data("nowhere".utf8))) == nil)
        // A layer is no manifest, even by its digest; the index of a carried image is.
        func document(_ digest: Digest) async throws -> ServedDocument? {
            try await content.manifest(repository: "x", namespace: nil, reference: .digest(digest), scope: .all)
        }
        #expect(try await document(fixture.layer.digest) == nil)
        #expect(try await document(fixture.nginxIndex.digest)?.descriptor.mediaType == MediaType.index)
        #expect(try await document(fixture.nginx.digest)?.descriptor.mediaType == MediaType.manifest)
    }

    @Test func namesComeAndGo() async throws {
        let scratch = try Scratch()
        let fixture = try await ContentFixture(in: scratch.path)
        let content = StoreContent(store: fixture.store)
        let reference = try Reference("registry.example.com/acme/cluster:v2")
        func isServed() async throws -> Bool {
            try await content.manifest(
                repository: reference.path, namespace: reference.domain, reference: .tag("v2"), scope: .all)
                != nil
        }
        #expect(try await !isServed())
        try await fixture.store.tag(fixture.cluster, as: reference)
        #expect(try await isServed())
        try await fixture.store.untag(reference)
        #expect(try await !isServed())
        try await fixture.store.untag(Reference("registry.example.com/acme/cluster:v1"))
        #expect(try await content.blob(fixture.layer.digest) == nil)
        #expect(try await content.repositories().isEmpty)
    }

    @Test func oneBadImageDoesNotHideTheOthers() async throws {
        let scratch = try Scratch()
        let fixture = try await ContentFixture(in: scratch.path)
        let problems = Mutex<[Failure]>([])
        let content = StoreContent(store: fixture.store) { failure in problems.withLock { $0.append(failure) } }
        var bad = fixture.nginx
        bad.annotations?[AnnotationKey.imageName] = "Not A Name"
        let index = try await fixture.store.put(
            canonicalJSON(ImageIndex(artifactType: MediaType.clusterImage, manifests: [bad])),
            mediaType: MediaType.index
        )
        try await fixture.store.tag(index, as: Reference("registry.example.com/bad:v1"))
        #expect(try await content.repositories().contains("docker.io/library/nginx"))
        #expect(
            try await content.manifest(repository: "bad", namespace: nil, reference: .tag("v1"), scope: .all) == nil)
        #expect(problems.withLock { $0.count } == 1)
        #expect(problems.withLock { $0.first?.what.contains("registry.example.com/bad:v1") } == true)
    }
}
