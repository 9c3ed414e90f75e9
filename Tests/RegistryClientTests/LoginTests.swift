import FoundationEssentials
import LinuxSystem
import NIOSSL
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import RegistryClient

/// Logins and redirects: who gets to see a secret.
@Suite struct LoginTests {
    private let image: SmallImage

    init() throws { image = try SmallImage(layers: ["one"]) }

    private func configuration(for host: String, _ credential: Credential? = .password(user: "u", password: "p:w"))
        -> RegistryConfiguration
    {
        var configuration = quickConfiguration()
        if let credential { configuration.credentials.set(credential, for: host) }
        return configuration
    }

    private func resolve(_ configuration: RegistryConfiguration, _ name: String) async throws -> ResolvedImage {
        let client = RegistryClient(configuration: configuration)
        do {
            let result = try await client.resolve(Reference(name))
            await client.close()
            return result
        } catch {
            await client.close()
            throw error
        }
    }

    private let secret = "Basic " + Data("u:p:w".utf8).base64EncodedString()

    @Test func basic() async throws {
        let (image, secret) = (image, secret)
        let registry = try await FakeRegistry.start { request in
            request.headers["authorization"] == secret
                ? image.answer(request.path) ?? unknown : .json(401, "{}", ["WWW-Authenticate": "Basic realm=x"])
        }
        _ = try await resolve(configuration(for: registry.host), "\(registry.host)/a/b:v1")
        #expect(registry.requests.map { $0.headers["authorization"] } == [nil, secret])

        let wrong = await #expect(throws: Failure.self) {
            try await resolve(
                configuration(for: registry.host, .password(user: "u", password: "x")), "\(registry.host)/a/b:v1")
        }
        #expect(wrong?.kind == .denied)
        let none = await #expect(throws: Failure.self) {
            try await resolve(configuration(for: registry.host, nil), "\(registry.host)/a/b:v1")
        }
        #expect(none?.kind == .denied)
        #expect(none?.remedy?.contains("sealer login") == true)
        try await registry.stop()
    }

    /// Answers like a registry whose realm is itself; the token is the number of the token request.
    private func bearer(
        _ image: SmallImage,
        tokenField: String = "token",
        accepts: @escaping @Sendable (String) -> Bool
    ) -> FakeRegistry.Handler {
        let issued = Mutex(0)
        return { request in
            if request.path == "/token" {
                let number = issued.withLock { issued in
                    issued += 1
                    return issued
                }
                return .json(200, #"{"\#(tokenField)":"t\#(number)"}"#)
            }
            if let sent = request.headers["authorization"], sent.hasPrefix("Bearer "),
                accepts(String(sent.dropFirst(7)))
            {
                return image.answer(request.path) ?? unknown
            }
            let host = request.headers["host"] ?? ""
            let challenge = #"Bearer realm="http://\#(host)/token",service="s v",scope="repository:a/b:pull""#
            return .json(401, "{}", ["WWW-Authenticate": challenge])
        }
    }

    @Test(arguments: ["token", "access_token"])
    func oneTokenServesAllRequests(_ field: String) async throws {
        let registry = try await FakeRegistry.start(bearer(image, tokenField: field) { $0 == "t1" })
        let client = RegistryClient(configuration: configuration(for: registry.host))
        let reference = try Reference("\(registry.host)/a/b:v1")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 { group.addTask { _ = try await client.resolve(reference) } }
            try await group.waitForAll()
        }
        let tokenRequests = registry.requests.filter { $0.path == "/token" }
        #expect(tokenRequests.count == 1)
        #expect(tokenRequests.first?.target == "/token?scope=repository%3Aa%2Fb%3Apull&service=s%20v")
        #expect(tokenRequests.first?.headers["authorization"] == secret)
        #expect(registry.requests.filter { $0.path != "/token" }.allSatisfy { $0.headers["authorization"] != secret })
        await client.close()
        try await registry.stop()
    }

    @Test func aTokenThatRanOutIsReplaced() async throws {
        let accepted = Mutex("t1")
        let registry = try await FakeRegistry.start(bearer(image) { token in accepted.withLock { $0 == token } })
        let client = RegistryClient(configuration: configuration(for: registry.host, nil))
        _ = try await client.resolve(Reference("\(registry.host)/a/b:v1"))
        accepted.withLock { $0 = "t2" }
        _ = try await client.resolve(Reference("\(registry.host)/a/b:v1"))
        await client.close()
        try await registry.stop()
    }

    @Test func aRegistryThatAlwaysSaysNoIsNotAskedForEver() async throws {
        let registry = try await FakeRegistry.start(bearer(image) { _ in false })
        let error = await #expect(throws: Failure.self) {
            try await resolve(configuration(for: registry.host), "\(registry.host)/a/b:v1")
        }
        #expect(error?.kind == .denied)
        #expect(registry.requests.count <= 6, "\(registry.requests.map(\.target))")
        try await registry.stop()
    }

    @Test func identityTokensAreTradedByPost() async throws {
        let registry = try await FakeRegistry.start(bearer(image) { $0 == "t1" })
        _ = try await resolve(configuration(for: registry.host, .identityToken("i&t")), "\(registry.host)/a/b:v1")
        let request = try #require(registry.requests.first { $0.path == "/token" })
        #expect(request.method == "POST")
        #expect(request.body.contains("refresh_token=i%26t"))
        #expect(request.headers["authorization"] == nil)
        try await registry.stop()
    }

    @Test func aSecretIsNotSentInTheClearToAnotherHost() async throws {
        let elsewhere = try await FakeRegistry.start { _ in .json(200, #"{"token":"t"}"#) }
        let realm = "http://localhost:\(elsewhere.port)/token"
        let image = image
        let registry = try await FakeRegistry.start { request in
            request.headers["authorization"] == "Bearer t"
                ? image.answer(request.path) ?? unknown
                : .json(401, "{}", ["WWW-Authenticate": #"Bearer realm="\#(realm)",service="s""#])
        }
        let error = await #expect(throws: Failure.self) {
            try await resolve(configuration(for: registry.host), "\(registry.host)/a/b:v1")
        }
        #expect(error?.kind == .denied)
        #expect(elsewhere.requests.isEmpty)
        // Without a secret there is nothing to lose.
        _ = try await resolve(configuration(for: registry.host, nil), "\(registry.host)/a/b:v1")
        #expect(elsewhere.requests.map { $0.headers["authorization"] } == [nil])
        try await registry.stop()
        try await elsewhere.stop()
    }

    @Test(arguments: ["ftp://x/token", "file:///etc/passwd", "", "http://user:secret@127.0.0.1/token", "//x"])
    func aRealmThatIsNoAddress(_ realm: String) async throws {
        let registry = try await FakeRegistry.start { _ in
            .json(401, "{}", ["WWW-Authenticate": #"Bearer realm="\#(realm)""#])
        }
        let error = await #expect(throws: Failure.self) {
            try await resolve(configuration(for: registry.host), "\(registry.host)/a/b:v1")
        }
        #expect(error?.kind == .integrity)
        try await registry.stop()
    }

    @Test(arguments: ["{}", "garbage", #"{"token":""}"#, #"{"token":"a b"}"#, #"{"token":"a\r\nX-Evil: 1"}"#])
    func aReplyWithoutAToken(_ reply: String) async throws {
        let registry = try await FakeRegistry.start { request in
            if request.path == "/token" { return .json(200, reply) }
            return .json(
                401, "{}", ["WWW-Authenticate": #"Bearer realm="http://\#(request.headers["host"] ?? "")/token""#])
        }
        let error = await #expect(throws: Failure.self) {
            try await resolve(configuration(for: registry.host), "\(registry.host)/a/b:v1")
        }
        #expect(error?.kind == .integrity)
        try await registry.stop()
    }

    // MARK: - Redirects

    @Test func credentialsDoNotFollowARedirectToAnotherHost() async throws {
        let (image, secret) = (image, secret)
        let elsewhere = try await FakeRegistry.start { image.answer($0.path) ?? unknown }
        let target = "http://localhost:\(elsewhere.port)"
        let registry = try await FakeRegistry.start { request in
            guard request.headers["authorization"] == secret else {
                return .json(401, "{}", ["WWW-Authenticate": "Basic realm=x"])
            }
            if request.path.hasPrefix("/v2/") { return .reply(307, ["Location": "/moved\(request.path)"], []) }
            return .reply(302, ["Location": target + request.path.replacing("/moved", with: "")], [])
        }
        _ = try await resolve(configuration(for: registry.host), "\(registry.host)/a/b:v1")
        #expect(registry.requests.map { $0.headers["authorization"] } == [nil, secret, secret])
        #expect(elsewhere.requests.map { $0.headers["authorization"] } == [nil])
        try await registry.stop()
        try await elsewhere.stop()
    }

    @Test(arguments: ["file:///etc/passwd", "gopher://x/", "", "http://u:p@127.0.0.1/"])
    func aRedirectToNoAddress(_ location: String) async throws {
        let registry = try await FakeRegistry.start { _ in .reply(302, ["Location": location], []) }
        let error = await #expect(throws: Failure.self) {
            try await resolve(quickConfiguration(), "\(registry.host)/a/b:v1")
        }
        #expect(error?.kind == .integrity)
        #expect(registry.requests.count <= 6)
        try await registry.stop()
    }

    @Test func redirectsInACircle() async throws {
        let registry = try await FakeRegistry.start { .reply(302, ["Location": $0.path], []) }
        let error = await #expect(throws: Failure.self) {
            try await resolve(quickConfiguration(), "\(registry.host)/a/b:v1")
        }
        #expect(error?.kind == .integrity)
        #expect(registry.requests.count == 6)
        try await registry.stop()
    }

    @Test(.enabled(if: Program("openssl") != nil, "openssl is not installed"))
    func aRedirectFromHTTPSToHTTPIsRefused() async throws {
        let scratch = try Scratch()
        let image = image
        let certificate = try await TestCertificate(in: scratch.path)
        let plain = try await FakeRegistry.start { image.answer($0.path) ?? unknown }
        let target = "http://\(plain.host)"
        let registry = try await FakeRegistry.start(tls: certificate.serverContext()) {
            $0.path.contains("/manifests/v1") ? .reply(302, ["Location": target + $0.path], []) : unknown
        }
        var configuration = quickConfiguration()
        configuration.authorities[registry.host] = try certificate.authorityPEM()
        let error = await #expect(throws: Failure.self) { try await resolve(configuration, "\(registry.host)/a/b:v1") }
        #expect(error?.kind == .integrity)
        #expect(error?.what.contains("not encrypted") == true, "\(error?.description ?? "")")
        #expect(plain.requests.isEmpty)
        try await registry.stop()
        try await plain.stop()
    }

    @Test(.enabled(if: Program("openssl") != nil, "openssl is not installed"))
    func certificates() async throws {
        let scratch = try Scratch()
        let image = image
        let certificate = try await TestCertificate(in: scratch.path)
        let registry = try await FakeRegistry.start(tls: certificate.serverContext()) {
            image.answer($0.path) ?? unknown
        }
        // The right authority, and an insecure host.
        var configuration = quickConfiguration()
        configuration.authorities[registry.host] = try certificate.authorityPEM()
        _ = try await resolve(configuration, "\(registry.host)/a/b:v1")
        _ = try await resolve(quickConfiguration(), "\(registry.host)/a/b:v1")
        // Another authority; loopback or not, who names one means it.
        let otherFolder = scratch.path.appending("other")
        try Folder.make(otherFolder)
        configuration.authorities[registry.host] = try await TestCertificate(in: otherFolder).authorityPEM()
        let error = await #expect(throws: Failure.self) { try await resolve(configuration, "\(registry.host)/a/b:v1") }
        #expect(error?.kind == .unreachable)
        #expect(error?.what.contains("certificate cannot be verified") == true, "\(error?.description ?? "")")
        configuration.authorities[registry.host] = "no PEM"
        let broken = await #expect(throws: Failure.self) { try await resolve(configuration, "\(registry.host)/a/b:v1") }
        #expect(broken?.kind == .invalidInput)
        try await registry.stop()
    }
}

extension TestCertificate {
    func serverContext() throws -> NIOSSLContext {
        let chain = try NIOSSLCertificate.fromPEMFile(certificate.string).map {
            NIOSSLCertificateSource.certificate($0)
        }
        let key = try NIOSSLPrivateKey(file: key.string, format: .pem)
        return try NIOSSLContext(
            configuration: .makeServerConfiguration(certificateChain: chain, privateKey: .privateKey(key)))
    }
}
