import Archive
import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

private let executable = ProcessInfo.processInfo.environment["SEALER_TEST_EXECUTABLE"]

/// What came back of an image that went through a client of others.
private enum Fidelity {
    /// Every byte: the digest of the top, and so all below it.
    case everything
    /// The configuration and the packed layers; the manifest is another one.
    case layers
    /// The configuration, and layers that unpack to what it says; they are packed anew.
    case contents
}

/// Our push, their pull, their push, our pull, at our registry and at docker's. All of it with the executables, as users do it.
///
/// Where the executable is named, the other tools must be there too: a test that lacks one fails, and is not skipped.
@Suite(
    "Clients of others",
    .enabled(if: executable != nil, "SEALER_TEST_EXECUTABLE is not set; make test sets it"))
struct ClientMatrixTests {
    @Test("give back what they got", arguments: ClientKind.allCases, RegistryKind.allCases)
    func roundTrip(client kind: ClientKind, at registryKind: RegistryKind) async throws {
        let scratch = try Scratch()
        let place = try Place(in: scratch.path, executable: try #require(executable))
        let store = try await ImageStore.open(place.folder.appending("source/store"))
        let samples = try await samples(for: kind, in: store)
        try await place.with(registryKind) { registry in
            try await kind.use(in: place) { client in
                let (ours, theirs) = ("\(owner(client))/ours", "\(owner(client))/theirs")
                for (sample, fidelity) in samples {
                    let name = registry.name(ours, sample)
                    let pushed = try await place.sealer(["push", sample.reference, name])
                    #expect(pushed.contains("\(sample.top.digest)"))
                    try await expectPulled(sample, by: client, kind, name, registry, store)
                    // Within a registry they take the layers over: whoever packs again knows that it has them packed.
                    let target = registry.name(theirs, sample)
                    let digest = try await client.push(name, as: target, to: registry)
                    try await expect(target, digest, is: sample, fidelity, place, store)
                }
                // Elsewhere they must send all bytes.
                guard registryKind == .ours else { return }
                try await place.with(.ours) { elsewhere in
                    for (sample, fidelity) in samples {
                        let target = elsewhere.name(theirs, sample)
                        let digest = try await client.push(registry.name(ours, sample), as: target, to: elsewhere)
                        let expected = kind.keepsBytes ? fidelity : .contents
                        try await expect(target, digest, is: sample, expected, place, store)
                    }
                }
            }
        }
    }

    /// A ClusterImage, built here, whose contained images were pulled from the registry.
    @Test("carry a whole ClusterImage", arguments: [ClientKind.skopeo, .containerd], RegistryKind.allCases)
    func clusterImage(client kind: ClientKind, at registryKind: RegistryKind) async throws {
        let scratch = try Scratch()
        let place = try Place(in: scratch.path, executable: try #require(executable))
        let store = try await ImageStore.open(place.folder.appending("source/store"))
        var maker = ImageMaker(store)
        let member = try await maker.image("member", [.gzip], .oci)
        try await place.with(registryKind) { registry in
            try await kind.use(in: place) { client in
                let cluster = try await build(containing: [member], place, registry, store)
                try await carry(cluster, by: client, kind, place, registry, store)
            }
        }
    }

    /// One with an image of several platforms carries that image's index too. Of an `artifactType` on the entry for it skopeo 1.9
    /// knows nothing and would write the list anew; and under its own type containerd would follow the index.
    @Test(
        "carry a ClusterImage with an image of several platforms", arguments: [ClientKind.skopeo, .containerd])
    func clusterImageWithIndexes(client kind: ClientKind) async throws {
        let scratch = try Scratch()
        let place = try Place(in: scratch.path, executable: try #require(executable))
        let store = try await ImageStore.open(place.folder.appending("source/store"))
        var maker = ImageMaker(store)
        let member = try await maker.index("member", [.gzip])
        try await place.with(.ours) { registry in
            try await kind.use(in: place) { client in
                let cluster = try await build(containing: [member], place, registry, store)
                try await carry(cluster, by: client, kind, place, registry, store)
            }
        }
    }

    // MARK: - Images

    private func samples(for kind: ClientKind, in store: ImageStore) async throws -> [(SampleImage, Fidelity)] {
        var maker = ImageMaker(store)
        switch kind {
        case .skopeo, .containerd:
            // They carry bytes and look into nothing.
            return [
                (try await maker.image("oci", [.gzip, .zstd], .oci), .everything),
                (try await maker.image("schema2", [.gzip, .gzip], .schema2OfDocker), .everything),
                (try await maker.index("index", [.gzip, .zstd]), .everything),
            ]
        case .podman, .buildah:
            // They write the manifest anew, from the configuration and the layers, of an index that of this platform: the same
            // bytes, because these manifests are in the form that they write.
            return [
                (try await maker.image("oci", [.gzip, .zstd], .oci), .everything),
                (try await maker.image("schema2", [.gzip, .gzip], .schema2), .everything),
                (try await maker.index("index", [.gzip, .zstd]), .everything),
            ]
        case .docker:
            // Version 20.10 reads no zstd, and pushes Docker's own kind of manifest only, whatever it pulled.
            return [
                (try await maker.image("oci", [.gzip, .gzip], .oci), .layers),
                (try await maker.image("schema2", [.gzip, .gzip], .schema2OfDocker), .everything),
                (try await maker.index("index", [.gzip, .gzip]), .layers),
            ]
        }
    }

    private func owner(_ client: any OtherClient) -> String { (client as? Docker)?.owner ?? "matrix" }

    private func build(
        containing members: [SampleImage], _ place: Place, _ registry: Registry, _ store: ImageStore
    ) async throws -> SampleImage {
        let context = place.folder.appending("context")
        try Folder.make(context.appending("manifests"))
        var list = ""
        for member in members {
            try await place.sealer(["push", member.reference, registry.name("lib", member)])
            list += registry.name("lib", member) + "\n"
        }
        try AtomicFile.write(Array("FROM scratch\nCOPY manifests manifests\n".utf8), to: context.appending("Kubefile"))
        try AtomicFile.write(Array(list.utf8), to: context.appending("manifests/imageList"))
        let name = "example.org/cluster:1"
        try await place.sealer(["build", "--tag", name, context.string])
        let top = try #require(try await store.resolve(Reference(name)))
        return SampleImage(name: "cluster", top: top, own: top)
    }

    // MARK: - What is expected

    /// The client has what we pushed.
    private func expectPulled(
        _ sample: SampleImage, by client: any OtherClient, _ kind: ClientKind, _ name: String, _ registry: Registry,
        _ store: ImageStore
    ) async throws {
        let names = try await client.pull(name, from: registry)
        switch kind {
        case .skopeo, .containerd: #expect(names == [sample.top.digest.description])
        case .podman, .docker:
            // The digest of what the name stands for, and the configuration's as the image's own.
            let config = try await manifest(sample.own, in: store).config
            #expect(names.isSuperset(of: [sample.top.digest.description, config.digest.description]))
        case .buildah:
            // Of an index it keeps the digest of the image that it took out.
            let config = try await manifest(sample.own, in: store).config
            #expect(names.contains(config.digest.description))
            #expect(!names.isDisjoint(with: [sample.own.digest.description, sample.top.digest.description]))
        }
    }

    /// What the client pushed comes back to us.
    private func expect(
        _ name: String, _ digest: String, is sample: SampleImage, _ fidelity: Fidelity, _ place: Place,
        _ store: ImageStore
    ) async throws {
        let root = "pulled-\(UInt32.random(in: 0...UInt32.max))"
        try await place.sealer(["pull", name], root: root)
        let pulled = try await ImageStore.open(place.folder.appending(root).appending("store"))
        let top = try #require(try await pulled.resolve(Reference(name)))
        #expect(top.digest.description == digest, "\(name): another digest than the client said")
        #expect(try await pulled.check().isClean)
        switch fidelity {
        case .everything:
            let original = [sample.top, sample.own].first { $0.digest == top.digest }
            let expected = try #require(original, "\(name) has another digest: \(top.digest)")
            let wanted = Set(try await store.closure(of: expected).map(\.digest))
            #expect(Set(try await pulled.closure(of: top).map(\.digest)) == wanted)
        case .layers:
            let (theirs, own) = (try await manifest(top, in: pulled), try await manifest(sample.own, in: store))
            #expect(theirs.config.digest == own.config.digest, "\(name)")
            #expect(theirs.layers.map(\.digest) == own.layers.map(\.digest), "\(name)")
        case .contents:
            let (theirs, own) = (try await manifest(top, in: pulled), try await manifest(sample.own, in: store))
            #expect(theirs.config.digest == own.config.digest, "\(name)")
            var contents: [Digest] = []
            for layer in theirs.layers {
                contents.append(try unpackedDigest(of: readFile(pulled.path(of: layer.digest)), name))
            }
            #expect(contents == (try await store.json(ImageConfig.self, own.config)).rootfs.diffIDs, "\(name)")
        }
        try Folder.delete(place.folder.appending(root))
    }

    private func carry(
        _ cluster: SampleImage, by client: any OtherClient, _ kind: ClientKind, _ place: Place, _ registry: Registry,
        _ store: ImageStore
    ) async throws {
        let (name, target) = (registry.name("ours", cluster), registry.name("theirs", cluster))
        try await place.sealer(["push", cluster.reference, name])
        try await expectPulled(cluster, by: client, kind, name, registry, store)
        let digest = try await client.push(name, as: target, to: registry)
        try await expect(target, digest, is: cluster, .everything, place, store)
    }

    private func manifest(_ descriptor: Descriptor, in store: ImageStore) async throws -> ImageManifest {
        guard case .manifest(let manifest) = try await store.document(descriptor) else {
            throw Failure(.integrity, "\(descriptor.digest) is no manifest")
        }
        return manifest
    }

    private func unpackedDigest(of bytes: Data, _ place: String) throws -> Digest {
        var hasher = ContentHasher()
        let (_, source) = try Compression.decoderByContent(MemorySource(Array(bytes)), place: place)
        let sink = FunctionSink { hasher.update($0) }
        _ = try source.copy(to: sink)
        return hasher.digest()
    }
}

extension ClientKind {
    /// Whether it sends the very bytes that it got.
    fileprivate var keepsBytes: Bool { self == .skopeo || self == .containerd }
}
