import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@testable import RegistryServer

private let isInstalled = Program("skopeo") != nil && Program("openssl") != nil && Program("curl") != nil

/// A real client against our server.
@Suite(.enabled(if: isInstalled, "skopeo, openssl or curl is not installed"))
struct SkopeoTests {
    private func serving(
        tls: RegistryServerConfiguration.TLS? = nil,
        in folder: FilePath,
        _ body: (ContentFixture, RunningRegistry) async throws -> Void
    ) async throws {
        let fixture = try await ContentFixture(in: folder)
        var configuration = RegistryServerConfiguration()
        configuration.tls = tls
        let server = try await RegistryServer.start(configuration, content: StoreContent(store: fixture.store))
        do {
            try await body(fixture, server)
        } catch {
            await server.stop(limit: .seconds(1))
            throw error
        }
        await server.stop(limit: .seconds(10))
    }

    @Test func inspectAndCopyOverHTTP() async throws {
        let scratch = try Scratch()
        let folder = scratch.path
        let skopeo = try #require(Program("skopeo"))
        try await serving(in: folder) { fixture, server in
            struct Inspected: Decodable {
                var digest: String
                var tags: [String]
                enum CodingKeys: String, CodingKey {
                    case digest = "Digest"
                    case tags = "RepoTags"
                }
            }
            let nginx = "docker://127.0.0.1:\(server.port)/library/nginx"
            let text = try await skopeo.run(["inspect", "--tls-verify=false", "\(nginx):1.25"], in: folder)
            let inspected = try JSONDecoder().decode(Inspected.self, from: Data(text.utf8))
            #expect(inspected.digest == "\(fixture.nginxIndex.digest)")
            #expect(inspected.tags == ["1.25"])
            // By tag, by the digest of the index, by the digest of the manifest: the bytes are upstream's.
            for name in ["\(nginx):1.25", "\(nginx)@\(fixture.nginxIndex.digest)", "\(nginx)@\(fixture.nginx.digest)"] {
                let target = folder.appending("copy-\(UInt32.random(in: 0...UInt32.max))")
                try await skopeo.run(
                    ["copy", "--insecure-policy", "--src-tls-verify=false", name, "dir:\(target)"],
                    in: folder
                )
                let manifest = try readFile(target.appending("manifest.json"))
                #expect(Digest.of(manifest) == fixture.nginx.digest)
                #expect(try readFile(target.appending(fixture.layer.digest.hex)) == fixture.layerBytes)
            }
        }
    }

    @Test func copyTheWholeClusterImageOverTLS() async throws {
        let scratch = try Scratch()
        let folder = scratch.path
        let skopeo = try #require(Program("skopeo"))
        let certificate = try await TestCertificate(in: folder)
        let trusted = folder.appending("trusted")
        try Folder.make(trusted)
        try AtomicFile.write(readFile(certificate.authority), to: trusted.appending("ca.crt"))
        try await serving(tls: .init(certificate: certificate.certificate, key: certificate.key), in: folder) {
            fixture, server in
            let source = "docker://localhost:\(server.port)/acme/cluster:v1"
            let target = folder.appending("copy")
            try await skopeo.run(
                [
                    "copy", "--all", "--preserve-digests", "--insecure-policy", "--src-cert-dir", trusted.string,
                    source, "oci:\(target):x",
                ],
                in: folder
            )
            for descriptor in try await fixture.store.closure(of: fixture.cluster) {
                #expect(try readFile(target.appending(descriptor.digest.layoutPath)).count == descriptor.size)
            }
            await #expect(throws: Failure.self) {
                try await skopeo.run(["inspect", source], in: folder)
            }
            // Chunks through TLS, in part and whole.
            let curl = try #require(Program("curl"))
            let file = folder.appending("layer")
            let address = "https://localhost:\(server.port)/v2/library/nginx/blobs/\(fixture.layer.digest)"
            let base = ["-sSf", "--noproxy", "*", "--cacert", certificate.authority.string, "-o", file.string, address]
            try await curl.run(base, in: folder)
            #expect(try readFile(file) == fixture.layerBytes)
            try await curl.run(["-r", "1000-1999999"] + base, in: folder)
            #expect(try readFile(file) == fixture.layerBytes[1000..<2_000_000])
        }
    }

    @Test(arguments: [false, true])
    func copyIntoAndOut(overTLS isTLS: Bool) async throws {
        let scratch = try Scratch()
        let folder = scratch.path
        let skopeo = try #require(Program("skopeo"))
        let source = folder.appending("source")
        try Folder.make(source)
        let fixture = try await ContentFixture(in: source)
        let accounts = folder.appending("htpasswd")
        try AtomicFile.write(Array("alice:\(PasswordTests.secretHash)\n".utf8), to: accounts)
        var configuration = RegistryServerConfiguration()
        configuration.isWritable = true
        configuration.isDeletable = true
        var into = ["--dest-tls-verify=false"]
        var from = ["--src-tls-verify=false"]
        var own = ["--tls-verify=false"]
        if isTLS {
            let certificate = try await TestCertificate(in: folder)
            let trusted = folder.appending("trusted")
            try Folder.make(trusted)
            try AtomicFile.write(readFile(certificate.authority), to: trusted.appending("ca.crt"))
            configuration.tls = .init(certificate: certificate.certificate, key: certificate.key)
            into = ["--dest-cert-dir", trusted.string]
            from = ["--src-cert-dir", trusted.string]
            own = ["--cert-dir", trusted.string]
        }
        configuration.access.htpasswd = accounts
        configuration.access.pushers = ["alice"]
        let store = try await ImageStore.open(folder.appending("target"))
        let server = try await RegistryServer.start(configuration, content: WritableStoreContent(store: store))
        defer { Task { await server.stop(limit: .seconds(1)) } }
        let host = "localhost:\(server.port)"
        let all = ["copy", "--all", "--preserve-digests", "--insecure-policy"]
        let name = "docker://\(host)/acme/cluster:v1"
        await #expect(throws: Failure.self) {
            try await skopeo.run(
                all + into + [
                    "--dest-creds", "alice:wrong",
                    "oci:\(fixture.store.root):registry.example.com/acme/cluster:v1", name,
                ], in: folder)
        }
        #expect(try await store.names().isEmpty)
        // Twice: the second time all is there.
        for _ in 0..<2 {
            try await skopeo.run(
                all + into + [
                    "--dest-creds", "alice:secret",
                    "oci:\(fixture.store.root):registry.example.com/acme/cluster:v1", name,
                ], in: folder)
        }
        #expect(try await store.resolve(Reference("docker.io/acme/cluster:v1"))?.digest == fixture.cluster.digest)
        let wanted = Set(try await fixture.store.closure(of: fixture.cluster).map(\.digest))
        #expect(Set(try await store.closure(of: fixture.cluster).map(\.digest)) == wanted)
        #expect(try await store.check().isClean)
        // What the ClusterImage contains has its own name there, too.
        let copy = folder.appending("nginx")
        try await skopeo.run(
            all + from + [
                "--src-creds", "alice:secret",
                "docker://\(host)/acme/cluster:v1", "oci:\(copy):x",
            ], in: folder)
        for digest in wanted { #expect(try readFile(copy.appending(digest.layoutPath)).isEmpty == false) }
        let tags = try await skopeo.run(
            ["list-tags"] + own + ["--creds", "alice:secret", "docker://\(host)/library/nginx"], in: folder
        )
        #expect(tags.contains("1.25"))
        // Other tools see it in the store itself.
        let inspected = try await skopeo.run(
            ["inspect", "--raw", "oci:\(store.root):docker.io/acme/cluster:v1"], in: folder)
        #expect(Digest.of(Data(inspected.utf8)) == fixture.cluster.digest)
        try await skopeo.run(["delete"] + own + ["--creds", "alice:secret", name], in: folder)
        #expect(try await store.resolve(Reference("docker.io/acme/cluster:v1")) == nil)
        let rest = try await store.names()
        // Its members were pushed by digest, and stay until they are deleted.
        #expect(!rest.isEmpty && rest.allSatisfy { $0.reference.tag == nil && $0.reference.digest != nil })
        #expect(try await store.collectGarbage().blobs > 0)
        #expect(try await store.check().isClean)
    }
}
