import FoundationEssentials
import ImageStore
import LinuxSystem
import NIOSSL
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@testable import RegistryClient

@Suite struct ProxyRulesTests {
    private func proxy(_ environment: [String: String], _ url: String) throws -> String? {
        let origin = try #require(Origin(url))
        return try ProxyRules(environment: environment).proxy(for: origin)?.description
    }

    @Test func whichVariableCounts() throws {
        let http = "http://r.test/", https = "https://r.test/"
        #expect(try proxy([:], http) == nil)
        #expect(try proxy(["HTTP_PROXY": "http://p.test:1"], http) == "http://p.test:1")
        #expect(try proxy(["HTTP_PROXY": "http://p.test:1"], https) == nil)
        #expect(try proxy(["HTTPS_PROXY": "http://p.test:1"], https) == "http://p.test:1")
        #expect(try proxy(["HTTPS_PROXY": "http://p.test:1"], http) == nil)
        #expect(try proxy(["https_proxy": "p.test:2"], https) == "http://p.test:2")
        #expect(try proxy(["http_proxy": "p.test:2"], http) == "http://p.test:2")
        #expect(try proxy(["HTTPS_PROXY": "p.test:1", "https_proxy": "p.test:2"], https) == "http://p.test:1")
        #expect(try proxy(["HTTPS_PROXY": "", "https_proxy": "p.test:2"], https) == "http://p.test:2")
        #expect(try proxy(["ALL_PROXY": "p.test:1", "all_proxy": "p.test:1"], https) == nil)
        // In a CGI program the upper-case one comes from a header of the request.
        let cgi = ["REQUEST_METHOD": "GET", "HTTP_PROXY": "evil.test"]
        #expect(try proxy(cgi, http) == nil)
        #expect(try proxy(cgi.merging(["http_proxy": "p.test"]) { $1 }, http) == "http://p.test:80")
    }

    @Test(arguments: [
        ("http://p.test:3128", "http://p.test:3128"), ("http://p.test:3128/", "http://p.test:3128"),
        ("HTTP://P.Test", "http://p.test:80"), ("p.test", "http://p.test:80"), (" p.test:1 ", "http://p.test:1"),
        ("http://u:p@p.test:1", "http://p.test:1"), ("u:p@p.test", "http://p.test:80"),
        ("http://u:p@ss@p.test:1", "http://p.test:1"), ("http://[2001:db8::1]:8", "http://[2001:db8::1]:8"),
        ("socks5://p.test", "socks5://p.test:1080"), ("socks5h://192.0.2.1:9", "socks5://192.0.2.1:9"),
    ])
    func addresses(_ text: String, _ expected: String) throws {
        #expect(try proxy(["HTTPS_PROXY": text], "https://r.test/") == expected)
    }

    @Test func logins() throws {
        func login(_ text: String) throws -> Proxy.Login? { try Proxy(text, from: "X").login }
        #expect(try login("http://u:p%40s%2Fs%25@p.test") == .init(user: "u", password: "p@s/s%"))
        #expect(try login("http://u:p:w@p.test") == .init(user: "u", password: "p:w"))
        #expect(try login("http://u:p@w@p.test") == .init(user: "u", password: "p@w"))
        #expect(try login("http://u@p.test") == .init(user: "u", password: ""))
        #expect(try login("http://@p.test") == nil)
        #expect(try Proxy("http://u:p@p.test", from: "X").authorization == "Basic dTpw")
    }

    /// A password may stand anywhere in what was mistyped: nothing of it is repeated.
    @Test(arguments: [
        "https://u:hunter2@p.test", "ftp://u:hunter2@p.test", "http://u:hunter2#x@p.test", "http://u:hun/ter2@p.test",
        "http://u:hunter2?@p.test", "http://u:hunter2%@p.test", "http://u:hunter2@", "http://u:hunter2@p.test:hunter2",
        "http://u:hunter2@p.test:0", "http://u:hunter2@p.test:70000", "http://u:hunter2@p test", "http://u:hunter2@[x]",
        "socks5://u:hunter2@p.test", "http://p.test/hunter2", "http://[::1", "http://",
    ])
    func whatIsNoProxy(_ text: String) throws {
        let rules = ProxyRules(environment: ["HTTPS_PROXY": text])
        let origin = try #require(Origin("https://r.test/"))
        let error = #expect(throws: Failure.self) { try rules.proxy(for: origin) }
        #expect(error?.kind == .invalidInput)
        #expect(error?.what.hasPrefix("HTTPS_PROXY ") == true)
        for piece in ["hunter2", "ter2", "hun"] { #expect(error?.description.contains(piece) == false) }
        // Who goes elsewhere does not care.
        #expect(try rules.proxy(for: #require(Origin("https://127.0.0.1/"))) == nil)
    }

    @Test(arguments: [
        ("r.test", "r.test", true), ("r.test", "a.r.test", true), ("r.test", "ar.test", false),
        ("r.test", "test", false), (".r.test", "r.test", false), (".r.test", "a.r.test", true),
        ("*.r.test", "a.b.r.test", true), ("*.r.test", "r.test", false), ("R.Test", "r.test", true),
        ("a.test, r.test", "r.test", true), ("a.test r.test", "r.test", true), ("a.test,,", "r.test", false),
        ("r.test:443", "r.test", true), ("r.test:5000", "r.test", false), ("r.test:5000", "r.test:5000", true),
        ("r.test", "r.test:5000", true), (".r.test:5000", "a.r.test:5000", true),
        ("*", "r.test", true), ("*", "192.0.2.1:5000", true), ("*.*", "r.test", false), ("r.*", "r.test", false),
        ("192.0.2.1", "192.0.2.1", true), ("192.0.2.1", "192.0.2.10", false), ("192.0.2.1:80", "192.0.2.1", false),
        ("192.0.2.1:443", "192.0.2.1", true), ("192.0.2.0/24", "192.0.2.77:5000", true),
        ("192.0.2.0/24", "192.0.3.1", false), ("192.0.2.128/25", "192.0.2.127", false),
        ("192.0.2.128/25", "192.0.2.128", true), ("0.0.0.0/0", "192.0.2.1", true), ("0.0.0.0/0", "r.test", false),
        ("0.0.0.0/0", "[2001:db8::1]", false), ("192.0.2.0/33", "192.0.2.1", false), ("192.0.2.0/", "192.0.2.1", false),
        ("2001:db8::/32", "[2001:db8:1::2]:5000", true), ("2001:db8::/32", "[2001:db9::1]", false),
        ("2001:db8::1", "[2001:db8:0::1]", true), ("[2001:db8::1]:5000", "[2001:db8::1]:5000", true),
        ("[2001:db8::1]:5000", "[2001:db8::1]", false), ("[2001:db8::1]", "[2001:db8::1]", true),
        ("192.0.2.1", "[::ffff:192.0.2.1]", true), ("2.1", "192.0.2.1", false), (":443", "r.test", false),
        ("", "localhost", true), ("", "localhost:5000", true), ("", "127.8.9.1", true), ("", "[::1]:5000", true),
        ("", "[::ffff:127.0.0.1]", true), ("", "localhost.test", false), ("", "127.test", false),
    ])
    func whatIsReachedDirectly(_ list: String, _ host: String, _ isDirect: Bool) throws {
        let environment = ["HTTPS_PROXY": "p.test", "NO_PROXY": list]
        #expect((try proxy(environment, "https://\(host)/v2/") == nil) == isDirect)
        let lower = ["https_proxy": "p.test", "no_proxy": list]
        #expect((try proxy(lower, "https://\(host)/v2/") == nil) == isDirect)
    }

    @Test func anyTextIsRead() throws {
        var random = SeededGenerator(seed: 77)
        let alphabet = Array("ab.*:/[]@,% 0129fF#?-éhttp")
        let origin = try #require(Origin("https://r.test/"))
        for _ in 0..<20_000 {
            let count = Int.random(in: 0...24, using: &random)
            let text = String((0..<count).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &random)] })
            let rules = ProxyRules(environment: ["HTTPS_PROXY": text, "NO_PROXY": text])
            do {
                guard let proxy = try rules.proxy(for: origin) else { continue }
                // What was read is what is reached, and reads as itself.
                #expect(try Proxy("\(proxy)", from: "X").description == "\(proxy)", "\(text)")
                #expect((1...65535).contains(proxy.port))
            } catch {
                #expect(error.kind == .invalidInput)
            }
        }
    }

    @Test func secretsAreNotPrinted() throws {
        let rules = ProxyRules(environment: [
            "HTTP_PROXY": "http://u:hunter2@p.test", "https_proxy": "u:hunter2@p.test",
        ])
        var configuration = RegistryConfiguration()
        configuration.proxies = rules
        let proxy = try Proxy("http://u:hunter2@p.test", from: "X")
        var dumped = "\(rules) \(proxy) \(Way.tunnel(proxy)) \(String(reflecting: proxy)) \(configuration)"
        dump(rules, to: &dumped)
        dump(proxy, to: &dumped)
        dump(Way.forward(proxy), to: &dumped)
        dump(configuration, to: &dumped)
        #expect(!dumped.contains("hunter2"), "\(dumped)")
    }

    @Test func theEnvironmentOfTheCommandCounts() async throws {
        let environment = ["HTTPS_PROXY": "p.test", "NO_PROXY": "r.test", "CONTAINERS_REGISTRIES_CONF": "/dev/null"]
        let loaded = try await RegistryConfiguration.load(environment: environment, home: nil)
        #expect(loaded.proxies == ProxyRules(environment: environment))
        #expect(RegistryConfiguration().proxies == ProxyRules())
    }
}

/// Requests through a proxy that only knows the way to its names.
@Suite struct ProxyTests {
    private let image: SmallImage
    private let place = "registry.test:5000"
    private let login = "Basic " + Data("u:p@ss".utf8).base64EncodedString()

    init() throws { image = try SmallImage(layers: ["one", "two"]) }

    private func configuration(_ proxy: String) -> RegistryConfiguration {
        var configuration = quickConfiguration()
        configuration.insecureHosts = [place]
        configuration.proxies = ProxyRules(environment: ["HTTP_PROXY": proxy, "HTTPS_PROXY": proxy])
        return configuration
    }

    private func pull(_ configuration: RegistryConfiguration) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let client = RegistryClient(configuration: configuration)
        let name = "\(place)/a/b:v1"
        let result = await Result.catching {
            _ = try await ImagePuller(client: client, store: store).pullAll(Reference(name))
        }
        await client.close()
        try result.get()
        #expect(try await store.missing(image.blobs + [image.descriptor]).isEmpty)
    }

    @Test func plainHTTPIsPassedOn() async throws {
        let image = image
        let registry = try await FakeRegistry.start { image.answer($0.path) ?? unknown }
        let proxy = try await TestProxy.start(authorization: login, to: [place: registry.port])
        try await pull(configuration("http://u:p%40ss@127.0.0.1:\(proxy.port)"))
        // First https was tried, through it too.
        #expect(
            proxy.lines.prefix(2) == [
                "CONNECT registry.test:5000 HTTP/1.1", "GET http://registry.test:5000/v2/a/b/manifests/v1 HTTP/1.1",
            ])
        #expect(proxy.lines.count == 2 + image.blobs.count)
        #expect(proxy.requests.allSatisfy { $0.headers["proxy-authorization"] == login })
        #expect(!registry.requests.isEmpty)
        #expect(registry.requests.allSatisfy { $0.headers["host"] == place })
        #expect(registry.requests.allSatisfy { $0.headers["proxy-authorization"] == nil })
        try await proxy.stop()
        try await registry.stop()
    }

    /// Bodies go the same way, large ones in chunks.
    @Test func aPushIsPassedOn() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await StoredImage(in: store, layers: [randomBytes(700_000, seed: 3), Data("two".utf8)])
        let target = FakePushTarget()
        let registry = try await FakeRegistry.start { target.answer($0) }
        let proxy = try await TestProxy.start(to: [place: registry.port])
        var configuration = configuration("127.0.0.1:\(proxy.port)")
        configuration.limits.chunkSize = 300_000
        let pushed = try await pushOnce(image.index, of: store, to: "\(place)/a/b:v1", configuration)
        #expect(pushed.sentBytes == pushed.totalBytes)
        for blob in image.blobs { #expect(target.has(blob.digest, in: "a/b")) }
        #expect(proxy.lines.contains { $0.hasPrefix("PATCH http://registry.test:5000/v2/a/b/blobs/uploads/") })
        #expect(proxy.lines.contains("PUT http://registry.test:5000/v2/a/b/manifests/v1 HTTP/1.1"))
        try await proxy.stop()
        try await registry.stop()
    }

    /// A certificate for names that only the proxy knows.
    private func certificate(in folder: FilePath) async throws -> (tls: NIOSSLContext, authority: String) {
        let base = try await TestCertificate(in: folder)
        let openssl = try #require(Program("openssl"))
        let (key, certificate) = (folder.appending("named.key"), folder.appending("named.pem"))
        try await openssl.run(
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-CA", base.authority.string, "-CAkey", folder.appending("ca.key").string, "-keyout", key.string,
                "-out", certificate.string, "-subj", "/CN=registry",
                "-addext", "subjectAltName=DNS:registry.test,DNS:token.test",
                "-addext", "basicConstraints=critical,CA:FALSE",
            ], in: folder)
        let chain = try NIOSSLCertificate.fromPEMFile(certificate.string).map {
            NIOSSLCertificateSource.certificate($0)
        }
        let configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain, privateKey: .privateKey(try NIOSSLPrivateKey(file: key.string, format: .pem)))
        return (try NIOSSLContext(configuration: configuration), try base.authorityPEM())
    }

    /// The registry and the token service, both over TLS that is verified behind the proxy.
    @Test(.enabled(if: Program("openssl") != nil), arguments: ["http", "socks5"])
    func tlsGoesThroughATunnel(_ scheme: String) async throws {
        let scratch = try Scratch()
        let (tls, authority) = try await certificate(in: scratch.path)
        let (image, place) = (image, place)
        let registry = try await FakeRegistry.start(tls: tls) { request in
            if request.path == "/token" { return .json(200, #"{"token":"t"}"#) }
            guard request.headers["authorization"] == "Bearer t" else {
                let challenge = #"Bearer realm="https://token.test/token",service="s""#
                return .json(401, "{}", ["WWW-Authenticate": challenge])
            }
            return image.answer(request.path) ?? unknown
        }
        let wanted = scheme == "http" ? login : nil
        let proxy = try await TestProxy.start(
            authorization: wanted, to: [place: registry.port, "token.test:443": registry.port])
        var configuration = quickConfiguration()
        configuration.authorities = [place: authority, "token.test": authority]
        let user = scheme == "http" ? "u:p%40ss@" : ""
        configuration.proxies = ProxyRules(environment: ["https_proxy": "\(scheme)://\(user)127.0.0.1:\(proxy.port)"])
        try await pull(configuration)
        #expect(
            proxy.lines
                == (scheme == "http"
                    ? ["CONNECT registry.test:5000 HTTP/1.1", "CONNECT token.test:443 HTTP/1.1"]
                    : ["SOCKS registry.test:5000", "SOCKS token.test:443"]))
        // What only the registry may see went through unseen, and what only the proxy may see stayed there.
        #expect(proxy.requests.allSatisfy { $0.headers["authorization"] == nil })
        #expect(registry.requests.contains { $0.headers["authorization"] == "Bearer t" })
        #expect(registry.requests.allSatisfy { $0.headers["proxy-authorization"] == nil })
        // Another authority does not do, proxy or not.
        let folder = scratch.path.appending("other")
        try Folder.make(folder)
        configuration.authorities[place] = try await TestCertificate(in: folder).authorityPEM()
        let error = await #expect(throws: Failure.self) { try await pull(configuration) }
        #expect(error?.what.contains("certificate") == true)
        try await proxy.stop()
        try await registry.stop()
    }

    @Test func whatNeedsNoProxyIsReachedWithoutOne() async throws {
        let image = image
        let registry = try await FakeRegistry.start { image.answer($0.path) ?? unknown }
        let proxy = try await TestProxy.start(status: 500, to: [:])
        let host = registry.host
        let client = RegistryClient(configuration: configuration("127.0.0.1:\(proxy.port)"))
        _ = try await client.resolve(Reference("\(host)/a/b:v1"))
        await client.close()
        #expect(proxy.requests.isEmpty)
        try await proxy.stop()
        try await registry.stop()
    }

    @Test(arguments: ["", "u:hunter2@"])
    func aProxyThatDoesNotKnowUs(_ user: String) async throws {
        let proxy = try await TestProxy.start(authorization: login, to: [:])
        var configuration = configuration("http://\(user)127.0.0.1:\(proxy.port)")
        // Through CONNECT and as a plain request.
        for insecure in [[], [place]] as [Set<String>] {
            configuration.insecureHosts = insecure
            let error = await #expect(throws: Failure.self) { try await pull(configuration) }
            #expect(error?.kind == .denied)
            #expect(error?.description.contains("the proxy") == true)
            #expect(error?.description.contains("through the proxy http://127.0.0.1:\(proxy.port)") == true)
            #expect(error?.description.contains("hunter2") == false)
        }
        // The answer would be the same.
        #expect(proxy.requests.count == 3)
        try await proxy.stop()
    }

    @Test func aProxyThatRefuses() async throws {
        let proxy = try await TestProxy.start(status: 403, to: [:])
        var configuration = configuration("u:hunter2@127.0.0.1:\(proxy.port)")
        configuration.insecureHosts = []
        let error = await #expect(throws: Failure.self) { try await pull(configuration) }
        #expect(error?.kind == .unreachable)
        #expect(error?.place == "https://\(place), through the proxy http://127.0.0.1:\(proxy.port)")
        #expect(error?.what.contains("does not let us through") == true)
        #expect(error?.description.contains("hunter2") == false)
        configuration.insecureHosts = [place]
        let plain = await #expect(throws: Failure.self) { try await pull(configuration) }
        #expect(plain?.description.contains("through the proxy") == true)
        try await proxy.stop()
    }

    @Test(arguments: ["http", "socks5"])
    func aProxyThatIsNotThere(_ scheme: String) async throws {
        let port = try freePort()
        let error = await #expect(throws: Failure.self) {
            try await pull(configuration("\(scheme)://127.0.0.1:\(port)"))
        }
        #expect(error?.kind == .unreachable)
        #expect(error?.description.contains("through the proxy \(scheme)://127.0.0.1:\(port)") == true)
        #expect(error?.remedy?.contains("NO_PROXY") == true)
    }

    @Test func aVariableThatIsNoProxy() async throws {
        let error = await #expect(throws: Failure.self) {
            try await pull(configuration("https://u:hunter2@127.0.0.1:1"))
        }
        #expect(error?.kind == .invalidInput)
        #expect(error?.description.contains("HTTPS_PROXY") == true)
        #expect(error?.description.contains("hunter2") == false)
    }
}
