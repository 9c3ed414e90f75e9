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
            try await fetchAsANodeDoes(host, certificate, configuration, source, in: folder)
        }
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
