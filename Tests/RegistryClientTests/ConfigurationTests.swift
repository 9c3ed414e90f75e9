import FoundationEssentials
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@testable import RegistryClient

@Suite struct RegistryRuleTests {
    private func endpoints(_ conf: String, _ name: String) throws -> [String] {
        var configuration = RegistryConfiguration()
        configuration.registries = try RegistriesFile.parse(conf, file: "registries.conf").rules
        return try configuration.endpoints(for: Reference(name)).map {
            "\($0.host)/\($0.repository)\($0.security == .insecure ? " insecure" : "")\($0.isMirror ? " mirror" : "")"
        }
    }

    @Test func withoutRulesNamesLeadToThemselves() throws {
        #expect(try endpoints("", "nginx") == ["registry-1.docker.io/library/nginx"])
        #expect(try endpoints("", "quay.io/a/b:1") == ["quay.io/a/b"])
    }

    @Test func mirrorsComeInOrderThenTheLocation() throws {
        let conf = """
            unqualified-search-registries = ["docker.io"]
            short-name-mode = "enforcing"
            [[registry]]
            prefix = "docker.io"
            location = "hub.example.com/proxy"
            [[registry.mirror]]
            location = "m1.example.com:5000"
            insecure = true
            [[registry.mirror]]
            location = "m2.example.com/docker"
            pull-from-mirror = "digest-only"
            [[registry.mirror]]
            location = "m3.example.com"
            pull-from-mirror = "tag-only"
            """
        #expect(
            try endpoints(conf, "nginx:1") == [
                "m1.example.com:5000/library/nginx insecure mirror", "m3.example.com/library/nginx mirror",
                "hub.example.com/proxy/library/nginx",
            ]
        )
        let digest = "sha256:" + String(repeating: "0", count: 64)
        #expect(
            try endpoints(conf, "nginx@\(digest)") == [
                "m1.example.com:5000/library/nginx insecure mirror", "m2.example.com/docker/library/nginx mirror",
                "hub.example.com/proxy/library/nginx",
            ]
        )
    }

    @Test func theLongestPrefixWinsAndEndsAtAComponent() throws {
        let conf = """
            [[registry]]
            prefix = "example.com"
            location = "one.test"
            [[registry]]
            prefix = "example.com/foo"
            location = "two.test/x"
            [[registry]]
            prefix = "*.example.com"
            location = "three.test"
            """
        #expect(try endpoints(conf, "example.com/bar") == ["one.test/bar"])
        #expect(try endpoints(conf, "example.com/foo") == ["two.test/x"])
        #expect(try endpoints(conf, "example.com/foo/bar") == ["two.test/x/bar"])
        #expect(try endpoints(conf, "example.com/foobar") == ["one.test/foobar"])
        #expect(try endpoints(conf, "a.b.example.com:5000/foo") == ["three.test/foo"])
        #expect(try endpoints(conf, "badexample.com/foo") == ["badexample.com/foo"])
    }

    @Test func aBlockedNameIsRefused() throws {
        let conf = "[[registry]]\nprefix = \"evil.example.com\"\nblocked = true\n"
        let error = #expect(throws: Failure.self) { try endpoints(conf, "evil.example.com/x") }
        #expect(error?.kind == .denied)
    }

    @Test func insecureIsForTheLocationOnly() throws {
        let conf = """
            [[registry]]
            prefix = "docker.io"
            location = "10.0.0.1:5000"
            insecure = true
            """
        #expect(try endpoints(conf, "nginx") == ["10.0.0.1:5000/library/nginx insecure"])
        var configuration = RegistryConfiguration()
        configuration.registries = try RegistriesFile.parse(conf, file: "f").rules
        #expect(!configuration.accepts(insecure: "docker.io"))
    }

    @Test(arguments: [
        ("localhost", true), ("localhost:5000", true), ("127.0.0.1", true), ("127.9.8.7:1", true), ("[::1]:5000", true),
        ("localhost.evil.com", false), ("127.0.0.1.evil.com", false), ("127.evil.com", false), ("127.0.0.256", false),
        ("127.0.1", false), ("[::2]:5000", false), ("evil.com", false), ("localhos:5000", false),
    ])
    func onlyThisMachineIsSpokenToInTheClear(_ domain: String, _ isLoopback: Bool) {
        #expect(RegistryConfiguration().accepts(insecure: domain) == isLoopback)
    }

    @Test func everyMistakeIsNamedWithItsPlace() {
        let conf = """
            [registries]
            search = 1
            [[registry]]
            insecure = "yes"
            prefix = "https://example.com"
            [[registry]]
            blocked = true
            [[registry]]
            location = "a b"
            [[registry]]
            prefix = "x.test"
            [[registry.mirror]]
            insecure = true
            [[registry.mirror]]
            location = "m.test"
            pull-from-mirror = "never"
            [[registry]]
            prefix = "x.test"
            """
        let error = #expect(throws: InvalidText.self) { try RegistriesFile.parse(conf, file: "f") }
        #expect(
            error?.diagnostics.map { "\($0.line):\($0.column)" } == [
                "1:2", "4:12", "5:10", "6:3", "8:3", "9:12", "12:12", "16:20", "17:3",
            ],
            "\(error?.description ?? "")"
        )
    }

    @Test func credentialHelpers() async throws {
        let text = "unqualified-search-registries = []\ncredential-helpers = [\"pass\", \"containers-auth.json\"]\n"
        #expect(try RegistriesFile.parse(text, file: "f").credentialHelpers == ["pass", "containers-auth.json"])
        for wrong in ["\"pass\"", "[1]", "[\"../pass\"]", "[\"\"]", "[\"a b\"]"] {
            let error = #expect(throws: InvalidText.self) {
                try RegistriesFile.parse("\ncredential-helpers = \(wrong)\n", file: "f")
            }
            #expect(error?.diagnostics.map(\.line) == [2], "\(wrong)")
        }
        let scratch = try Scratch()
        let folder = scratch.path.appending(".config/containers")
        try Folder.make(folder.appending("registries.conf.d"))
        try AtomicFile.write(Array(text.utf8), to: folder.appending("registries.conf"))
        func loaded() async throws -> [String] {
            try await RegistryConfiguration.load(environment: [:], home: scratch.path).credentialHelpers
        }
        #expect(try await loaded() == ["pass", "containers-auth.json"])
        try AtomicFile.write(
            Array("credential-helpers = []\n".utf8), to: folder.appending("registries.conf.d/10.conf"))
        #expect(try await loaded() == ["pass", "containers-auth.json"])
        try AtomicFile.write(
            Array("credential-helpers = [\"secretservice\"]\n".utf8),
            to: folder.appending("registries.conf.d/20.conf"))
        #expect(try await loaded() == ["secretservice"])
        #expect(RegistryConfiguration().credentialHelpers == ["containers-auth.json"])
    }

    @Test func theUsersFileReplacesTheSystemsAndDropInsAreRead() async throws {
        let scratch = try Scratch()
        let folder = scratch.path.appending(".config/containers")
        try Folder.make(folder.appending("registries.conf.d"))
        try AtomicFile.write(
            Array("[[registry]]\nprefix = \"a.test\"\n[[registry]]\nprefix = \"b.test\"\n".utf8),
            to: folder.appending("registries.conf")
        )
        try AtomicFile.write(
            Array("[[registry]]\nprefix = \"b.test\"\nlocation = \"c.test\"\n".utf8),
            to: folder.appending("registries.conf.d/10.conf")
        )
        let loaded = try await RegistryConfiguration.load(environment: [:], home: scratch.path)
        #expect(
            loaded.registries == [RegistryRule(prefix: "a.test"), RegistryRule(prefix: "b.test", location: "c.test")])
        let other = scratch.path.appending("other.conf")
        try AtomicFile.write(Array("[[registry]]\nprefix = \"z.test\"\n".utf8), to: other)
        let named = try await RegistryConfiguration.load(
            environment: ["CONTAINERS_REGISTRIES_CONF": other.string],
            home: scratch.path
        )
        #expect(named.registries == [RegistryRule(prefix: "z.test")])
        await #expect(throws: Failure.self) {
            try await RegistryConfiguration.load(
                environment: ["CONTAINERS_REGISTRIES_CONF": "/nowhere/x.conf"],
                home: nil
            )
        }
    }
}

@Suite struct CredentialFileTests {
    private func find(_ json: String, _ host: String, _ repository: String = "a/b") throws -> CredentialFile.Finding {
        try CredentialFile.parse(Data(json.utf8), file: "config.json").find(host: host, repository: repository)
    }

    @Test func passwordsMayHoldColons() throws {
        let auth = Data("user:pa:ss:".utf8).base64EncodedString()
        let json = #"{"auths":{"r.test:5000":{"auth":"\#(auth)"}}}"#
        #expect(try find(json, "r.test:5000") == .credential(.password(user: "user", password: "pa:ss:")))
        #expect(try find(json, "r.test") == .nothing)
    }

    @Test(arguments: ["https://index.docker.io/v1/", "docker.io", "registry-1.docker.io", "https://docker.io/"])
    func dockersRegistryHasSeveralNames(_ key: String) throws {
        let json = #"{"auths":{"\#(key)":{"username":"u","password":"p"}}}"#
        #expect(try find(json, "docker.io") == .credential(.password(user: "u", password: "p")))
    }

    @Test func theLongestPartOfTheNameCounts() throws {
        let json =
            #"{"auths":{"r.test":{"username":"a","password":"1"},"r.test/team":{"username":"b","password":"2"}}}"#
        #expect(try find(json, "r.test", "team/x") == .credential(.password(user: "b", password: "2")))
        #expect(try find(json, "r.test", "teams/x") == .credential(.password(user: "a", password: "1")))
    }

    @Test func helpersAreNamedOnlyForTheirHosts() throws {
        let json = #"{"auths":{"kept.test":{}},"credsStore":"secretservice","credHelpers":{"ecr.test":"ecr-login"}}"#
        #expect(
            try find(json, "kept.test")
                == .keptByHelper(name: "secretservice", server: "kept.test", isListed: true))
        #expect(try find(json, "ecr.test") == .keptByHelper(name: "ecr-login", server: "ecr.test", isListed: true))
        // docker asks its store about every registry.
        #expect(
            try find(json, "other.test") == .keptByHelper(name: "secretservice", server: "other.test", isListed: false))
        #expect(
            try find(#"{"credsStore":"pass"}"#, "docker.io")
                == .keptByHelper(name: "pass", server: "https://index.docker.io/v1/", isListed: false))
        #expect(try find(#"{"credHelpers":{"ecr.test":"ecr-login"}}"#, "other.test") == .nothing)
    }

    @Test func identityTokens() throws {
        #expect(
            try find(#"{"auths":{"r.test":{"auth":"","identitytoken":"t"}}}"#, "r.test")
                == .credential(.identityToken("t")))
    }

    @Test(arguments: ["{", #"{"auths":{"r.test":{"auth":"c2VjcmV0"}}}"#, #"{"auths":{"r.test":{"auth":"%%%"}}}"#])
    func aBadFileIsAnErrorThatShowsNoSecret(_ json: String) {
        let error = #expect(throws: Failure.self) { try find(json, "r.test") }
        #expect(error?.kind == .invalidInput)
        #expect(!(error?.description.contains("secret") ?? true))
    }

    @Test func secretsAreNotPrinted() {
        var file = CredentialFile()
        file.set(.password(user: "u", password: "hunter2"), for: "r.test")
        var dumped = ""
        dump(file, to: &dumped)
        dump(file.find(host: "r.test", repository: "x"), to: &dumped)
        #expect(!"\(file) \(file.find(host: "r.test", repository: "x")) \(dumped)".contains("hunter2"))
    }
}
