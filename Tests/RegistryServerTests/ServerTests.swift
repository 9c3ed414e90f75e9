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

@testable import RegistryServer

/// Collects the access log.
private final class Log: Sendable {
    private let all = Mutex<[AccessLine]>([])
    var lines: [AccessLine] { all.withLock { $0 } }
    func add(_ line: AccessLine) { all.withLock { $0.append(line) } }
}

@Suite struct ServerTests {
    /// Serves the fixture while `body` runs.
    private func serving(
        _ change: (inout RegistryServerConfiguration) -> Void = { _ in },
        log: (@Sendable (AccessLine) -> Void)? = nil,
        _ body: (ContentFixture, RunningRegistry) async throws -> Void
    ) async throws {
        let scratch = try Scratch()
        let fixture = try await ContentFixture(in: scratch.path)
        var configuration = RegistryServerConfiguration.patient
        change(&configuration)
        let server = try await RegistryServer.start(
            configuration, content: StoreContent(store: fixture.store), log: log)
        do {
            try await body(fixture, server)
        } catch {
            await server.stop(limit: .seconds(1))
            throw error
        }
        // All is answered, but on a busy machine the end of the last answer may not have been noted yet.
        await server.stop(limit: .seconds(120))
        // The file of every reply is closed, however the reply ended.
        let root = fixture.store.root.string
        for name in try Folder.names(in: "/proc/self/fd") {
            var target = [CChar](repeating: 0, count: 4096)
            guard readlink("/proc/self/fd/\(name)", &target, 4095) > 0 else { continue }
            let path = String(decoding: target.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            #expect(!path.hasPrefix(root), "\(path) is still open")
        }
    }

    private func errorCode(_ reply: RawClient.Reply) throws -> String {
        struct Body: Decodable {
            struct Item: Decodable { var code: String }
            var errors: [Item]
        }
        return try JSONDecoder().decode(Body.self, from: reply.body).errors.first?.code ?? ""
    }

    @Test(
        "listens at an address of IPv6, and names it as URLs do",
        .enabled(if: FileManager.default.fileExists(atPath: "/proc/net/if_inet6"), "this kernel has no IPv6"))
    func overIPv6() async throws {
        try await serving({ $0.host = "::" }) { _, server in
            #expect(server.url == "http://[::]:\(server.port)")
            // The same socket takes IPv4.
            let client = try RawClient(port: server.port)
            #expect(try await client.get("/v2/").status == 200)
        }
    }

    @Test func answersOnOneConnection() async throws {
        try await serving { fixture, server in
            let client = try RawClient(port: server.port)
            let root = try await client.get("/v2/")
            #expect(root.status == 200)
            #expect(root.headers["docker-distribution-api-version"] == "registry/2.0")
            #expect(try await client.get("/healthz").body == Data("ok\n".utf8))

            let tag = try await client.get("/v2/library/nginx/manifests/1.25?ns=docker.io")
            #expect(tag.status == 200)
            #expect(tag.headers["docker-content-digest"] == "\(fixture.nginxIndex.digest)")
            #expect(tag.headers["content-type"] == MediaType.index)
            #expect(Digest.of(tag.body) == fixture.nginxIndex.digest)

            let digest = try await client.get("/v2/library/nginx/manifests/\(fixture.nginx.digest)", method: "HEAD")
            #expect(digest.status == 200)
            #expect(digest.headers["content-length"] == "\(fixture.nginx.size)")
            #expect(digest.headers["content-type"] == MediaType.manifest)

            let known = try await client.get(
                "/v2/library/nginx/manifests/1.25",
                ["If-None-Match": "\"\(fixture.nginxIndex.digest)\""]
            )
            #expect(known.status == 304)
            // The connection is still in step.
            #expect(try await client.get("/v2/").status == 200)
        }
    }

    @Test func blobsWholeAndInParts() async throws {
        try await serving { fixture, server in
            let client = try RawClient(port: server.port)
            let address = "/v2/library/nginx/blobs/\(fixture.layer.digest)"
            let whole = try await client.get(address)
            #expect(whole.status == 200)
            #expect(whole.body == fixture.layerBytes)
            #expect(whole.headers["accept-ranges"] == "bytes")
            let head = try await client.get(address, method: "HEAD")
            #expect(head.headers["content-length"] == "\(fixture.layer.size)")

            let size = fixture.layerBytes.count
            for (range, expected) in [
                ("bytes=0-0", 0..<1), ("bytes=1000000-", 1_000_000..<size),
                ("bytes=1048575-2097152", 1_048_575..<2_097_153),
                ("bytes=-5", (size - 5)..<size),
            ] {
                let part = try await client.get(address, ["Range": range])
                #expect(part.status == 206)
                #expect(part.body == fixture.layerBytes[expected])
                #expect(
                    part.headers["content-range"] == "bytes \(expected.lowerBound)-\(expected.upperBound - 1)/\(size)")
            }
            let outside = try await client.get(address, ["Range": "bytes=\(size)-"])
            #expect(outside.status == 416)
            #expect(outside.headers["content-range"] == "bytes */\(size)")
            let several = try await client.get(address, ["Range": "bytes=0-1,5-6"])
            #expect(several.status == 200)
            #expect(several.body.count == size)
            let changed = try await client.get(address, ["Range": "bytes=0-1", "If-Range": "\"other\""])
            #expect(changed.status == 200)
            let empty = try await client.get(
                "/v2/x/blobs/\(fixture.layer.digest)", ["If-None-Match": "\"\(fixture.layer.digest)\""])
            #expect(empty.status == 304)
        }
    }

    @Test func errorsAreTheSpecifications() async throws {
        let log = Log()
        try await serving(log: { log.add($0) }) { fixture, server in
            let client = try RawClient(port: server.port)
            let none = Digest.of(Data("nowhere".utf8))
            for (target, status, code) in [
                ("/v2/library/nginx/manifests/9", 404, "MANIFEST_UNKNOWN"),
                ("/v2/x/manifests/\(none)", 404, "MANIFEST_UNKNOWN"),
                ("/v2/x/blobs/\(none)", 404, "BLOB_UNKNOWN"),
                ("/v2/x/blobs/\(fixture.orphan.digest)", 404, "BLOB_UNKNOWN"),
                ("/v2/x/tags/list", 404, "NAME_UNKNOWN"), ("/v2/team/tool/manifests/v1", 404, "NAME_UNKNOWN"),
                ("/v2/x/blobs/sha256:1", 400, "DIGEST_INVALID"), ("/v2/X/manifests/y", 400, "NAME_INVALID"),
                ("/v2/../x/manifests/y", 400, "NAME_INVALID"), ("/elsewhere", 404, "UNSUPPORTED"),
            ] {
                let reply = try await client.get(target)
                #expect(reply.status == status, "\(target)")
                #expect(try errorCode(reply) == code, "\(target)")
                #expect(reply.headers["content-type"] == "application/json")
            }
            for method in ["PUT", "POST", "PATCH", "DELETE", "OPTIONS"] {
                let reply = try await client.get("/v2/library/nginx/manifests/1.25", method: method)
                #expect(reply.status == 405)
                #expect(reply.headers["allow"] == "GET, HEAD")
            }
            _ = try await client.get("/v2/\u{1b}[31m".replacing("\u{1b}", with: "%1b"))
        }
        #expect(log.lines.count == 16)
        #expect(log.lines.allSatisfy { $0.client == "127.0.0.1" && $0.isComplete })
        #expect(log.lines.first?.status == 404)
    }

    @Test func listsInPages() async throws {
        struct Catalogue: Decodable { var repositories: [String] }
        struct Tags: Decodable {
            var name: String
            var tags: [String]
        }
        try await serving { fixture, server in
            for tag in ["v2", "v3"] {
                try await fixture.store.tag(fixture.cluster, as: Reference("registry.example.com/acme/cluster:\(tag)"))
            }
            let client = try RawClient(port: server.port)
            var repositories: [String] = []
            var next: String? = "/v2/_catalog?n=2"
            while let target = next {
                let reply = try await client.get(target)
                repositories += try JSONDecoder().decode(Catalogue.self, from: reply.body).repositories
                next = reply.headers["link"].map { String($0.dropFirst().prefix { $0 != ">" }) }
            }
            #expect(repositories.count == 5)
            #expect(repositories == repositories.sorted())
            let first = try await client.get("/v2/acme/cluster/tags/list?n=2")
            #expect(try JSONDecoder().decode(Tags.self, from: first.body).tags == ["v1", "v2"])
            #expect(first.headers["link"] == "</v2/acme/cluster/tags/list?n=2&last=v2>; rel=\"next\"")
            let second = try await client.get("/v2/acme/cluster/tags/list?n=2&last=v2&ns=registry.example.com")
            #expect(try JSONDecoder().decode(Tags.self, from: second.body).tags == ["v3"])
            #expect(second.headers["link"] == nil)
            #expect(try await client.get("/v2/_catalog?n=0").status == 200)
        }
    }

    @Test func severalRequestsAtOnceAreAnsweredInTheirOrder() async throws {
        try await serving { fixture, server in
            let client = try RawClient(port: server.port)
            let blob = "GET /v2/x/blobs/\(fixture.layer.digest) HTTP/1.1\r\nHost: x\r\n\r\n"
            try await client.send(blob + "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + blob)
            #expect(try await client.reply().body == fixture.layerBytes)
            #expect(try await client.reply().body == Data("ok\n".utf8))
            #expect(try await client.reply().body == fixture.layerBytes)
        }
    }

    @Test func whoAsksToCloseIsClosed() async throws {
        try await serving { _, server in
            let client = try RawClient(port: server.port)
            try await client.send("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            let all = String(decoding: try await client.readAll(), as: UTF8.self)
            #expect(all.hasSuffix("ok\n"))
            let old = try RawClient(port: server.port)
            try await old.send("GET /healthz HTTP/1.0\r\n\r\n")
            #expect(String(decoding: try await old.readAll(), as: UTF8.self).hasSuffix("ok\n"))
        }
    }

    // MARK: - Bad clients

    @Test func garbageEndsTheConnectionOnly() async throws {
        try await serving { _, server in
            for text in [
                "garbage\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}", "GET /v2/ HTTP/9.9\r\n\r\n",
                "GET /v2/ HTTP/1.1\r\nX: " + String(repeating: "x", count: 100_000) + "\r\n\r\n",
                "GET /v2/ HTTP/1.1\r\n" + String(repeating: "X: y\r\n", count: 1000) + "\r\n",
                "GET /" + String(repeating: "x", count: 200_000) + " HTTP/1.1\r\n\r\n",
            ] {
                let client = try RawClient(port: server.port)
                // The server may close before all is sent.
                try? await client.send(text)
                let answer = String(decoding: try await client.readAll(), as: UTF8.self)
                #expect(
                    answer.isEmpty || answer.hasPrefix("HTTP/1.1 4") || answer.hasPrefix("HTTP/1.0 4"),
                    "\(answer.prefix(80))")
            }
            #expect(try await RawClient(port: server.port).get("/healthz").status == 200)
        }
    }

    @Test func headersAreBounded() async throws {
        try await serving({
            $0.headerCountLimit = 5
            $0.headerFieldLimit = 200
            $0.headerLimit = 400
        }) { _, server in
            let value = String(repeating: "x", count: 150)
            for (headers, isFine) in [
                (["A: 1", "B: 2"], true), (["A: \(value)"], true), (["A: 1", "B: 2", "C: 3", "D: 4", "E: 5"], false),
                (["A: \(value)\(value)"], false), (["A: \(value)", "B: \(value)", "C: \(value)"], false),
            ] {
                let client = try RawClient(port: server.port)
                try await client.send(
                    "GET /healthz HTTP/1.1\r\nHost: x\r\n\(headers.map { "\($0)\r\n" }.joined())\r\n")
                if isFine {
                    #expect(try await client.reply().status == 200)
                } else {
                    let answer = String(decoding: try await client.readAll(), as: UTF8.self)
                    #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 4"), "\(answer.prefix(80))")
                }
            }
        }
    }

    @Test func aLargeBodyIsNotReadToItsEnd() async throws {
        try await serving({ $0.bodyLimit = 1000 }) { _, server in
            let client = try RawClient(port: server.port)
            try await client.send("PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
            try await client.send(String(repeating: "x", count: 2000))
            let reply = try await client.reply()
            #expect(reply.status == 405)
            #expect(reply.headers["connection"] == "close")
            #expect(try await client.readAll().isEmpty)
        }
    }

    @Test func aClientThatSendsNothingOrDripsIsClosed() async throws {
        try await serving({ $0.requestLimit = .milliseconds(300) }) { _, server in
            let silent = try RawClient(port: server.port)
            #expect(try await silent.readAll().isEmpty)
            let dripping = try RawClient(port: server.port)
            let drip = Task {
                for character in "GET /healthz HTTP/1.1\r\nHost: " + String(repeating: "x", count: 1000) {
                    try await dripping.send(String(character))
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
            #expect(try await dripping.readAll().isEmpty)
            drip.cancel()
            _ = await drip.result
        }
    }

    @Test func aClientThatTakesNothingIsCut() async throws {
        let log = Log()
        try await serving({ $0.sendLimit = .milliseconds(300) }, log: { log.add($0) }) { fixture, server in
            // Larger than what the kernels' buffers take.
            let large = try await fixture.store.put(Data(count: 40 << 20), mediaType: MediaType.layer)
            let manifest = try await fixture.store.put(
                canonicalJSON(ImageManifest(config: fixture.layer, layers: [large])),
                mediaType: MediaType.manifest
            )
            try await fixture.store.tag(manifest, as: Reference("registry.example.com/large:v1"))
            let client = try RawClient(port: server.port, receiveBuffer: 4096)
            try await client.send("GET /v2/large/blobs/\(large.digest) HTTP/1.1\r\nHost: x\r\n\r\n")
            let end = ContinuousClock.now + .seconds(240)
            while log.lines.isEmpty, ContinuousClock.now < end { try await Task.sleep(for: .milliseconds(20)) }
            #expect(log.lines.first?.isComplete == false)
            #expect(log.lines.first.map { $0.bytes < large.size } == true)
            #expect(try await RawClient(port: server.port).get("/healthz").status == 200)
        }
    }

    @Test func aClientThatLeavesInTheMiddle() async throws {
        try await serving { fixture, server in
            for _ in 0..<20 {
                let client = try RawClient(port: server.port, receiveBuffer: 4096)
                try await client.send("GET /v2/x/blobs/\(fixture.layer.digest) HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(try await client.read(100).isEmpty == false)
            }
            #expect(try await RawClient(port: server.port).get("/healthz").status == 200)
        }
    }

    @Test func whoWaitsGivesWayWhenTheServerIsFull() async throws {
        try await serving({ $0.maximumConnections = 2 }) { _, server in
            var idle: [RawClient] = []
            for _ in 0..<6 {
                let client = try RawClient(port: server.port)
                #expect(try await client.get("/healthz").status == 200)
                idle.append(client)
            }
        }
    }

    /// Whoever waits is only closed for want of room, however many were there before.
    @Test func connectionsThatHaveEndedDoNotCount() async throws {
        try await serving({ $0.maximumConnections = 4 }) { _, server in
            let waiting = try RawClient(port: server.port)
            #expect(try await waiting.get("/healthz").status == 200)
            for _ in 0..<20 {
                let client = try RawClient(port: server.port)
                try await client.send("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                #expect(String(decoding: try await client.readAll(), as: UTF8.self).hasSuffix("ok\n"))
            }
            #expect(try await waiting.get("/healthz").status == 200)
        }
    }

    // MARK: - Starting and stopping

    @Test func repliesFinishBeforeTheServerStops() async throws {
        try await serving { fixture, server in
            let busy = try RawClient(port: server.port, receiveBuffer: 4096)
            try await busy.send("GET /v2/x/blobs/\(fixture.layer.digest) HTTP/1.1\r\nHost: x\r\n\r\n")
            let first = try await busy.read(1)
            let idle = try RawClient(port: server.port)
            #expect(try await idle.get("/healthz").status == 200)
            let stopping = Task { await server.stop(limit: .seconds(600)) }
            #expect(try await idle.readAll().isEmpty)
            let rest = try await busy.readAll()
            #expect((first + rest).suffix(fixture.layerBytes.count) == fixture.layerBytes)
            await stopping.value
            #expect(throws: Errno.self) { try RawClient(port: server.port) }
        }
    }

    @Test func stoppingHasALimit() async throws {
        try await serving { fixture, server in
            let large = try await fixture.store.put(Data(count: 40 << 20), mediaType: MediaType.layer)
            let manifest = try await fixture.store.put(
                canonicalJSON(ImageManifest(config: fixture.layer, layers: [large])),
                mediaType: MediaType.manifest
            )
            try await fixture.store.tag(manifest, as: Reference("registry.example.com/large:v1"))
            let stuck = try RawClient(port: server.port, receiveBuffer: 4096)
            try await stuck.send("GET /v2/large/blobs/\(large.digest) HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await stuck.read(1).count == 1)
            await server.stop(limit: .milliseconds(200))
            #expect(try await stuck.readAll().count < large.size)
        }
    }

    @Test func aPortThatIsTaken() async throws {
        try await serving { fixture, server in
            var configuration = RegistryServerConfiguration.patient
            configuration.port = server.port
            let error = await #expect(throws: Failure.self) {
                try await RegistryServer.start(configuration, content: StoreContent(store: fixture.store))
            }
            #expect(error?.kind == .conflict)
        }
    }

    @Test func aCertificateThatIsNone() async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("x.pem")
        try AtomicFile.write(Array("no PEM".utf8), to: file)
        var configuration = RegistryServerConfiguration.patient
        configuration.tls = .init(certificate: file, key: file)
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let error = await #expect(throws: Failure.self) {
            try await RegistryServer.start(configuration, content: StoreContent(store: store))
        }
        #expect(error?.kind == .invalidInput)
        #expect(error?.place == file.string)
    }
}
