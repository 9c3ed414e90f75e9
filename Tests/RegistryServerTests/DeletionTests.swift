import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@testable import RegistryServer

@Suite struct DeletionTests {
    private struct Tags: Decodable {
        var name: String
        var tags: [String]
    }

    @Test func aTagThatMovesLeavesItsDigest() async throws {
        try await pushing { pusher in
            let (old, oldLayer) = try await pusher.image("old", to: "app", as: "latest")
            let (new, _) = try await pusher.image("new", to: "app", as: "latest")
            let client = try pusher.client()
            #expect(
                try await client.get("/v2/app/manifests/latest").headers["docker-content-digest"] == "\(new.digest)")
            #expect(try await pusher.store.collectGarbage().blobs == 0)
            #expect(try await client.get("/v2/app/manifests/\(old.digest)").status == 200)
            #expect(
                try await pusher.store.resolve(Reference("docker.io/library/app@\(old.digest)"))?.digest == old.digest)
            #expect(try await client.request("DELETE", "/v2/app/manifests/\(old.digest)").status == 202)
            #expect(try await client.get("/v2/app/manifests/\(old.digest)").status == 404)
            #expect(try await pusher.store.collectGarbage().blobs == 3)
            #expect(try await client.get("/v2/app/blobs/\(oldLayer.digest)").status == 404)
            // A tag that goes leaves its digest, too; the digest takes its tags with it.
            try await pusher.put(
                ImageManifest(config: Descriptor(mediaType: MediaType.config, digest: new.digest, size: 0), layers: []),
                to: "app", as: "x")
            #expect(try await client.request("DELETE", "/v2/app/manifests/latest").status == 202)
            #expect(try await client.request("DELETE", "/v2/app/manifests/latest").status == 404)
            #expect(try await client.get("/v2/app/manifests/latest").status == 404)
            #expect(try await client.get("/v2/app/manifests/\(new.digest)").status == 200)
            let tags = try await client.get("/v2/app/tags/list")
            #expect(try JSONDecoder().decode(Tags.self, from: tags.body).tags == [])
            try await pusher.image("new", to: "app", as: "a")
            try await pusher.image("new", to: "app", as: "b")
            #expect(try await client.request("DELETE", "/v2/app/manifests/\(new.digest)").status == 202)
            let none = try await client.get("/v2/app/tags/list")
            #expect(try JSONDecoder().decode(Tags.self, from: none.body).tags == [])
            #expect(try await client.get("/v2/never/tags/list").status == 404)
            #expect(try await pusher.store.names().isEmpty)
        }
    }

    /// The deletion has read the names and waits for its turn, and a push moves a tag before it.
    @Test(arguments: [true, false]) func aTagThatMovesDuringADeletionStays(isByDigest: Bool) async throws {
        try await pushing { pusher in
            let (old, _) = try await pusher.image("old", to: "app", as: "moves")
            try await pusher.image("old", to: "app", as: "stays")
            let (new, _) = try await pusher.image("new", to: "app", as: "other")
            let root = pusher.store.root
            let lock = try await BlockingPool.shared.run {
                try FileLock(root.appending("index.lock"), .exclusive, limit: .seconds(60), guarding: "the test")
            }
            defer { lock.release() }
            async let reply = pusher.request(
                "DELETE", "/v2/app/manifests/\(isByDigest ? old.digest.description : "moves")")
            try await Task.sleep(for: .seconds(3))
            try await BlockingPool.shared.run {
                let path = root.appending("index.json")
                var index = try JSONDecoder().decode(ImageIndex.self, from: try readFile(path, limit: 1 << 20))
                for position in index.manifests.indices {
                    let name = index.manifests[position].annotations?[AnnotationKey.refName]
                    guard name == "docker.io/library/app:moves" else { continue }
                    index.manifests[position].digest = new.digest
                    index.manifests[position].size = new.size
                }
                try AtomicFile.write(canonicalJSON(index), to: path)
            }
            lock.release()
            #expect(try await reply.status == 202)
            let tag = try await pusher.store.resolve(Reference("docker.io/library/app:moves"))
            #expect(tag?.digest == new.digest)
            let other = try await pusher.store.resolve(Reference("docker.io/library/app:stays"))
            #expect(other?.digest == (isByDigest ? nil : old.digest))
        }
    }

    @Test func blobsAreDeletedWhenNothingNeedsThem() async throws {
        try await pushing { pusher in
            let (_, layer) = try await pusher.image("layer", to: "app", as: "v1")
            #expect(try await pusher.request("DELETE", "/v2/app/blobs/\(layer.digest)").status == 405)
            let pending = try await pusher.blob(Data("pending".utf8), to: "app")
            #expect(try await pusher.request("DELETE", "/v2/other/blobs/\(pending.digest)").status == 404)
            #expect(try await pusher.request("DELETE", "/v2/app/blobs/\(pending.digest)").status == 202)
            #expect(try await pusher.request("GET", "/v2/app/blobs/\(pending.digest)").status == 404)
            #expect(try await pusher.store.collectGarbage().blobs == 1)
            #expect(try await pusher.request("GET", "/v2/app/blobs/\(layer.digest)").status == 200)
        }
    }

    /// CVE-2026-41888: a tag could be deleted although deletion was off.
    @Test func nothingIsDeletedWhenDeletionIsOff() async throws {
        try await pushing({ $0.isDeletable = false }) { pusher in
            let (manifest, layer) = try await pusher.image("layer", to: "app", as: "v1")
            for target in ["manifests/v1", "manifests/\(manifest.digest)", "blobs/\(layer.digest)"] {
                let reply = try await pusher.request("DELETE", "/v2/app/\(target)")
                #expect(reply.status == 405)
                #expect(code(reply) == "UNSUPPORTED")
            }
            #expect(try await pusher.request("GET", "/v2/app/manifests/v1").status == 200)
        }
    }

    @Test func whatAClusterImageContainsIsNotDeletedAlone() async throws {
        let scratch = try Scratch()
        let fixture = try await ContentFixture(in: scratch.path)
        let content = WritableStoreContent(store: fixture.store)
        for name in [ManifestName.tag("1.25"), .digest(fixture.nginxIndex.digest), .digest(fixture.nginx.digest)] {
            await #expect(throws: RegistryError.self) {
                try await content.delete(name, from: "docker.io/library/nginx")
            }
        }
        #expect(try await content.delete(.digest(fixture.cluster.digest), from: "registry.example.com/acme/cluster"))
        #expect(try await content.repositories().isEmpty)
    }
}
