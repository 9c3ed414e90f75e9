import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@testable import RegistryServer

/// Writes the files of a docker-distribution registry.
struct TreeWriter {
    let root: FilePath

    func write(_ bytes: Data, _ path: String) throws {
        let file = root.appending(path)
        try Folder.make(file.removingLastComponent())
        try AtomicFile.write(bytes, to: file)
    }

    @discardableResult
    func blob(_ bytes: Data, type: String, in repository: String) throws -> Descriptor {
        let digest = Digest.of(bytes)
        try write(bytes, "blobs/sha256/\(digest.hex.prefix(2))/\(digest.hex)/data")
        try write(Data("\(digest)".utf8), "repositories/\(repository)/_layers/sha256/\(digest.hex)/link")
        return Descriptor(mediaType: type, digest: digest, size: Int64(bytes.count))
    }

    @discardableResult
    func manifest(_ document: some Encodable, type: String, in repository: String, tag: String?) throws -> Descriptor {
        let manifest = try blob(canonicalJSON(document), type: type, in: repository)
        let folder = "repositories/\(repository)/_manifests"
        try write(
            Data("\(manifest.digest)".utf8), "\(folder)/revisions/sha256/\(manifest.digest.hex)/link")
        if let tag { try write(Data("\(manifest.digest)\n".utf8), "\(folder)/tags/\(tag)/current/link") }
        return manifest
    }
}

@Suite struct DistributionTreeTests {
    @Test func servesTheTree() async throws {
        let scratch = try Scratch()
        let writer = TreeWriter(root: scratch.path.appending("registry/docker/registry/v2"))
        let layerBytes = noise(2_000_000, seed: 11)
        let layer = try writer.blob(layerBytes, type: MediaType.layer, in: "library/nginx")
        let config = try writer.blob(Data("{}".utf8), type: MediaType.config, in: "library/nginx")
        var manifest = ImageManifest(config: config, layers: [layer])
        manifest.mediaType = MediaType.dockerManifest
        let nginx = try writer.manifest(
            manifest, type: MediaType.dockerManifest, in: "library/nginx", tag: "1.25")
        let list = try writer.manifest(
            ImageIndex(manifests: [nginx]), type: MediaType.index, in: "library/nginx", tag: "multi")
        var old = ImageManifest(config: config, layers: [])
        old.mediaType = nil
        try writer.manifest(old, type: MediaType.manifest, in: "quay.io/team/tool", tag: "v1")
        let content = try await DistributionTree(scratch.path)
        let server = try await RegistryServer.start(RegistryServerConfiguration(), content: content)
        defer { Task { await server.stop(limit: .seconds(1)) } }
        let client = try RawClient(port: server.port)
        for (target, digest, type) in [
            ("library/nginx/manifests/1.25", nginx.digest, MediaType.dockerManifest),
            ("nginx/manifests/1.25", nginx.digest, MediaType.dockerManifest),
            ("library/nginx/manifests/1.25?ns=docker.io", nginx.digest, MediaType.dockerManifest),
            ("library/nginx/manifests/\(nginx.digest)", nginx.digest, MediaType.dockerManifest),
            ("library/nginx/manifests/multi", list.digest, MediaType.index),
            ("team/tool/manifests/v1?ns=quay.io", .of(try canonicalJSON(old)), MediaType.manifest),
        ] {
            let reply = try await client.get("/v2/\(target)")
            #expect(reply.status == 200, "\(target)")
            #expect(reply.headers["docker-content-digest"] == "\(digest)")
            #expect(reply.headers["content-type"] == type)
            #expect(Digest.of(reply.body) == digest)
        }
        #expect(try await client.get("/v2/library/nginx/blobs/\(layer.digest)").body == layerBytes)
        #expect(try await client.get("/v2/library/nginx/tags/list").body.contains("[\"1.25\",\"multi\"]"))
        #expect(try await client.get("/v2/_catalog").body.contains("[\"library/nginx\",\"quay.io/team/tool\"]"))
        for target in [
            "library/nginx/manifests/2", "other/manifests/1.25", "library/manifests/1.25", "library/tags/list",
            "quay.io/team/tool/manifests/\(nginx.digest)", "library/nginx/blobs/\(Digest.of(Data("none".utf8)))",
        ] {
            #expect(try await client.get("/v2/\(target)").status == 404, "\(target)")
        }
        #expect(try await client.request("PUT", "/v2/library/nginx/manifests/x").status == 405)
        #expect(try await content.holds(layer.digest, repository: "library/nginx"))
        #expect(try await !content.holds(layer.digest, repository: "quay.io/team/tool"))
        let name = try await content.fullName(repository: "team/tool", namespace: "quay.io", scope: .all)
        #expect(name == "quay.io/team/tool")
    }

    /// Whoever made the tree may have put anything in it: links lead nowhere, and other bytes than the digest's are not sent.
    @Test func aTreeThatWasTamperedWith() async throws {
        let scratch = try Scratch()
        let writer = TreeWriter(root: scratch.path.appending("v2"))
        let config = try writer.blob(Data("{}".utf8), type: MediaType.config, in: "app")
        let manifest = try writer.manifest(
            ImageManifest(config: config, layers: []), type: MediaType.manifest, in: "app", tag: "good")
        let secret = scratch.path.appending("secret")
        try Folder.make(secret)
        try AtomicFile.write(Array("secret".utf8), to: secret.appending("data"))
        func link(_ target: FilePath, _ path: String) throws {
            let place = writer.root.appending(path)
            try Folder.make(place.removingLastComponent())
            guard symlink(target.string, place.string) == 0 else { throw Errno(rawValue: errno) }
        }
        let file = Digest.of(Data("file".utf8))
        let folder = Digest.of(Data("folder".utf8))
        try link(secret.appending("data"), "blobs/sha256/\(file.hex.prefix(2))/\(file.hex)/data")
        try link(secret, "blobs/sha256/\(folder.hex.prefix(2))/\(folder.hex)")
        try link(writer.root.appending("repositories/app"), "repositories/linked")
        try writer.write(Data("sha256:../../../secret".utf8), "repositories/app/_manifests/tags/escape/current/link")
        try writer.write(Data(count: 100_000), "repositories/app/_manifests/tags/long/current/link")
        try writer.write(Data("\(file)".utf8), "repositories/app/_manifests/tags/linked/current/link")
        let content = try await DistributionTree(writer.root)
        #expect(try await content.blob(file) == nil)
        #expect(try await content.blob(folder) == nil)
        #expect(try await content.repositories() == ["app"])
        for tag in ["escape", "linked", "..", ".", ""] {
            let found = try await content.manifest(repository: "app", namespace: nil, reference: .tag(tag), scope: .all)
            #expect(found == nil, "\(tag)")
        }
        await #expect(throws: Failure.self) {
            try await content.manifest(repository: "app", namespace: nil, reference: .tag("long"), scope: .all)
        }
        #expect(
            try await content.manifest(repository: "linked", namespace: nil, reference: .tag("good"), scope: .all)
                == nil)
        #expect(
            try await content.manifest(repository: "app", namespace: nil, reference: .tag("good"), scope: .all) != nil)
        let data = "blobs/sha256/\(manifest.digest.hex.prefix(2))/\(manifest.digest.hex)/data"
        try writer.write(Data("{}".utf8), data)
        let error = await #expect(throws: Failure.self) {
            try await content.manifest(repository: "app", namespace: nil, reference: .tag("good"), scope: .all)
        }
        #expect(error?.kind == .integrity)
        await #expect(throws: Failure.self) { try await DistributionTree(secret) }
    }
}

/// The tree as the program itself writes it.
@Suite(
    .enabled(
        if: Program("docker-registry") != nil && Program("skopeo") != nil, "docker-registry or skopeo is not installed")
)
struct RealDistributionTreeTests {
    @Test func readsWhatDockerRegistryWrote() async throws {
        let scratch = try Scratch()
        let folder = scratch.path
        let (skopeo, program) = (try #require(Program("skopeo")), try #require(Program("docker-registry")))
        let fixture = try await ContentFixture(in: folder)
        let port = try freePort()
        let config = folder.appending("registry.yml")
        let data = folder.appending("rootfs/registry")
        let text = """
            version: 0.1
            storage: {filesystem: {rootdirectory: \(data)}, maintenance: {uploadpurging: {enabled: false}}}
            http: {addr: "127.0.0.1:\(port)"}
            """
        try AtomicFile.write(Array(text.utf8), to: config)
        let all = ["copy", "--all", "--preserve-digests", "--insecure-policy"]
        try await program.whileRunning(["serve", config.string], in: folder) { log in
            let end = ContinuousClock.now + .seconds(60)
            while !String(decoding: try readFile(log), as: UTF8.self).contains("listening on 127.0.0.1:\(port)"),
                ContinuousClock.now < end
            {
                try await Task.sleep(for: .milliseconds(20))
            }
            try await skopeo.run(
                all + [
                    "--dest-tls-verify=false", "oci:\(fixture.store.root):registry.example.com/acme/cluster:v1",
                    "docker://127.0.0.1:\(port)/acme/cluster:v1",
                ], in: folder)
        }
        let content = try await DistributionTree(folder.appending("rootfs"))
        let server = try await RegistryServer.start(RegistryServerConfiguration(), content: content)
        defer { Task { await server.stop(limit: .seconds(1)) } }
        let copy = folder.appending("copy")
        try await skopeo.run(
            all + [
                "--src-tls-verify=false", "docker://127.0.0.1:\(server.port)/acme/cluster:v1", "oci:\(copy):x",
            ], in: folder)
        for descriptor in try await fixture.store.closure(of: fixture.cluster) {
            #expect(try readFile(copy.appending(descriptor.digest.layoutPath)).count == descriptor.size)
        }
    }
}

extension Data {
    fileprivate func contains(_ text: String) -> Bool { String(decoding: self, as: UTF8.self).contains(text) }
}
