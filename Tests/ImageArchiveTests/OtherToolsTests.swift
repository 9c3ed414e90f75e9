import Archive
import FoundationEssentials
import Glibc
import ImageArchive
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

/// What the tests with other programs need.
private enum Tools {
    static let skopeo = Program("skopeo")
    static let docker = Program("docker")

    /// The environment under which `docker` reaches an engine.
    static var dockerEnvironment: [String: String] {
        let own = "/run/sealer-testbed/docker.sock"  // Where scripts/start-docker.sh puts its own.
        if let host = ProcessInfo.processInfo.environment["DOCKER_HOST"] { return ["DOCKER_HOST": host] }
        return access(own, F_OK) == 0 ? ["DOCKER_HOST": "unix://\(own)"] : [:]
    }

    static func hasEngine() async -> Bool {
        guard let docker else { return false }
        do {
            let scratch = try Scratch()
            try await docker.run(
                ["version", "-f", "{{.Server.Version}}"], environment: dockerEnvironment, in: scratch.path,
                limit: .seconds(120))
            return true
        } catch {
            return false
        }
    }

    static func docker(_ arguments: [String], in folder: FilePath) async throws -> String {
        guard let docker else { throw Failure(.unavailable, "docker is not installed") }
        return try await docker.run(arguments, environment: dockerEnvironment, in: folder)
    }
}

@Suite("skopeo", .enabled(if: Tools.skopeo != nil, "skopeo is not installed"))
struct SkopeoTests {
    private let policy = #"{"default":[{"type":"insecureAcceptAnything"}]}"#

    /// Runs skopeo with a policy of its own.
    private func skopeo(_ arguments: [String], in scratch: borrowing Scratch) async throws -> String {
        let file = scratch.path.appending("policy.json")
        try write(Array(policy.utf8), to: file)
        let skopeo = try #require(Tools.skopeo)
        return try await skopeo.run(
            ["--policy", file.string, "--tmpdir", scratch.path.string] + arguments, in: scratch.path)
    }

    @Test("copies an image out of an archive of ours, digest and all", arguments: [Compression.none, .gzip, .zstd])
    func readsOurs(layers: Compression) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        var maker = ImageMaker(store, seed: 41)
        let image = try await maker.image([1000, 200_000], layers)
        let name = "example.org/s:1"
        try await store.tag(image, as: Reference(name))
        try await store.tag(try await maker.image([10]), as: Reference("example.org/other:1"))
        let path = scratch.path.appending("a.tar")
        _ = try await ArchiveWriter(store: store).save(try await store.all(), to: .file(path))
        let copy = scratch.path.appending("copy")
        _ = try await skopeo(["copy", "oci-archive:\(path):\(name)", "dir:\(copy)"], in: scratch)
        #expect(Digest.of(try readFile(copy.appending("manifest.json"))) == image.digest)
        let inspected = try await skopeo(["inspect", "--raw", "oci-archive:\(path):\(name)"], in: scratch)
        #expect(Digest.of(Data(inspected.utf8)) == image.digest)
    }

    @Test("copies the rootfs, or everything, out of the archive of a ClusterImage")
    func readsClusterImages() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        var maker = ImageMaker(store, seed: 42)
        let image = try await maker.clusterImage(members: 3, layers: [5000])
        let name = try Reference("example.org/cluster:1")
        try await store.tag(image, as: name)
        let path = scratch.path.appending("a.tar")
        _ = try await ArchiveWriter(store: store).save(try await store.all(), to: .file(path))
        let copy = scratch.path.appending("copy")
        _ = try await skopeo(["copy", "oci-archive:\(path):\(name)", "dir:\(copy)"], in: scratch)
        let cluster = try await store.clusterImage(name)
        #expect(Digest.of(try readFile(copy.appending("manifest.json"))) == cluster.rootfs.digest)
        let all = scratch.path.appending("all.tar")
        _ = try await skopeo(
            ["copy", "--all", "oci-archive:\(path):\(name)", "oci-archive:\(all):\(name)"], in: scratch)
        let target = try await ImageStore.new(in: scratch, "target")
        let loaded = try await ArchiveLoader(store: target).load(.file(all))
        #expect(loaded.images.first?.descriptor.digest == image.digest)
        #expect(try target.blobNames() == store.blobNames())
        try await target.expectSound()
    }

    @Test("writes archives that load", arguments: ["oci-archive", "docker-archive"])
    func writesTheirs(transport: String) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.new(in: scratch)
        var maker = ImageMaker(store, seed: 43)
        // Two layers that are the same become one file with links.
        let image = try await maker.image([1000, 200_000])
        try await store.tag(image, as: Reference("example.org/s:1"))
        let path = scratch.path.appending("theirs.tar")
        _ = try await skopeo(
            ["copy", "oci:\(store.root):example.org/s:1", "\(transport):\(path):example.org/t:2"], in: scratch)
        let target = try await ImageStore.new(in: scratch, "target")
        let loaded = try await ArchiveLoader(store: target).load(.file(path))
        #expect(loaded.images.flatMap(\.names) == [try Reference("example.org/t:2")])
        try await target.expectSound()
        let descriptor = try #require(loaded.images.first?.descriptor)
        if transport == "oci-archive" { #expect(descriptor.digest == image.digest) }
        guard case .manifest(let manifest) = try await target.document(descriptor),
            case .manifest(let original) = try await store.document(image)
        else {
            Issue.record("no manifests")
            return
        }
        // The configuration names the layers' contents, and is the same in both forms.
        let config = try await target.json(ImageConfig.self, manifest.config)
        #expect(config.rootfs == (try await store.json(ImageConfig.self, original.config)).rootfs)
        #expect(manifest.layers.count == 2)
        // A tag alone needs a name.
        let tagged = scratch.path.appending("tagged.tar")
        if transport == "oci-archive" {
            _ = try await skopeo(
                ["copy", "oci:\(store.root):example.org/s:1", "\(transport):\(tagged):v9"], in: scratch)
            await #expect(throws: Failure.self) { try await ArchiveLoader(store: target).load(.file(tagged)) }
            let named = try await ArchiveLoader(store: target).load(.file(tagged), name: "example.org/n")
            #expect(named.images.flatMap(\.names) == [try Reference("example.org/n:v9")])
        }
    }
}

@Suite("Docker", .enabled("no Docker engine answers") { await Tools.hasEngine() })
struct DockerTests {
    /// Removes an image from the engine, whatever happens.
    private func withName<Result>(
        in folder: FilePath, _ body: (_ name: String) async throws -> Result
    ) async throws -> Result {
        let name = "example.org/sealer-test/i\(UInt32.random(in: 0...UInt32.max)):1"
        do {
            let result = try await body(name)
            _ = try await Tools.docker(["rmi", "-f", name], in: folder)
            return result
        } catch {
            do { _ = try await Tools.docker(["rmi", "-f", name], in: folder) } catch {
                print("\(name) is still there: \(error)")
            }
            throw error
        }
    }

    @Test("loads an archive of ours, and what it saves loads here", arguments: [Compression.none, .gzip])
    func roundTrip(layers: Compression) async throws {
        let scratch = try Scratch()
        let folder = scratch.path
        let source = try await ImageStore.new(in: scratch, "source")
        let target = try await ImageStore.new(in: scratch, "target")
        var maker = ImageMaker(source, seed: UInt64(layers == .none ? 51 : 52))
        let image = try await maker.image([1000, 3_000_000], layers)
        guard case .manifest(let manifest) = try await source.document(image) else { return }
        try await withName(in: folder) { name in
            try await source.tag(image, as: Reference(name))
            let path = folder.appending("a.tar")
            let saved = try await ArchiveWriter(store: source).save(
                try await source.all(), to: .file(path),
                options: ArchiveOptions(compression: layers == .gzip ? .gzip : .none))
            #expect(saved.dockerNames == [try Reference(name)])
            #expect(try await Tools.docker(["load", "-i", path.string], in: folder).contains(name))
            let id = try await Tools.docker(["image", "inspect", "-f", "{{.Id}}", name], in: folder)
            #expect(id.contains(manifest.config.digest.description))
            let theirs = folder.appending("theirs.tar")
            _ = try await Tools.docker(["save", "-o", theirs.string, name], in: folder)
            let loaded = try await ArchiveLoader(store: target).load(.file(theirs))
            #expect(loaded.images.flatMap(\.names) == [try Reference(name)])
            guard let descriptor = loaded.images.first?.descriptor,
                case .manifest(let theirManifest) = try await target.document(descriptor)
            else {
                Issue.record("no manifest")
                return
            }
            #expect(theirManifest.config.digest == manifest.config.digest)
            try await target.expectSound()
        }
    }

    @Test("loads the contained images of a ClusterImage, and nothing trips over its zstd layers")
    func clusterImage() async throws {
        let scratch = try Scratch()
        let folder = scratch.path
        let store = try await ImageStore.new(in: scratch)
        var maker = ImageMaker(store, seed: 53)
        let image = try await maker.clusterImage(members: 2, layers: [4000])
        try await store.tag(image, as: Reference("example.org/cluster:1"))
        let path = folder.appending("a.tar")
        let saved = try await ArchiveWriter(store: store).save(try await store.all(), to: .file(path))
        let said = try await Tools.docker(["load", "-i", path.string], in: folder)
        for name in saved.dockerNames {
            #expect(said.contains(name.familiar))
            _ = try await Tools.docker(["rmi", "-f", name.familiar], in: folder)
        }
        #expect(saved.dockerNames.count == 2)
    }

    @Test("saves images that share layers, with links, and both load here")
    func sharedLayers() async throws {
        let scratch = try Scratch()
        let folder = scratch.path
        let target = try await ImageStore.new(in: scratch, "target")
        try write(Array("FROM scratch\nCOPY f /a\nCOPY f /a\nCOPY f /b\n".utf8), to: folder.appending("Dockerfile"))
        try write(Array("FROM scratch\nCOPY f /a\n".utf8), to: folder.appending("Second"))
        try write(Array("content".utf8), to: folder.appending("f"))
        try await withName(in: folder) { first in
            try await withName(in: folder) { second in
                _ = try await Tools.docker(["build", "-q", "-t", first, folder.string], in: folder)
                let file = folder.appending("Second").string
                _ = try await Tools.docker(["build", "-q", "-f", file, "-t", second, folder.string], in: folder)
                let path = folder.appending("theirs.tar")
                _ = try await Tools.docker(["save", "-o", path.string, first, second], in: folder)
                let loaded = try await ArchiveLoader(store: target).load(.file(path))
                #expect(try Set(loaded.images.flatMap(\.names)) == [Reference(first), Reference(second)])
                try await target.expectSound()
            }
        }
    }
}
