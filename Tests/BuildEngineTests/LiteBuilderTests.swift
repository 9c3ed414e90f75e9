import BuildEngine
import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@Suite("The Lite Builder")
struct LiteBuilderTests {
    /// An upstream of our own: every name under `example.org/` is there, as a manifest under an index; nothing else is.
    private struct Upstream: ImageSource {
        let store: ImageStore

        func pull(_ reference: Reference, platform: Platform) async throws -> PulledImageRecord {
            guard reference.domain == "example.org" else {
                throw Failure(.notFound, "there is no such image", at: reference.description)
            }
            let layer = try await store.put(Data("layer of \(reference)".utf8), mediaType: MediaType.layer)
            let config = try await store.put(Data("{}".utf8), mediaType: MediaType.config)
            var manifest = try await store.put(
                canonicalJSON(ImageManifest(config: config, layers: [layer])),
                mediaType: MediaType.manifest
            )
            manifest.platform = platform
            let index = try await store.put(
                canonicalJSON(ImageIndex(manifests: [manifest])), mediaType: MediaType.index)
            return PulledImageRecord(manifest: manifest, upstreamIndex: index)
        }

        func pullClusterImage(_ reference: Reference) async throws -> Descriptor {
            throw Failure(.notFound, "there is no such image", at: reference.description)
        }
    }

    private static func write(_ files: [String: String], to folder: FilePath) throws {
        for (name, text) in files {
            let path = folder.appending(FilePath(name).components)
            try Folder.make(path.removingLastComponent())
            try AtomicFile.write(Array(text.utf8), to: path)
        }
    }

    private static func build(
        _ kubefile: String,
        _ files: [String: String],
        in scratch: FilePath,
        name: String = "example.org/cluster:1"
    ) async throws -> (store: ImageStore, image: ClusterImage) {
        let context = scratch.appending("context-\(UInt32.random(in: 0...UInt32.max))")
        try Folder.make(context)
        try write(files.merging(["Kubefile": kubefile]) { first, _ in first }, to: context)
        let store = try await ImageStore.open(scratch.appending("store"))
        let builder = LiteBuilder(store: store, source: Upstream(store: store), progress: SilentProgress())
        let reference = try Reference(name)
        _ = try await builder.build(
            BuildRequest(kubefile: context.appending("Kubefile"), context: context, name: reference)
        )
        return (store, try await store.clusterImage(reference))
    }

    private static let pod = """
        apiVersion: v1
        kind: Pod
        metadata: {name: a}
        spec:
          containers:
            - name: a
              image: example.org/app:1

        """

    @Test("makes an index of the rootfs, the images that were found, and upstream's indexes")
    func members() async throws {
        let scratch = try Scratch()
        let (store, image) = try await Self.build(
            """
            FROM scratch
            LABEL cluster.alpha.sealer.io/cluster-runtime-version=v1.20.2
            COPY manifests manifests
            CMD kubectl apply -f manifests
            """,
            ["manifests/a.yaml": Self.pod, "manifests/imageList": "# list\nexample.org/other:2\n"],
            in: scratch.path
        )
        #expect(image.members.map(\.name.description) == ["example.org/app:1", "example.org/other:2"])
        #expect(image.sealer.images.map(\.foundIn) == [["manifests/a.yaml:7"], ["manifests/imageList:2"]])
        #expect(image.sealer.kind == .kubeInstaller)
        #expect(image.sealer.launch == [.shell("kubectl apply -f manifests")])
        #expect(image.upstreamIndexes.count == 2)
        #expect(image.upstreamIndexes.allSatisfy { $0.mediaType == MediaType.index })
        let entry = try #require(image.index.manifests.last)
        #expect(entry.artifactType == nil)
        guard case .manifest(let carrier) = try await store.document(entry) else {
            throw Failure(.software, "no carrier")
        }
        #expect(carrier.layers.allSatisfy { $0.mediaType == MediaType.upstreamIndex })
        #expect(Set(image.sealer.images.map(\.digest)) == Set(image.upstreamIndexes.map(\.digest)))
        #expect(image.index.manifests.first?.annotations?[AnnotationKey.content] == "rootfs")
        #expect(image.manifest.layers.map(\.mediaType) == [MediaType.layerZstd])
        #expect(try await store.missing(store.closure(of: image.descriptor)).isEmpty)
    }

    @Test("gives the same digest for the same inputs, and another one for others")
    func reproducible() async throws {
        let first = try Scratch()
        let second = try Scratch()
        let files = ["manifests/a.yaml": Self.pod, "etc/x": "1"]
        let kubefile = "FROM scratch\nCOPY manifests manifests\nCOPY etc etc\nENV A=1\n"
        let one = try await Self.build(kubefile, files, in: first.path).image.descriptor.digest
        let two = try await Self.build(kubefile, files, in: second.path).image.descriptor.digest
        #expect(one == two)
        let other = try await Self.build(kubefile, files.merging(["etc/x": "2"]) { $1 }, in: second.path)
        #expect(other.image.descriptor.digest != one)
    }

    @Test("fails when an image cannot be had, naming it and every place that asks for it, and leaves no name behind")
    func missingImage() async throws {
        let scratch = try Scratch()
        let path = scratch.path
        let failure = await #expect(throws: Failure.self) {
            try await Self.build(
                "FROM scratch\nCOPY manifests manifests\n",
                ["manifests/imageList": "nowhere.org/x:1\nexample.org/app:1\nnowhere.org/y:1\n"],
                in: path
            )
        }
        #expect(failure?.kind == .notFound)
        let text = failure?.description ?? ""
        #expect(text.contains("nowhere.org/x:1, which manifests/imageList:1 asks for"), "\(text)")
        #expect(text.contains("nowhere.org/y:1, which manifests/imageList:3 asks for"), "\(text)")
        #expect(try await ImageStore.open(path.appending("store")).names().isEmpty)
    }

    @Test("reports every missing source at its place, before anything is written")
    func missingSources() async throws {
        let scratch = try Scratch()
        let path = scratch.path
        let invalid = await #expect(throws: InvalidText.self) {
            try await Self.build(
                "FROM scratch\nCOPY nothing etc\nCOPY etc/a also-nothing etc/\n", ["etc/a": ""], in: path)
        }
        #expect(invalid?.diagnostics.map { "\($0.line):\($0.column)" } == ["2:6", "3:12"])
        #expect(try Folder.names(in: path.appending("store/blobs/sha256")).isEmpty)
    }

    @Test("does not follow a link out of the context")
    func escape() async throws {
        let scratch = try Scratch()
        let context = scratch.path.appending("context")
        try Self.write(
            ["context/Kubefile": "FROM scratch\nCOPY out/secret etc/\n", "outside/secret": "s"], to: scratch.path)
        symlink("../outside", context.appending("out").string)
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let builder = LiteBuilder(store: store, source: Upstream(store: store), progress: SilentProgress())
        let request = BuildRequest(
            kubefile: context.appending("Kubefile"),
            context: context,
            name: try Reference("example.org/a:1")
        )
        let invalid = await #expect(throws: InvalidText.self) { try await builder.build(request) }
        #expect(invalid?.diagnostics.first?.message.contains("leads out of the build context") == true)
    }

    @Test("builds on another ClusterImage: layers, images, environment and launch come first, nothing is pulled again")
    func base() async throws {
        let scratch = try Scratch()
        _ = try await Self.build(
            "FROM scratch\nENV A=base B=base\nCOPY manifests manifests\nCMD first\n",
            ["manifests/imageList": "example.org/app:1\n"],
            in: scratch.path,
            name: "example.org/base:1"
        )
        let (_, image) = try await Self.build(
            "FROM example.org/base:1\nENV B=$A-own\nCOPY manifests manifests\nAPP web local://web\nCMD second\n",
            ["manifests/a.yaml": Self.pod, "web/web.yaml": Self.pod],
            in: scratch.path
        )
        #expect(image.manifest.layers.count == 3)
        #expect(image.config.rootfs.diffIDs.count == 3)
        #expect(image.sealer.env == ["A": "base", "B": "base-own"])
        #expect(image.sealer.launch == [.shell("first"), .shell("second")])
        #expect(image.sealer.apps == [.init(name: "web", type: .kube, path: "application/apps/web")])
        #expect(image.members.count == 1)
        #expect(
            image.sealer.images.map(\.foundIn)
                == [["application/apps/web/web.yaml:7", "manifests/a.yaml:7", "manifests/imageList:1"]]
        )
    }

    @Test("does not unpack a helm of the base image that is larger than any helm")
    func hugeHelm() async throws {
        let scratch = try Scratch()
        let context = scratch.path.appending("base")
        try Self.write(["Kubefile": "FROM scratch\nCOPY bin bin\n", "bin/kubectl": "x"], to: context)
        // A hole: 600 MiB for whoever reads it, next to nothing in the layer.
        let helm = try FileDescriptor.open(
            context.appending("bin/helm"), .writeOnly, options: [.create], permissions: [.ownerReadWriteExecute])
        try helm.closeAfter { #expect(ftruncate(helm.rawValue, 600 << 20) == 0) }
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let builder = LiteBuilder(store: store, source: Upstream(store: store), progress: SilentProgress())
        _ = try await builder.build(
            BuildRequest(
                kubefile: context.appending("Kubefile"), context: context, name: try Reference("example.org/base:1")))
        let failure = await #expect(throws: Failure.self) {
            try await Self.build(
                "FROM example.org/base:1\nCOPY charts charts\n", ["charts/a/Chart.yaml": "name: a\nversion: 1.0.0\n"],
                in: scratch.path)
        }
        #expect(failure?.what.contains("bin/helm of the base image has 629145600 bytes") == true)
    }

    @Test("launches only applications that are there")
    func unknownApplication() async throws {
        let scratch = try Scratch()
        let path = scratch.path
        _ = try await Self.build("FROM scratch\nCOPY etc etc\n", ["etc/a": ""], in: path, name: "example.org/base:1")
        let invalid = await #expect(throws: InvalidText.self) {
            try await Self.build(
                "FROM example.org/base:1\nAPP web local://web\nLAUNCH [\"web\", \"ghost\"]\n",
                ["web/run.sh": ""],
                in: path
            )
        }
        #expect(
            invalid?.description.hasPrefix("Kubefile:3:16: there is no application ghost") == true,
            "\(String(describing: invalid))")
    }

    @Test("a Kubefile that is not there, or no text, is a clear failure")
    func unreadable() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let builder = LiteBuilder(store: store, source: Upstream(store: store), progress: SilentProgress())
        let path = scratch.path.appending("Kubefile")
        let request = BuildRequest(kubefile: path, context: scratch.path, name: try Reference("example.org/a:1"))
        let missing = await #expect(throws: Failure.self) { try await builder.build(request) }
        #expect(missing?.kind == .notFound)
        try AtomicFile.write([0xff, 0xfe, 0x00], to: path)
        let binary = await #expect(throws: Failure.self) { try await builder.build(request) }
        #expect(binary?.kind == .invalidInput)
    }
}
