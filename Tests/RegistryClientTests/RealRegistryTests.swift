import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@testable import RegistryClient

private let isInstalled = Program("docker-registry") != nil && Program("skopeo") != nil && Program("openssl") != nil

/// Debian's docker-registry, filled by skopeo from a layout of ours.
@Suite(.enabled(if: isInstalled, "docker-registry, skopeo or openssl is not installed"))
struct RealRegistryTests {
    /// A layer of `size` bytes that no compression makes smaller.
    private func noise(_ size: Int, seed: UInt64) -> Data {
        var random = SeededGenerator(seed: seed)
        var data = Data(capacity: size)
        while data.count < size { withUnsafeBytes(of: random.next()) { data.append(contentsOf: $0) } }
        return data
    }

    /// Puts `docker.io/library/demo:v1`, an index of two platforms, into a store.
    private func fill(_ store: ImageStore) async throws -> (index: Descriptor, amd64: Descriptor, blobs: [Descriptor]) {
        var entries: [Descriptor] = []
        var blobs: [Descriptor] = []
        for (architecture, seed) in [("arm64", UInt64(1)), ("amd64", UInt64(2))] {
            let layers = [
                try await store.put(noise(3 << 20, seed: seed), mediaType: MediaType.layer),
                try await store.put(noise(1000, seed: 3), mediaType: MediaType.layer),
            ]
            let platform = Platform(architecture: architecture)
            let config = try await store.put(
                canonicalJSON(ImageConfig(platform: platform, rootfs: .init(diffIDs: layers.map(\.digest)))),
                mediaType: MediaType.config
            )
            var entry = try await store.put(
                canonicalJSON(ImageManifest(config: config, layers: layers)),
                mediaType: MediaType.manifest
            )
            entry.platform = platform
            entries.append(entry)
            if architecture == "amd64" { blobs = [config] + layers }
        }
        let index = try await store.put(canonicalJSON(ImageIndex(manifests: entries)), mediaType: MediaType.index)
        try await store.tag(index, as: Reference("demo:v1"))
        return (index, entries[1], blobs)
    }

    private struct Place {
        var host: String
        var environment: [String: String]
    }

    /// Runs docker-registry while `body` runs; waits until it accepts connections.
    private func withRegistry(
        in folder: FilePath,
        _ environment: [String: String] = [:],
        _ body: (String) async throws -> Void
    ) async throws {
        let program = try #require(Program("docker-registry"))
        let port = try freePort()
        let config = folder.appending("registry-\(port).yml")
        let text = """
            version: 0.1
            storage: {filesystem: {rootdirectory: \(folder.appending("data-\(port)"))}, maintenance: {uploadpurging: {enabled: false}}}
            http: {addr: "127.0.0.1:\(port)"}
            """
        try AtomicFile.write(Array(text.utf8), to: config)
        try await program.whileRunning(["serve", config.string], environment: environment, in: folder) { log in
            let listens = "listening on 127.0.0.1:\(port)"
            let end = ContinuousClock.now + .seconds(60)
            while !String(decoding: try readFile(log), as: UTF8.self).contains(listens) {
                guard ContinuousClock.now < end else {
                    throw Failure(
                        .timeout, "docker-registry did not start: \(String(decoding: try readFile(log), as: UTF8.self))"
                    )
                }
                try await Task.sleep(for: .milliseconds(20))
            }
            try await body("127.0.0.1:\(port)")
        }
    }

    private func push(_ store: ImageStore, to target: String, in folder: FilePath, _ options: [String] = [])
        async throws
    {
        let skopeo = try #require(Program("skopeo"))
        try await skopeo.run(
            ["copy", "--all", "--preserve-digests", "--insecure-policy", "--dest-tls-verify=false"] + options
                + ["oci:\(store.root):docker.io/library/demo:v1", "docker://\(target)"],
            in: folder
        )
    }

    private func checkPull(
        _ name: String,
        _ configuration: RegistryConfiguration,
        _ source: (index: Descriptor, amd64: Descriptor, blobs: [Descriptor]),
        in folder: FilePath
    ) async throws {
        let store = try await ImageStore.open(folder.appending("pulled-\(UInt32.random(in: 0...UInt32.max))"))
        let client = RegistryClient(configuration: configuration)
        let pulled = try await ImagePuller(client: client, store: store).pull(
            Reference(name), platform: Platform(architecture: "amd64"))
        #expect(pulled.top.descriptor.digest == source.index.digest)
        #expect(pulled.manifest.descriptor.digest == source.amd64.digest)
        for blob in source.blobs + [source.index, source.amd64] {
            #expect(try await store.size(of: blob.digest) == blob.size)
        }
        await client.close()
    }

    @Test func pullByTagByDigestAndByMirror() async throws {
        let scratch = try Scratch()
        let folder = scratch.path
        let store = try await ImageStore.open(folder.appending("source"))
        let source = try await fill(store)
        try await withRegistry(in: folder) { host in
            try await push(store, to: "\(host)/library/demo:v1", in: folder)
            try await checkPull("\(host)/library/demo:v1", quickConfiguration(), source, in: folder)
            try await checkPull("\(host)/library/demo@\(source.index.digest)", quickConfiguration(), source, in: folder)
            let conf = folder.appending("registries.conf")
            try AtomicFile.write(
                Array(
                    "[[registry]]\nprefix = \"docker.io\"\n[[registry.mirror]]\nlocation = \"\(host)\"\ninsecure = true\n"
                        .utf8),
                to: conf
            )
            var loaded = try await RegistryConfiguration.load(
                environment: ["CONTAINERS_REGISTRIES_CONF": conf.string],
                home: folder
            )
            loaded.limits = quickConfiguration().limits
            try await checkPull("demo:v1", loaded, source, in: folder)

            let client = RegistryClient(configuration: quickConfiguration())
            let missing = await #expect(throws: Failure.self) {
                try await client.resolve(Reference("\(host)/library/demo:v2"))
            }
            #expect(missing?.kind == .notFound)
            await client.close()
        }
    }

    /// Our push, their reading, our pull.
    @Test func pushedByUsReadByOthers() async throws {
        let scratch = try Scratch()
        let folder = scratch.path
        let store = try await ImageStore.open(folder.appending("source"))
        let image = try await StoredImage(in: store, layers: [noise(3 << 20, seed: 5), noise(1000, seed: 6)])
        let skopeo = try #require(Program("skopeo"))
        try await withRegistry(in: folder) { host in
            var configuration = quickConfiguration()
            // Chunks of 1 MiB: what is larger goes in several requests.
            configuration.limits.chunkSize = 1 << 20
            let client = RegistryClient(configuration: configuration)
            let pusher = ImagePusher(client: client, store: store)
            let pushed = try await pusher.push(image.index, to: Reference("\(host)/a/cluster:v1"))
            #expect(pushed.sentBlobs.count == image.blobs.count)
            let raw = try await skopeo.run(
                ["inspect", "--raw", "--tls-verify=false", "docker://\(host)/a/cluster:v1"], in: folder)
            #expect(Digest.of(Data(raw.utf8)) == image.index.digest)
            try await skopeo.run(
                [
                    "copy", "--all", "--preserve-digests", "--insecure-policy", "--src-tls-verify=false",
                    "docker://\(host)/a/cluster:v1", "oci:\(folder.appending("theirs")):v1",
                ],
                in: folder
            )
            for blob in image.blobs + [image.index, image.rootfs, image.member] {
                let theirs = folder.appending("theirs").appending("blobs/sha256").appending(blob.digest.hex)
                #expect(Digest.of(try readFile(theirs)) == blob.digest)
            }
            // Another repository takes them from this one, without a byte sent.
            let second = try await pusher.push(image.index, to: Reference("\(host)/b/cluster:v1"))
            #expect(second.mountedBlobs == image.blobs.count)
            #expect(second.sentBlobs.isEmpty)
            let again = try await pusher.push(image.index, to: Reference("\(host)/a/cluster:v1"))
            #expect(again.sentBytes == 0)
            // And back to us.
            let pulled = try await ImageStore.open(folder.appending("pulled"))
            let top = try await ImagePuller(client: client, store: pulled)
                .pullAll(Reference("\(host)/b/cluster:v1"))
            #expect(top.descriptor.digest == image.index.digest)
            #expect(try await pulled.missing(image.blobs).isEmpty)
            await client.close()
        }
    }

    /// docker-registry 2.8 knows no referrers: it gets the list that the specification wants of clients.
    @Test func referrersOfARealRegistry() async throws {
        struct Referrer: Encodable {
            var schemaVersion = 2
            var mediaType = MediaType.manifest
            var artifactType: String
            var config: Descriptor
            var layers: [Descriptor] = []
            var subject: Descriptor
        }
        let scratch = try Scratch()
        let folder = scratch.path
        let store = try await ImageStore.open(folder.appending("source"))
        let source = try await fill(store)
        let empty = try await store.put(Data("{}".utf8), mediaType: MediaType.empty)
        var referrers: [Descriptor] = []
        for type in ["application/x.sbom", "application/x.signature"] {
            referrers.append(
                try await store.put(
                    canonicalJSON(Referrer(artifactType: type, config: empty, subject: source.index)),
                    mediaType: MediaType.manifest))
        }
        let skopeo = try #require(Program("skopeo"))
        try await withRegistry(in: folder) { host in
            let client = RegistryClient(configuration: quickConfiguration())
            let pusher = ImagePusher(client: client, store: store)
            _ = try await pusher.push(source.index, to: Reference("\(host)/a/demo:v1"))
            for _ in 0..<2 {
                for referrer in referrers {
                    _ = try await pusher.push(referrer, to: Reference("\(host)/a/demo@\(referrer.digest)"))
                }
            }
            let raw = try await skopeo.run(
                [
                    "inspect", "--raw", "--tls-verify=false",
                    "docker://\(host)/a/demo:sha256-\(source.index.digest.hex)",
                ], in: folder)
            let list = try JSONDecoder().decode(ImageIndex.self, from: Data(raw.utf8))
            #expect(list.manifests.map(\.digest) == referrers.map(\.digest))
            #expect(list.manifests.map(\.artifactType) == ["application/x.sbom", "application/x.signature"])
            await client.close()
        }
    }

    /// What a killed pull left is gone on with at a registry of others too.
    @Test func aRangeOfARealRegistry() async throws {
        let scratch = try Scratch()
        let folder = scratch.path
        let store = try await ImageStore.open(folder.appending("source"))
        let source = try await fill(store)
        let layer = try #require(source.blobs.max { $0.size < $1.size })
        try await withRegistry(in: folder) { host in
            try await push(store, to: "\(host)/a/demo:v1", in: folder)
            let target = try await ImageStore.open(folder.appending("target"))
            let bytes = try readFile(store.path(of: layer.digest))
            try AtomicFile.write(
                bytes.prefix(2_000_000), to: target.root.appending("ingest/sha256-\(layer.digest.hex).partial"))
            let client = RegistryClient(configuration: quickConfiguration())
            let received = Received()
            try await client.fetchBlob(layer, from: Reference("\(host)/a/demo:v1"), into: target) { received.add($0) }
            #expect(received.bytes == layer.size)
            #expect(try readFile(target.path(of: layer.digest)) == bytes)
            await client.close()
        }
    }

    /// Whole uploads and chunks whose connection breaks, at a registry that forgets what it did not get whole, and pulls of it.
    @Test(arguments: [1 << 20, 64 << 20])
    func connectionsThatBreak(_ chunk: Int64) async throws {
        let scratch = try Scratch()
        let folder = scratch.path
        let store = try await ImageStore.open(folder.appending("source"))
        let image = try await StoredImage(in: store, layers: [noise(3 << 20, seed: 5), noise(1000, seed: 6)])
        try await withRegistry(in: folder) { host in
            let port = try #require(Int(host.split(separator: ":")[1]))
            var configuration = quickConfiguration()
            configuration.limits.chunkSize = chunk
            let up = try await CuttingProxy.start(to: port, cutting: .up, after: 700_000, times: 2)
            let pusher = RegistryClient(configuration: configuration)
            _ = try await ImagePusher(client: pusher, store: store, concurrency: 1)
                .push(image.index, to: Reference("\(up.host)/a/cluster:v1"))
            await pusher.close()
            #expect(up.count == 2)
            try await up.stop()

            let down = try await CuttingProxy.start(to: port, cutting: .down, after: 1_500_000, times: 2)
            let puller = RegistryClient(configuration: configuration)
            let pulled = try await ImageStore.open(folder.appending("pulled"))
            _ = try await ImagePuller(client: puller, store: pulled, concurrency: 1)
                .pullAll(Reference("\(down.host)/a/cluster:v1"))
            await puller.close()
            #expect(down.count > 0)
            try await down.stop()
            #expect(try await pulled.check().isClean)
            #expect(try await pulled.missing(image.blobs).isEmpty)
            #expect(try Folder.names(in: pulled.root.appending("ingest")) == [])
        }
    }

    @Test func overTLSWithALogin() async throws {
        let scratch = try Scratch()
        let folder = scratch.path
        let store = try await ImageStore.open(folder.appending("source"))
        let source = try await fill(store)
        let certificate = try await TestCertificate(in: folder)
        let users = folder.appending("htpasswd")
        // bcrypt of "pass:word".
        try AtomicFile.write(
            Array("user:$2b$05$abcdefghijklmnopqrstuuDIEddBSuRWBBEY6g5zv60IAP5bSSfki\n".utf8), to: users)
        let environment = [
            "REGISTRY_HTTP_TLS_CERTIFICATE": certificate.certificate.string,
            "REGISTRY_HTTP_TLS_KEY": certificate.key.string,
            "REGISTRY_AUTH": "htpasswd", "REGISTRY_AUTH_HTPASSWD_REALM": "test",
            "REGISTRY_AUTH_HTPASSWD_PATH": users.string,
        ]
        try await withRegistry(in: folder, environment) { host in
            try await push(store, to: "\(host)/a/demo:v1", in: folder, ["--dest-creds=user:pass:word"])
            var configuration = quickConfiguration()
            configuration.authorities[host] = try certificate.authorityPEM()
            let denied = await #expect(throws: Failure.self) {
                try await checkPull("\(host)/a/demo:v1", configuration, source, in: folder)
            }
            #expect(denied?.kind == .denied)
            let docker = folder.appending(".docker")
            try Folder.make(docker)
            let auth = Data("user:pass:word".utf8).base64EncodedString()
            try AtomicFile.write(
                Array(#"{"auths":{"\#(host)":{"auth":"\#(auth)"}}}"#.utf8), to: docker.appending("config.json"))
            configuration.credentials = try await RegistryConfiguration.load(
                environment: ["CONTAINERS_REGISTRIES_CONF": "/dev/null"],
                home: folder
            ).credentials
            try await checkPull("\(host)/a/demo:v1", configuration, source, in: folder)
            try await pushWithALogin(host, configuration, source, store)
            try await fetchAsANodeDoes(host, certificate, configuration, source, in: folder)
        }
    }

    private func pushWithALogin(
        _ host: String,
        _ configuration: RegistryConfiguration,
        _ source: (index: Descriptor, amd64: Descriptor, blobs: [Descriptor]),
        _ store: ImageStore
    ) async throws {
        let client = RegistryClient(configuration: configuration)
        #expect(try await client.checkLogin(.password(user: "user", password: "pass:word"), at: host) == .accepted)
        let wrong = await #expect(throws: Failure.self) {
            try await client.checkLogin(.password(user: "user", password: "word"), at: host)
        }
        #expect(wrong?.kind == .denied)
        let pusher = ImagePusher(client: client, store: store)
        let pushed = try await pusher.push(
            source.index, to: Reference("\(host)/c/demo:v1"), sources: [Reference("\(host)/a/demo:v1")])
        #expect(pushed.sentBlobs.isEmpty)
        #expect(pushed.mountedBlobs > 0)
        await client.close()
        var stranger = configuration
        stranger.credentials = CredentialFile()
        let other = RegistryClient(configuration: stranger)
        let denied = await #expect(throws: Failure.self) {
            try await ImagePusher(client: other, store: store).push(source.index, to: Reference("\(host)/d/demo:v1"))
        }
        #expect(denied?.kind == .denied)
        await other.close()
    }

    /// The node's way: by digest, from one address, with one authority, skipping what is there.
    private func fetchAsANodeDoes(
        _ host: String,
        _ certificate: TestCertificate,
        _ configuration: RegistryConfiguration,
        _ source: (index: Descriptor, amd64: Descriptor, blobs: [Descriptor]),
        in folder: FilePath
    ) async throws {
        var configuration = configuration
        configuration.authorities = [:]
        let node = try await ImageStore.open(folder.appending("node"))
        let client = RegistryClient(configuration: configuration)
        let all = source.blobs + [source.index, source.amd64]
        let received = Received()
        for _ in 0..<2 {
            try await client.fetch(
                blobs: all + all,
                repository: "a/demo",
                registry: "https://\(host)",
                authority: certificate.authorityPEM(),
                into: node
            ) { received.add($0) }
        }
        #expect(received.bytes == all.reduce(0) { $0 + $1.size })
        for blob in all { #expect(try await node.size(of: blob.digest) == blob.size) }
        let other = Descriptor(mediaType: MediaType.layer, digest: .of(Data("none".utf8)), size: 4)
        let error = await #expect(throws: Failure.self) {
            try await client.fetch(
                blobs: all + [other],
                repository: "a/demo",
                registry: "https://\(host)",
                authority: certificate.authorityPEM(),
                into: node
            )
        }
        #expect(error?.kind == .notFound)
        #expect(error?.description.contains("\(other.digest)") == true)
        await client.close()
    }
}
