import FoundationEssentials
import ImageStore
import LinuxSystem
import NIOHTTP1
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@testable import RegistryServer

@Suite struct PasswordTests {
    /// Of `secret`, `pull-only` and `third`, with the three marks of bcrypt.
    static let secretHash = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
    static let pullHash = "$2y$05$abcdefghijklmnopqrstuuA2YqJrHVCZyfMFDak5hovHEWtgzf6t6"
    static let thirdHash = "$2a$04$abcdefghijklmnopqrstuuVIVRBIKFfDXzZpLg34SiEnRrdeO5V8S"

    @Test func readsAccounts() throws {
        let file = try PasswordFile(
            text: "# people\n\nalice:\(Self.secretHash)\r\n bob\u{2028}\ncarol:\(Self.thirdHash)  \n"
                .replacing(" bob\u{2028}\n", with: "bob:\(Self.pullHash)\n"),
            at: "x")
        #expect(file.hashes == ["alice": Self.secretHash, "bob": Self.pullHash, "carol": Self.thirdHash])
    }

    @Test(arguments: [
        "x:$6$abc$IdWKNKTJEb8LxY7CGg8YBXlvtfZzFw7Mp/r6niK9YB2mdvgY..TKjv1T..8RadRt2qvUHYRLr/TsVArtr91iR1",
        "x:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00", "x:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "x:secret", "x:", "x",
        ":\(secretHash)", "x y:\(secretHash)", "x:\(secretHash)x", "x:\(secretHash.dropLast())",
        "x:$2x$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
        "x:$2b$31$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
        "x:$2b$03$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
        "x:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WI:W", "alice:\(secretHash)",
    ])
    func namesTheLineThatIsNotGood(_ line: String) {
        let error = #expect(throws: Failure.self) {
            try PasswordFile(text: "alice:\(Self.secretHash)\n\n\(line)\n", at: "accounts")
        }
        #expect(error?.kind == .invalidInput)
        #expect(error?.place == "accounts:3")
        #expect(error.map { !"\($0)".contains("2r9OfJnfCsdneAX") } == true)
    }

    @Test func comparesAndRemembers() async throws {
        let file = try PasswordFile(
            text: "alice:\(Self.secretHash)\nbob:\(Self.pullHash)\ncarol:\(Self.thirdHash)", at: "x")
        let check = PasswordCheck(file, rememberedFor: .seconds(60), concurrentChecks: 2)
        for (password, name, isRight) in [
            ("secret", "alice", true), ("secret", "alice", true), ("pull-only", "bob", true), ("third", "carol", true),
            ("secret2", "alice", false), ("", "alice", false), ("secret", "bob", false), ("secret", "nobody", false),
            ("secret\u{0}x", "alice", false), (Self.secretHash, "alice", false),
            (String(repeating: "x", count: 100_000), "alice", false),
        ] {
            #expect(try await check.isRight(password, of: name) == isRight, "\(name)")
        }
        #expect(check.rememberedCount == 3)
        let forgetful = PasswordCheck(file, rememberedFor: .zero, concurrentChecks: 1)
        #expect(try await forgetful.isRight("secret", of: "alice"))
        #expect(try await !forgetful.isRight("secret2", of: "alice"))
    }

    @Test func tooManyChecksAreSentAway() async throws {
        let file = try PasswordFile(text: "bob:\(Self.pullHash)", at: "x")
        let check = PasswordCheck(file, rememberedFor: .zero, concurrentChecks: 1)
        let refused = await withTaskGroup(of: Bool.self) { group in
            for number in 0..<400 {
                group.addTask {
                    do {
                        _ = try await check.isRight("\(number)", of: "bob")
                        return false
                    } catch let error as RegistryError {
                        return error.status.code == 429
                    } catch {
                        return false
                    }
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(refused > 0)
        #expect(try await check.isRight("pull-only", of: "bob"))
    }
}

@Suite struct AccessTests {
    @Test func whoMayDoWhat() async throws {
        try await pushing(hasAccounts: true) { pusher in
            try await pusher.image("layer", to: "app", as: "v1", Pusher.alice)
            let wrong = ["Authorization": "Basic \(Data("alice:wrong".utf8).base64EncodedString())"]
            for headers in [
                [:], wrong, ["Authorization": "Bearer x"], ["Authorization": "Basic"], ["Authorization": "Basic !!"],
                ["Authorization": "Basic \(Data("alice".utf8).base64EncodedString())"],
            ] {
                for (method, target) in [
                    ("GET", "/v2/"), ("GET", "/v2/app/manifests/v1"), ("GET", "/metrics"), ("GET", "/v2/_catalog"),
                    ("PUT", "/v2/app/manifests/v2"), ("POST", "/v2/app/blobs/uploads/"),
                    ("DELETE", "/v2/app/manifests/v1"),
                ] {
                    let reply = try await pusher.request(method, target, headers)
                    #expect(reply.status == 401)
                    #expect(reply.headers["www-authenticate"] == "Basic realm=\"sealer\"")
                    #expect(code(reply) == "UNAUTHORIZED")
                }
            }
            #expect(try await pusher.request("GET", "/healthz").status == 200)
            #expect(try await pusher.request("GET", "/v2/app/manifests/v1", Pusher.bob).status == 200)
            for (method, target) in [
                ("PUT", "/v2/app/manifests/v2"), ("POST", "/v2/app/blobs/uploads/"),
                ("POST", "/v2/app/blobs/uploads/?digest=\(Digest.of(Data()))"), ("PATCH", "/v2/app/blobs/uploads/x"),
                ("DELETE", "/v2/app/manifests/v1"), ("DELETE", "/v2/app/blobs/uploads/x"),
            ] {
                let reply = try await pusher.request(method, target, Pusher.bob)
                #expect(reply.status == 403)
                #expect(code(reply) == "DENIED")
            }
            // Twice the same header is no name at all.
            let client = try pusher.client()
            let line = "Authorization: \(Pusher.alice["Authorization"] ?? "")\r\n"
            try await client.send("GET /v2/ HTTP/1.1\r\nHost: x\r\n\(line)\(line)\r\n")
            #expect(try await client.reply().status == 401)
        }
    }

    @Test func anUploadBelongsToWhoBeganIt() async throws {
        try await pushing(hasAccounts: true) { pusher in
            let address = try await pusher.begin("carol/app", Pusher.alice)
            for method in ["GET", "PATCH", "DELETE"] {
                let reply = try await pusher.request(method, address, Pusher.carol)
                #expect(reply.status == 404)
                #expect(code(reply) == "BLOB_UPLOAD_UNKNOWN")
            }
            let digest = Digest.of(Data())
            #expect(try await pusher.request("PUT", "\(address)?digest=\(digest)", Pusher.carol).status == 404)
            // Nor does it go to another repository.
            let elsewhere = address.replacing("carol/app", with: "other/app")
            #expect(try await pusher.request("GET", elsewhere, Pusher.alice).status == 404)
            #expect(try await pusher.request("GET", address, Pusher.alice).status == 204)
            #expect(try await pusher.request("PUT", "\(address)?digest=\(digest)", Pusher.alice).status == 201)
        }
    }

    /// CVE-2024-39897: a mount by digest went around the rights.
    @Test func aMountShowsNobodyWhatTheyMayNotRead() async throws {
        try await pushing(hasAccounts: true) { pusher in
            let (manifest, layer) = try await pusher.image("secret layer", to: "private/app", as: "v1", Pusher.alice)
            func mount(_ headers: [String: String], to: String, from: String) async throws -> RawClient.Reply {
                try await pusher.request(
                    "POST", "/v2/\(to)/blobs/uploads/?mount=\(layer.digest)&from=\(from)", headers)
            }
            let refused = try await mount(Pusher.carol, to: "carol/app", from: "private/app")
            #expect(refused.status == 202)
            #expect(refused.headers["location"]?.hasPrefix("/v2/carol/app/blobs/uploads/") == true)
            for target in [
                "private/app/manifests/v1", "private/app/tags/list", "private/app/blobs/\(layer.digest)",
                "carol/app/blobs/\(layer.digest)",
                "carol/app/manifests/\(manifest.digest)",
            ] {
                #expect(try await pusher.request("GET", "/v2/\(target)", Pusher.carol).status == 404, "\(target)")
            }
            let referrers = try await pusher.request(
                "GET", "/v2/private/app/referrers/\(manifest.digest)", Pusher.carol)
            #expect(try JSONDecoder().decode(ImageIndex.self, from: referrers.body).manifests.isEmpty)
            #expect(
                String(decoding: try await pusher.request("GET", "/v2/_catalog", Pusher.carol).body, as: UTF8.self)
                    == #"{"repositories":[]}"#)
            // Nor does a manifest that names the digest.
            let config = try await pusher.blob(Data("{}".utf8), to: "carol/app", Pusher.carol, type: MediaType.config)
            let thief = try await pusher.put(
                ImageManifest(config: config, layers: [layer]), to: "carol/app", as: "v1", Pusher.carol)
            #expect(code(thief) == "MANIFEST_BLOB_UNKNOWN")
            let index = try await pusher.put(
                ImageIndex(manifests: [manifest]), type: MediaType.index, to: "carol/app", as: "v1", Pusher.carol)
            #expect(code(index) == "MANIFEST_BLOB_UNKNOWN")
            for to in ["other/app", "carolina/app", "registry.example.com/carol/app"] {
                #expect(try await pusher.request("POST", "/v2/\(to)/blobs/uploads/", Pusher.carol).status == 403)
            }
            // Who may read it gets it, from where it is; then it is the other repository's, too.
            #expect(try await mount(Pusher.alice, to: "carol/app", from: "nowhere/app").status == 202)
            let mounted = try await mount(Pusher.alice, to: "carol/app", from: "private/app")
            #expect(mounted.status == 201)
            #expect(mounted.headers["location"] == "/v2/carol/app/blobs/\(layer.digest)")
            #expect(try await pusher.request("GET", "/v2/carol/app/blobs/\(layer.digest)", Pusher.carol).status == 200)
        }
    }

    /// A path without a registry may be another registry's.
    @Test func otherRegistriesStayHiddenFromAConfinedAccount() async throws {
        var rules = AccessRules()
        try await pushing(hasAccounts: true, { rules = $0.access }) { pusher in
            var configuration = RegistryServerConfiguration.patient
            configuration.access = rules
            let reading = try await RegistryServer.start(configuration, content: StoreContent(store: pusher.store))
            func texts(_ target: String, _ headers: [String: String]) async throws -> [String] {
                var texts: [String] = []
                for port in [pusher.server.port, reading.port] {
                    let reply = try await RawClient(port: port).get("/v2/carol/app/\(target)", headers)
                    texts.append("\(reply.status) " + String(decoding: reply.body, as: UTF8.self))
                }
                return texts
            }
            let (image, layer) = try await pusher.image("hidden", to: "quay.io/carol/app", as: "secret", Pusher.alice)
            let empty = try await pusher.blob(
                Data("{}".utf8), to: "quay.io/carol/app", Pusher.alice, type: MediaType.empty)
            let referrer = Referrer(artifactType: "application/x.secret", config: empty, subject: image)
            #expect(
                try await pusher.put(referrer, to: "quay.io/carol/app", as: "signature", Pusher.alice).status == 201)
            let targets = [
                "tags/list", "referrers/\(image.digest)", "manifests/secret", "manifests/\(image.digest)",
                "blobs/\(layer.digest)",
            ]
            for text in try await texts("tags/list", Pusher.carol) { #expect(text.hasPrefix("404 ")) }
            for target in targets {
                for text in try await texts(target, Pusher.carol) { #expect(!text.contains("secret"), "\(target)") }
            }
            for text in try await texts("tags/list", Pusher.alice) { #expect(text.contains("secret")) }
            for text in try await texts(targets[1], Pusher.alice) { #expect(text.contains("secret")) }
            // Nor is it told which registries have it.
            try await pusher.image("hidden", to: "ghcr.io/carol/app", as: "secret", Pusher.alice)
            for target in targets {
                for text in try await texts(target, Pusher.carol) {
                    #expect(!text.contains("secret") && !text.contains("ghcr.io"), "\(target)")
                }
            }
            for text in try await texts("tags/list", Pusher.alice) { #expect(text.contains("ghcr.io/carol/app")) }
            // What is its own, it sees.
            try await pusher.image("own", to: "carol/app", as: "mine", Pusher.carol)
            for text in try await texts("tags/list", Pusher.carol) {
                #expect(text == #"200 {"name":"carol/app","tags":["mine"]}"#)
            }
            await reading.stop(limit: .seconds(5))
        }
    }

    @Test func rulesThatContradictEachOther() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let file = scratch.path.appending("htpasswd")
        try AtomicFile.write(Array("alice:\(PasswordTests.secretHash)\n".utf8), to: file)
        func start(_ change: (inout RegistryServerConfiguration) -> Void) async -> Failure? {
            var configuration = RegistryServerConfiguration.patient
            change(&configuration)
            do {
                let content = WritableStoreContent(store: store)
                await (try RegistryServer.start(configuration, content: content)).stop(limit: .seconds(1))
                return nil
            } catch {
                return error as? Failure
            }
        }
        #expect(await start { $0.isWritable = true }?.kind == .usage)
        #expect(await start { $0.isDeletable = true }?.kind == .usage)
        #expect(await start { $0.access.pushers = ["alice"] }?.kind == .usage)
        #expect(
            await start {
                $0.access.htpasswd = file
                $0.access.pushers = ["bob"]
            }?.what.contains("bob") == true)
        #expect(
            await start {
                $0.access.htpasswd = file
                $0.access.allowsAnonymousPush = true
            }?.kind == .usage)
        #expect(await start { $0.access.htpasswd = scratch.path.appending("none") }?.kind == .notFound)
        var configuration = RegistryServerConfiguration.patient
        configuration.isWritable = true
        configuration.access.allowsAnonymousPush = true
        await #expect(throws: Failure.self) {
            try await RegistryServer.start(configuration, content: StoreContent(store: store))
        }
    }

    @Test func prefixesEndAtASlash() {
        let account = Account(name: "x", mayPush: true, repositories: ["docker.io/team", "quay.io/a/"])
        #expect(account.sees("docker.io/team"))
        #expect(account.sees("docker.io/team/app"))
        #expect(account.sees("quay.io/a/b"))
        for name in [
            "docker.io/teams", "docker.io/teams/app", "docker.io/other", "docker.io", "quay.io/a", "quay.io/ab",
        ] {
            #expect(!account.sees(name), "\(name)")
        }
    }
}
