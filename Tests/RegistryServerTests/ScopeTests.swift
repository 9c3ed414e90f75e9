import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import SystemPackage
import TestSupport
import Testing

@testable import RegistryServer

/// What an account does not see is not there for it: not a byte of any answer changes when it comes, and it is not even read.
@Suite struct ScopeTests {
    /// All that an answer tells.
    private func text(_ reply: RawClient.Reply) -> String {
        let lines = reply.headers.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
        return (["\(reply.status)"] + lines + [String(decoding: reply.body, as: UTF8.self)]).joined(separator: "\n")
    }

    /// The answers of some registries to all that can be read of some repositories.
    private func answers(
        of ports: [Int], _ repositories: [String], _ digests: [Digest], _ account: [String: String]
    ) async throws -> [String: String] {
        var targets: [String] = ["_catalog", "_catalog?n=1"]
        for repository in repositories {
            var ends = ["tags/list", "tags/list?n=1", "manifests/v1", "manifests/v2"]
            for digest in digests { ends += ["manifests", "blobs", "referrers"].map { "\($0)/\(digest)" } }
            for end in ends {
                for query in ["", "ns=quay.io"] {
                    targets.append(
                        "\(repository)/\(end)" + (query.isEmpty ? "" : (end.contains("?") ? "&" : "?") + query))
                }
            }
        }
        var result: [String: String] = [:]
        for port in ports {
            let client = try RawClient(port: port)
            for target in targets {
                for method in ["GET", "HEAD"] {
                    let reply = try await client.get("/v2/\(target)", method: method, account)
                    result["\(port) \(method) \(target)"] = text(reply)
                }
                let conditional = account.merging(
                    ["If-None-Match": digests.map { "\"\($0)\"" }.joined(separator: ", "), "Range": "bytes=0-1"]
                ) { $1 }
                result["\(port) known \(target)"] = text(try await client.get("/v2/\(target)", conditional))
            }
        }
        return result
    }

    private func expectSame(_ now: [String: String], _ before: [String: String]) {
        let different = before.filter { now[$0.key] != $0.value }.keys.sorted()
        #expect(different.isEmpty, "\(different.prefix(5).map { "\($0): \(now[$0] ?? "nothing")" })")
    }

    @Test func ofAStore() async throws {
        var rules = AccessRules()
        try await pushing(hasAccounts: true, { rules = $0.access }) { pusher in
            var configuration = RegistryServerConfiguration.patient
            configuration.access = rules
            let reading = try await RegistryServer.start(configuration, content: StoreContent(store: pusher.store))
            let ports = [pusher.server.port, reading.port]
            // What is going to come, by its content.
            let layer = Data("hidden".utf8)
            let config = Data("{\"of\":\"hidden\"}".utf8)
            let manifest = try canonicalJSON(
                ImageManifest(
                    config: Descriptor(mediaType: MediaType.config, digest: .of(config), size: Int64(config.count)),
                    layers: [Descriptor(mediaType: MediaType.layer, digest: .of(layer), size: Int64(layer.count))]))
            let digests = [Digest.of(manifest), .of(layer), .of(config)]
            // The first is nobody's of carol, the others may be hers or another registry's.
            let repositories = ["private/app", "private", "carol/app", "carol", "quay.io/carol/app"]
            func ask(_ account: [String: String]) async throws -> [String: String] {
                try await answers(of: ports, repositories, digests, account)
            }
            let before = try await ask(Pusher.carol)
            let beforeAlice = try await ask(Pusher.alice)
            for repository in ["private/app", "private", "quay.io/carol/app", "quay.io/carol", "ghcr.io/carol/app"] {
                let pushed = try await pusher.image("hidden", to: repository, as: "v1", Pusher.alice)
                #expect(pushed.manifest.digest == digests[0])
                // With one registry that has it, and with several.
                if repository != "private/app", repository != "quay.io/carol" {
                    try expectSame(await ask(Pusher.carol), before)
                }
            }
            let empty = try await pusher.blob(Data("{}".utf8), to: "private/app", Pusher.alice, type: MediaType.empty)
            let subject = Descriptor(
                mediaType: MediaType.manifest, digest: digests[0], size: Int64(manifest.count))
            for repository in ["private/app", "quay.io/carol/app"] {
                try await pusher.blob(Data("{}".utf8), to: repository, Pusher.alice, type: MediaType.empty)
                let referrer = Referrer(artifactType: "application/x.secret", config: empty, subject: subject)
                #expect(try await pusher.put(referrer, to: repository, as: "v2", Pusher.alice).status == 201)
            }
            try expectSame(await ask(Pusher.carol), before)
            // Who sees all does see a difference.
            let now = try await ask(Pusher.alice)
            #expect(beforeAlice.filter { now[$0.key] != $0.value }.count > 20)
            // What cannot be read any more would show if it were read.
            for digest in digests { try AtomicFile.write(Array("x".utf8), to: pusher.store.path(of: digest)) }
            let damaged = try await RawClient(port: reading.port).get("/v2/private/app/manifests/v1", Pusher.alice)
            #expect(damaged.status == 500)
            try expectSame(await ask(Pusher.carol), before)
            await reading.stop(limit: .seconds(5))
        }
    }

    /// Nor by a mount, which begins an upload either way.
    @Test func ofAMount() async throws {
        try await pushing(hasAccounts: true) { pusher in
            let layer = Data("hidden".utf8)
            func mount(_ from: String) async throws -> String {
                let reply = try await pusher.request(
                    "POST", "/v2/carol/app/blobs/uploads/?mount=\(Digest.of(layer))&from=\(from)", Pusher.carol)
                let id = try #require(reply.headers["docker-upload-uuid"])
                return text(reply).replacing(id, with: "ID")
            }
            let sources = ["private/app", "carol/other", "quay.io/carol/other"]
            var before: [String] = []
            for source in sources { before.append(try await mount(source)) }
            for source in ["private/app", "quay.io/carol/other", "ghcr.io/carol/other"] {
                try await pusher.image("hidden", to: source, as: "v1", Pusher.alice)
            }
            for (source, answer) in zip(sources, before) { #expect(try await mount(source) == answer, "\(source)") }
        }
    }

    @Test func ofATree() async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("htpasswd")
        try AtomicFile.write(
            Array("alice:\(PasswordTests.secretHash)\ncarol:\(PasswordTests.thirdHash)\n".utf8), to: file)
        let writer = TreeWriter(root: scratch.path.appending("v2"))
        let config = try writer.blob(Data("{}".utf8), type: MediaType.config, in: "carol/own")
        let document = ImageManifest(config: config, layers: [])
        let own = try writer.manifest(document, type: MediaType.manifest, in: "carol/own", tag: "v1")
        var configuration = RegistryServerConfiguration.patient
        configuration.access.htpasswd = file
        configuration.access.confined = ["carol": ["carol"]]
        let content = try await DistributionTree(writer.root)
        let server = try await RegistryServer.start(configuration, content: content)
        let repositories = ["team/app", "app", "carol/app", "carol/own", "team/secret"]
        let digests = [own.digest, config.digest]
        let before = try await answers(of: [server.port], repositories, digests, Pusher.carol)
        for repository in ["team/app", "library/app", "app", "quay.io/carol/app", "docker.io/team/app"] {
            try writer.blob(Data("{}".utf8), type: MediaType.config, in: repository)
            try writer.manifest(document, type: MediaType.manifest, in: repository, tag: "v1")
        }
        try expectSame(await answers(of: [server.port], repositories, digests, Pusher.carol), before)
        // What cannot be read would show if it were read.
        let secret = try writer.manifest(
            ImageManifest(config: config, layers: [config]), type: MediaType.manifest, in: "team/secret", tag: "v1")
        try writer.write(Data("x".utf8), "blobs/sha256/\(secret.digest.hex.prefix(2))/\(secret.digest.hex)/data")
        try expectSame(await answers(of: [server.port], repositories, digests, Pusher.carol), before)
        let client = try RawClient(port: server.port)
        #expect(try await client.get("/v2/team/secret/manifests/v1", Pusher.alice).status == 500)
        #expect(try await client.get("/v2/team/app/manifests/v1", Pusher.alice).status == 200)
        #expect(try await client.get("/v2/carol/own/manifests/v1", Pusher.carol).status == 200)
        await server.stop(limit: .seconds(5))
    }
}
