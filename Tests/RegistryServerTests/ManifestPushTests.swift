import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@testable import RegistryServer

@Suite struct ManifestPushTests {
    private struct Tags: Decodable {
        var name: String
        var tags: [String]
    }

    @Test func anImageIsServedAtOnceAndIsInTheStore() async throws {
        try await pushing { pusher in
            let client = try pusher.client()
            for (path, full) in [
                ("team/app", "docker.io/team/app"), ("app", "docker.io/library/app"),
                ("registry.example.com/x/app", "registry.example.com/x/app"),
            ] {
                let (manifest, layer) = try await pusher.image("layer of \(path)", to: path, as: "v1")
                for name in ["v1", "\(manifest.digest)"] {
                    let reply = try await client.get("/v2/\(path)/manifests/\(name)")
                    #expect(reply.status == 200)
                    #expect(reply.headers["docker-content-digest"] == "\(manifest.digest)")
                    #expect(Digest.of(reply.body) == manifest.digest)
                }
                let tags = try await client.get("/v2/\(path)/tags/list")
                #expect(try JSONDecoder().decode(Tags.self, from: tags.body).tags == ["v1"])
                #expect(try await pusher.store.resolve(Reference("\(full):v1"))?.digest == manifest.digest)
                try await pusher.store.collectGarbage()
                #expect(try await client.get("/v2/\(path)/blobs/\(layer.digest)").body == Data("layer of \(path)".utf8))
            }
            let catalogue = try await client.get("/v2/_catalog")
            #expect(
                String(decoding: catalogue.body, as: UTF8.self)
                    == #"{"repositories":["docker.io/library/app","docker.io/team/app","registry.example.com/x/app"]}"#)
            // As a mirror of another registry.
            try await pusher.blob(Data("{}".utf8), to: "mirrored")
            let mirrored = try await client.request(
                "PUT", "/v2/team/app/manifests/v1?ns=quay.io", ["Content-Type": MediaType.manifest],
                body: canonicalJSON(
                    ImageManifest(
                        config: Descriptor(mediaType: MediaType.empty, digest: .of(Data("{}".utf8)), size: 2),
                        layers: [])))
            #expect(mirrored.status == 201)
            #expect(try await pusher.store.resolve(Reference("quay.io/team/app:v1")) != nil)
            let location = try #require(mirrored.headers["location"])
            #expect(try await client.get(location).status == 200)
        }
    }

    @Test func manifestsThatAreNotGoodAreRefused() async throws {
        try await pushing { pusher in
            let config = try await pusher.blob(Data("{}".utf8), to: "app", type: MediaType.config)
            let good = ImageManifest(config: config, layers: [])
            let bytes = try canonicalJSON(good)
            let client = try pusher.client()
            func put(_ body: Data, as name: String = "v1", type: String? = MediaType.manifest) async throws
                -> RawClient.Reply
            {
                try await client.request(
                    "PUT", "/v2/app/manifests/\(name)", type.map { ["Content-Type": $0] } ?? [:], body: body)
            }
            var lacking = good
            lacking.layers = [Descriptor(mediaType: MediaType.layer, digest: .of(Data("none".utf8)), size: 4)]
            var wrongSize = good
            wrongSize.config.size = 3
            var negative = good
            negative.config.size = -1
            let both = Data(
                #"{"schemaVersion":2,"config":\#(String(decoding: try canonicalJSON(config), as: UTF8.self)),"layers":[],"manifests":[]}"#
                    .utf8)
            for (body, name, type, wanted) in [
                (try canonicalJSON(lacking), "v1", MediaType.manifest, "MANIFEST_BLOB_UNKNOWN"),
                (try canonicalJSON(wrongSize), "v1", MediaType.manifest, "MANIFEST_INVALID"),
                (try canonicalJSON(negative), "v1", MediaType.manifest, "MANIFEST_INVALID"),
                (both, "v1", MediaType.manifest, "MANIFEST_INVALID"),
                (both, "v1", MediaType.index, "MANIFEST_INVALID"),
                (bytes, "v1", MediaType.index, "MANIFEST_INVALID"),
                (bytes, "v1", MediaType.dockerManifest, "MANIFEST_INVALID"),
                (bytes, "v1", "text/plain", "MANIFEST_INVALID"),
                (Data("{}".utf8), "v1", MediaType.manifest, "MANIFEST_INVALID"),
                (Data(), "v1", MediaType.manifest, "MANIFEST_INVALID"),
                (Data("not JSON".utf8), "v1", MediaType.manifest, "MANIFEST_INVALID"),
                (bytes, "\(Digest.of(Data("x".utf8)))", MediaType.manifest, "DIGEST_INVALID"),
                (bytes, ".x", MediaType.manifest, "MANIFEST_INVALID"),
            ] {
                let reply = try await put(body, as: name, type: type)
                #expect(reply.status == 400, "\(wanted)")
                #expect(code(reply) == wanted)
            }
            #expect(try await pusher.store.names().isEmpty)
            #expect(try Folder.names(in: pusher.store.root.appending("blobs/sha256")).count == 1)
            // The type may be left to the document, and the digest may be another algorithm's.
            #expect(try await put(bytes, type: nil).status == 201)
            #expect(try await put(bytes, type: "\(MediaType.manifest); charset=utf-8").status == 201)
            let long = Digest.of(bytes, .sha512)
            #expect(try await put(bytes, as: "\(long)").headers["docker-content-digest"] == "\(long)")
            #expect(try await client.get("/v2/app/manifests/\(long)").body == bytes)
            // A layer that its maker does not want distributed is no exception.
            for type in [
                "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            ] {
                var foreign = good
                foreign.layers = [
                    Descriptor(mediaType: type, digest: .of(Data(type.utf8)), size: Int64(type.utf8.count))
                ]
                let body = try canonicalJSON(foreign)
                #expect(code(try await put(body, as: "foreign")) == "MANIFEST_BLOB_UNKNOWN")
                try await pusher.blob(Data(type.utf8), to: "app")
                #expect(try await put(body, as: "foreign").status == 201)
            }
            #expect(try await pusher.store.check().isClean)
        }
    }

    @Test func aLargeManifestIsNotRead() async throws {
        try await pushing { pusher in
            let client = try pusher.client()
            try await client.send(
                "PUT /v2/app/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: \(9 << 20)\r\n\r\n")
            let announced = try await client.reply()
            #expect(announced.status == 413)
            let other = try pusher.client()
            try await other.send("PUT /v2/app/manifests/v1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            let piece = Data("100000\r\n".utf8) + Data(repeating: 0x20, count: 1 << 20) + Data("\r\n".utf8)
            for _ in 0..<4 { try await other.send(piece) }
            try await other.send(Data("1\r\n \r\n0\r\n\r\n".utf8))
            #expect(try await other.reply().status == 413)
            // Just as large as is allowed: it is read, and found to be no manifest.
            let full = Data(repeating: 0x20, count: 4 << 20)
            #expect(
                code(
                    try await pusher.request(
                        "PUT", "/v2/app/manifests/v1", ["Content-Type": MediaType.manifest], body: full))
                    == "MANIFEST_INVALID")
        }
    }

    @Test func anIndexNeedsItsMembers() async throws {
        try await pushing { pusher in
            let (first, layer) = try await pusher.image("one", to: "app", as: "one")
            let other = Descriptor(mediaType: MediaType.manifest, digest: .of(Data("none".utf8)), size: 4)
            func put(_ members: [Descriptor], as name: String = "all") async throws -> RawClient.Reply {
                try await pusher.put(ImageIndex(manifests: members), type: MediaType.index, to: "app", as: name)
            }
            #expect(code(try await put([first, other])) == "MANIFEST_BLOB_UNKNOWN")
            // A layer is no manifest, and a manifest is no index, whatever the index says.
            var disguised = layer
            disguised.mediaType = MediaType.manifest
            #expect(code(try await put([disguised])) == "MANIFEST_BLOB_UNKNOWN")
            disguised = first
            disguised.mediaType = MediaType.index
            #expect(code(try await put([disguised])) == "MANIFEST_INVALID")
            #expect(try await put([first]).status == 201)
            // Indexes of indexes, deep: garbage collection keeps all, and the store is whole.
            var inner = first
            for _ in 0..<8 {
                let index = ImageIndex(manifests: [inner])
                let bytes = try canonicalJSON(index)
                inner = Descriptor(mediaType: MediaType.index, digest: .of(bytes), size: Int64(bytes.count))
                #expect(try await put(index.manifests, as: "\(inner.digest)").status == 201)
            }
            #expect(try await pusher.request("DELETE", "/v2/app/manifests/one").status == 202)
            #expect(try await pusher.store.collectGarbage().blobs == 0)
            #expect(try await pusher.request("GET", "/v2/app/blobs/\(layer.digest)").status == 200)
            #expect(try await pusher.store.check().isClean)
        }
    }

    /// An index may not give names to others by calling its members contained images.
    @Test func onlyAClusterImageNamesItsMembers() async throws {
        try await pushing(hasAccounts: true) { pusher in
            var (member, _) = try await pusher.image("evil", to: "carol/app", as: "v1", Pusher.carol)
            member.annotations = [
                AnnotationKey.content: "image", AnnotationKey.imageName: "docker.io/library/nginx:latest",
            ]
            let plain = try await pusher.put(
                ImageIndex(manifests: [member]), type: MediaType.index, to: "carol/app", as: "index", Pusher.carol)
            #expect(plain.status == 201)
            let cluster = ImageIndex(artifactType: MediaType.clusterImage, manifests: [member])
            let confined = try await pusher.put(
                cluster, type: MediaType.index, to: "carol/app", as: "cluster", Pusher.carol)
            #expect(confined.status == 403)
            #expect(try await pusher.request("GET", "/v2/nginx/manifests/latest", Pusher.alice).status == 404)
            let trusted = try await pusher.put(
                cluster, type: MediaType.index, to: "acme/cluster", as: "v1", Pusher.alice)
            #expect(trusted.status == 201)
            // The store's list says what it is, as for an image that was built here.
            let entry = try await pusher.store.resolve(Reference("docker.io/acme/cluster:v1"))
            #expect(entry?.artifactType == MediaType.clusterImage)
            #expect(try await pusher.request("GET", "/v2/nginx/manifests/latest", Pusher.alice).status == 200)
        }
    }

    /// What one repository has is not another's, also when the bytes are in the store for it.
    @Test func repositoriesAreApart() async throws {
        try await pushing { pusher in
            let (manifest, layer) = try await pusher.image("layer", to: "app", as: "v1")
            let pending = try await pusher.blob(Data("pending".utf8), to: "app")
            for target in ["blobs/\(layer.digest)", "blobs/\(pending.digest)", "manifests/\(manifest.digest)"] {
                #expect(try await pusher.request("GET", "/v2/app/\(target)").status == 200)
                #expect(try await pusher.request("GET", "/v2/library/app/\(target)").status == 200)
                #expect(try await pusher.request("GET", "/v2/other/\(target)").status == 404)
            }
            // A mount need not say from where; then each has it until it deletes it.
            for digest in [layer.digest, pending.digest] {
                let mount = try await pusher.request("POST", "/v2/other/blobs/uploads/?mount=\(digest)")
                #expect(mount.status == 201)
                #expect(try await pusher.request("GET", "/v2/other/blobs/\(digest)").status == 200)
                #expect(try await pusher.request("DELETE", "/v2/other/blobs/\(digest)").status == 202)
                #expect(try await pusher.request("GET", "/v2/other/blobs/\(digest)").status == 404)
                #expect(try await pusher.request("GET", "/v2/app/blobs/\(digest)").status == 200)
            }
            // What is in the store and belongs to nobody is not to be had that way.
            let orphan = try await pusher.store.put(Data("orphan".utf8), mediaType: MediaType.layer)
            #expect(
                try await pusher.request("POST", "/v2/other/blobs/uploads/?mount=\(orphan.digest)").status == 202)
            let config = try await pusher.blob(Data("{}".utf8), to: "other", type: MediaType.config)
            let thief = try await pusher.put(ImageManifest(config: config, layers: [orphan]), to: "other", as: "v1")
            #expect(code(thief) == "MANIFEST_BLOB_UNKNOWN")
        }
    }

    @Test func manyPushAtOnce() async throws {
        try await pushing { pusher in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<24 {
                    group.addTask {
                        // The same tag and the same layer by several, and one of its own by each.
                        try await pusher.image("shared \(number % 3)", to: "shared", as: "latest")
                        try await pusher.image("own \(number)", to: "own/\(number % 4)", as: "v\(number)")
                    }
                }
                try await group.waitForAll()
            }
            let client = try pusher.client()
            for number in 0..<24 {
                #expect(try await client.get("/v2/own/\(number % 4)/manifests/v\(number)").status == 200)
            }
            // Whichever came last has the tag; none is lost.
            let names = try await pusher.store.names().filter { $0.reference.path == "library/shared" }
            #expect(Set(names.map(\.descriptor.digest)).count == 3)
            #expect(names.filter { $0.reference.tag == "latest" }.count == 1)
            #expect(try await pusher.store.collectGarbage().blobs == 0)
            #expect(try await pusher.store.check().isClean)
        }
    }

    @Test func namesThatAreTooLong() async throws {
        try await pushing { pusher in
            // A name within the limit, which is none with the registry before it.
            let long = String(repeating: "a", count: 250)
            for (method, end) in [
                ("POST", "blobs/uploads/"), ("PUT", "manifests/v1"), ("GET", "manifests/v1"),
                ("GET", "blobs/\(Digest.of(Data()))"), ("GET", "blobs/uploads/x"),
            ] {
                let reply = try await pusher.request(method, "/v2/\(long)/\(end)")
                #expect(reply.status == 400, "\(method) \(end)")
                #expect(code(reply) == "NAME_INVALID")
            }
        }
    }

    @Test func listsInPages() async throws {
        try await pushing { pusher in
            for tag in ["c", "a", "b", "d"] { try await pusher.image("layer", to: "app", as: tag) }
            let client = try pusher.client()
            var all: [String] = []
            var next: String? = "/v2/app/tags/list?n=3"
            while let target = next {
                let reply = try await client.get(target)
                all += try JSONDecoder().decode(Tags.self, from: reply.body).tags
                next = reply.headers["link"].map { String($0.dropFirst().prefix { $0 != ">" }) }
            }
            #expect(all == ["a", "b", "c", "d"])
            let huge = try await client.get("/v2/app/tags/list?n=99999999999999999999999999")
            #expect(try JSONDecoder().decode(Tags.self, from: huge.body).tags == all)
            #expect(try await client.get("/v2/_catalog?n=18446744073709551616").status == 200)
            let after = try await client.get("/v2/app/tags/list?last=b")
            #expect(try JSONDecoder().decode(Tags.self, from: after.body).tags == ["c", "d"])
        }
    }
}
