import FoundationEssentials
import Glibc
import LinuxSystem
import NIOHTTP1
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import RegistryClient

@Suite struct CredentialStoreTests {
    private let password = Credential.password(user: "u", password: "p:w")
    private let auth = Data("u:p:w".utf8).base64EncodedString()

    private func text(_ path: FilePath) throws -> String { String(decoding: try readFile(path), as: UTF8.self) }

    private func found(_ path: FilePath, _ host: String) throws -> CredentialFile.Finding {
        try CredentialFile.parse(readFile(path), file: path.string).find(host: host, repository: "x")
    }

    @Test func aNewFileIsForItsOwnerOnly() async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending(".docker/config.json")
        let store = CredentialStore(file: file)
        #expect(try await store.save(password, for: "r.test:5000") == .file(file))
        #expect(try text(file) == "{\n\t\"auths\": {\n\t\t\"r.test:5000\": {\"auth\":\"\(auth)\"}\n\t}\n}\n")
        var information = stat()
        #expect(stat(file.string, &information) == 0)
        #expect(information.st_mode & 0o777 == 0o600)
        #expect(stat(file.removingLastComponent().string, &information) == 0)
        #expect(information.st_mode & 0o777 == 0o700)
    }

    @Test func everythingElseStaysByteForByte() async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("config.json")
        let others = [
            #""HttpHeaders": { "User-Agent" : "x\u0041/1.0" }"#, #""number": 12345678901234567890.10e0"#,
            #""list":[1, {"a":"]},{"} ]"#, #""detachKeys": "ctrl-e,e""#, #""nothing": null"#,
        ]
        let kept = #""other.test": {"auth" : "dTpw", "email":"a@b"}"#
        let old =
            "\u{20}{ \(others[0]),\(others[1]) ,\n \"auths\" : { \(kept), \"https://r.test/v2/\": {\"auth\":\"b2xkOm9sZA==\"} }, "
        try AtomicFile.write(Array((old + others[2...].joined(separator: ",\n\t") + "}\n").utf8), to: file)
        let store = CredentialStore(file: file)
        try await store.save(password, for: "r.test")
        var now = try text(file)
        for piece in others {
            let parts = piece.split(separator: ":", maxSplits: 1)
            #expect(now.contains(parts[1].drop { $0 == " " }), "\(piece)")
        }
        #expect(now.contains(#"{"auth" : "dTpw", "email":"a@b"}"#))
        #expect(!now.contains("b2xkOm9sZA=="))
        #expect(try found(file, "r.test") == .credential(password))
        #expect(try await store.remove("r.test"))
        now = try text(file)
        #expect(try found(file, "r.test") == .nothing)
        #expect(try found(file, "other.test") == .credential(.password(user: "u", password: "p")))
        #expect(try await !store.remove("r.test"))
        #expect(try text(file) == now)
    }

    @Test func dockersRegistryHasDockersKey() async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("config.json")
        let store = CredentialStore(file: file)
        try AtomicFile.write(Array(#"{"auths":{"docker.io":{"auth":"b2xkOm9sZA=="}}}"#.utf8), to: file)
        try await store.save(password, for: CredentialStore.host("index.docker.io"))
        #expect(try text(file).contains(#""https://index.docker.io/v1/": "#))
        #expect(try !text(file).contains("b2xkOm9sZA=="))
        #expect(try found(file, "docker.io") == .credential(password))
        #expect(try await store.remove("docker.io"))
        #expect(try found(file, "docker.io") == .nothing)
    }

    @Test func hosts() throws {
        #expect(try CredentialStore.host("https://index.docker.io/v1/") == "docker.io")
        #expect(try CredentialStore.host("r.test:5000") == "r.test:5000")
        #expect(try CredentialStore.host("http://r.test/") == "r.test")
        for text in ["", "r.test/team", "a b", "http://u:p@r.test", "-"] {
            #expect(throws: Failure.self, "\(text)") { try CredentialStore.host(text) }
        }
    }

    @Test func loginsAtOnceAllStay() async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("config.json")
        let password = password
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<12 {
                group.addTask { try await CredentialStore(file: file).save(password, for: "r\(number).test") }
            }
            try await group.waitForAll()
        }
        for number in 0..<12 { #expect(try found(file, "r\(number).test") == .credential(password)) }
        #expect(try Folder.names(in: scratch.path) == ["config.json"])
    }

    @Test(arguments: ["{", "[]", #"{"auths":[]}"#, #"{"auths":{"r.test":{"auth":"hunter2"}}"#])
    func aFileThatIsNoneStaysAsItIs(_ json: String) async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("config.json")
        try AtomicFile.write(Array(json.utf8), to: file)
        let error = await #expect(throws: Failure.self) {
            try await CredentialStore(file: file).save(password, for: "r.test")
        }
        #expect(error?.kind == .invalidInput)
        #expect(error?.description.contains("hunter2") == false)
        #expect(try text(file) == json)
    }

    @Test func aLinkStaysALink() async throws {
        let scratch = try Scratch()
        let real = scratch.path.appending("dotfiles")
        try Folder.make(real)
        try AtomicFile.write(Array("{}".utf8), to: real.appending("docker.json"))
        let file = scratch.path.appending("config.json")
        #expect(symlink(real.appending("docker.json").string, file.string) == 0)
        try await CredentialStore(file: file).save(password, for: "r.test")
        var information = stat()
        #expect(lstat(file.string, &information) == 0)
        #expect(information.st_mode & S_IFMT == S_IFLNK)
        #expect(try found(real.appending("docker.json"), "r.test") == .credential(password))
    }

    @Test(arguments: ["", "a:b"])
    func usersWithoutANameOrWithAColon(_ user: String) async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("config.json")
        let error = await #expect(throws: Failure.self) {
            try await CredentialStore(file: file).save(.password(user: user, password: "x"), for: "r.test")
        }
        #expect(error?.kind == .usage)
    }

    @Test(arguments: [
        #"{"credsStore":"box","auths":{"r.test":{"auth":"b2xkOm9sZA=="}}}"#, #"{"credHelpers":{"r.test":"box"}}"#,
    ])
    func aHelperKeepsWhatTheFileSaysItKeeps(_ json: String) async throws {
        let scratch = try Scratch()
        let helpers = try Helpers(in: scratch.path)
        let box = scratch.path.appending("box")
        try helpers.add(
            "box",
            """
            case $1 in
            store) cat > \(box) ;;
            get) cat > /dev/null; cat \(box) ;;
            erase) cat > \(box).erased; rm \(box) ;;
            esac
            """)
        let file = scratch.path.appending("config.json")
        try AtomicFile.write(Array(json.utf8), to: file)
        let store = CredentialStore(file: file, environment: helpers.environment)
        #expect(try await store.save(password, for: "r.test") == .helper("box"))
        #expect(try !text(file).contains("b2xkOm9sZA=="))
        #expect(try !text(file).contains(auth))
        #expect(
            try found(file, "r.test") == .keptByHelper(name: "box", server: "r.test", isListed: true))
        #expect(try await helpers.helper("box").get("r.test") == password)
        #expect(try await store.remove("r.test"))
        #expect(try text(FilePath("\(box).erased")) == "r.test")
        #expect(!Folder.exists(box))
    }

    @Test func whereLoginsAreKept() async throws {
        let home = FilePath("/home/u")
        func file(_ environment: [String: String], _ home: FilePath?) async throws -> String {
            let environment = environment.merging(["CONTAINERS_REGISTRIES_CONF": "/dev/null"]) { $1 }
            return try await CredentialStore.usual(environment: environment, home: home).file.string
        }
        #expect(try await file([:], home) == "/home/u/.docker/config.json")
        #expect(try await file(["DOCKER_CONFIG": "/d"], home) == "/d/config.json")
        #expect(
            try await file(["DOCKER_CONFIG": "/d", "REGISTRY_AUTH_FILE": "/a/auth.json"], nil) == "/a/auth.json")
        await #expect(throws: Failure.self) { try await file([:], nil) }
    }

    // MARK: - Helpers of registries.conf

    /// A helper that keeps one login in a file.
    private func box(_ name: String, _ helpers: Helpers, in folder: FilePath) throws -> FilePath {
        let box = folder.appending(name)
        try helpers.add(
            name,
            """
            case $1 in
            store) cat > \(box) ;;
            get) cat > \(box).asked; cat \(box) ;;
            erase) cat > \(box).erased; rm \(box) ;;
            esac
            """)
        return box
    }

    @Test func theFirstHelperThatTakesALoginKeepsIt() async throws {
        let scratch = try Scratch()
        let helpers = try Helpers(in: scratch.path)
        let box = try box("box", helpers, in: scratch.path)
        try helpers.add("broken", "exit 1")
        let conf = scratch.path.appending("registries.conf")
        try AtomicFile.write(
            Array("credential-helpers = [\"broken\", \"box\", \"containers-auth.json\"]\n".utf8), to: conf)
        let environment = helpers.environment.merging(["CONTAINERS_REGISTRIES_CONF": conf.string]) { $1 }
        let store = try await CredentialStore.usual(environment: environment, home: scratch.path)
        #expect(try await store.save(password, for: "docker.io") == .helper("box"))
        // As podman names it, which reads the same list.
        #expect(try text(box).contains(#""ServerURL":"docker.io""#))
        #expect(!Folder.exists(scratch.path.appending(".docker")))

        // And it is found there.
        let registry = try await FakeRegistry.start { request in
            request.headers["authorization"] == "Basic \(auth)"
                ? .json(200, "{}") : .json(401, "{}", ["WWW-Authenticate": "Basic realm=x"])
        }
        _ = try await store.save(password, for: registry.host)
        var configuration = try await RegistryConfiguration.load(environment: environment, home: scratch.path)
        configuration.limits = quickConfiguration().limits
        configuration.limits.helper = .seconds(60)
        let client = RegistryClient(configuration: configuration)
        let endpoint = client.configuration.registryEndpoint(domain: registry.host)
        _ = try await client.send(Ask(.GET, .base, accepted: [200], errand: .logIn(registry.host)), to: endpoint)
        #expect(try text(FilePath("\(box).asked")) == registry.host)
        await client.close()
        try await registry.stop()

        // The broken one may still have it: that is said.
        let error = await #expect(throws: Failure.self) { try await store.remove("docker.io") }
        #expect(error?.what.contains("docker-credential-broken") == true)
        #expect(try text(FilePath("\(box).erased")) == "docker.io")
    }

    @Test func withoutTheFileInTheListItIsNotWritten() async throws {
        let scratch = try Scratch()
        let helpers = try Helpers(in: scratch.path)
        try helpers.add("broken", "exit 1")
        let file = scratch.path.appending("config.json")
        let store = CredentialStore(file: file, helpers: ["broken"], environment: helpers.environment)
        let error = await #expect(throws: Failure.self) { try await store.save(password, for: "r.test") }
        #expect(error?.kind == .unavailable)
        #expect(error?.description.contains("p:w") == false)
        #expect(!Folder.exists(file))
    }

    @Test func theOrderOfWhoIsAsked() async throws {
        let scratch = try Scratch()
        let helpers = try Helpers(in: scratch.path)
        let log = scratch.path.appending("log")
        for name in ["first", "listed", "last"] {
            try helpers.add(
                name, "cat > /dev/null; echo \(name) >> \(log); echo credentials not found in native keychain; exit 1")
        }
        func ask(_ files: [String], _ list: [String], _ host: String = "r.test") async throws -> (
            Credential?, [String]
        ) {
            try AtomicFile.write([UInt8](), to: log)
            var configuration = quickConfiguration()
            configuration.helperEnvironment = helpers.environment
            configuration.limits.helper = .seconds(60)
            configuration.credentialHelpers = list
            for (index, json) in files.enumerated() {
                configuration.credentials.add(try CredentialFile.parse(Data(json.utf8), file: "file \(index)"))
            }
            let finder = CredentialFinder(configuration: configuration, progress: SilentProgress())
            let found = try await finder.credential(
                for: configuration.endpoints(for: Reference("\(host)/team/x"))[0], errand: .get("x"))
            return (found, try text(log).split(separator: "\n").map(String.init))
        }
        let own = #"{"auths":{"r.test":{"auth":"\#(auth)"}}}"#
        let listed = #"{"credHelpers":{"r.test":"listed"},"auths":{"r.test":{"auth":"b2xkOm9sZA=="}}}"#
        // A helper of the list before the files, where it stands before them.
        #expect(try await ask([own], ["first", "containers-auth.json"]) == (password, ["first"]))
        #expect(try await ask([own], ["containers-auth.json", "last"]) == (password, []))
        #expect(try await ask([own], ["first"]) == (nil, ["first"]))
        // In a file its own helper is asked in place of what is written there, and then the next file.
        #expect(try await ask([listed, own], ["containers-auth.json"]) == (password, ["listed"]))
        #expect(try await ask([listed], ["containers-auth.json", "last"]) == (nil, ["listed", "last"]))
        // A file before the other, whatever the second one says of a part of the registry.
        let part = #"{"auths":{"r.test/team":{"auth":"b2xkOm9sZA=="}}}"#
        #expect(try await ask([own, part], ["containers-auth.json"]) == (password, []))
        // A store is asked about what no entry is for.
        #expect(
            try await ask([#"{"credsStore":"listed"}"#, own], ["containers-auth.json"]) == (password, ["listed"]))
    }

    @Test func aListedHelperThatFailsIsToldWhenNobodyElseKnows() async throws {
        let scratch = try Scratch()
        let helpers = try Helpers(in: scratch.path)
        try helpers.add("broken", "exit 1")
        try helpers.add("good", #"cat > /dev/null; printf '{"Username":"u","Secret":"p:w"}'"#)
        var configuration = quickConfiguration()
        configuration.helperEnvironment = helpers.environment
        configuration.limits.helper = .seconds(60)
        configuration.credentials = try CredentialFile.parse(
            Data(#"{"credHelpers":{"r.test":"broken"}}"#.utf8), file: "x")
        let endpoint = try configuration.endpoints(for: Reference("r.test/x"))[0]
        let finder = CredentialFinder(configuration: configuration, progress: SilentProgress())
        let error = await #expect(throws: Failure.self) {
            try await finder.credential(for: endpoint, errand: .get("x"))
        }
        #expect(error?.kind == .unavailable)
        configuration.credentialHelpers = ["containers-auth.json", "good"]
        let other = CredentialFinder(configuration: configuration, progress: SilentProgress())
        #expect(try await other.credential(for: endpoint, errand: .get("x")) == password)
    }
}

@Suite struct LoginCheckTests {
    private func check(_ user: String, _ password: String, _ handler: @escaping FakeRegistry.Handler) async throws
        -> LoginCheck
    {
        let registry = try await FakeRegistry.start(handler)
        var configuration = quickConfiguration()
        // What the file knows must not help.
        configuration.credentials.set(.password(user: "u", password: "right"), for: registry.host)
        let client = RegistryClient(configuration: configuration)
        let host = registry.host
        let result = await Result.catching {
            try await client.checkLogin(.password(user: user, password: password), at: host)
        }
        await client.close()
        try await registry.stop()
        return try result.get()
    }

    private static let right = "Basic " + Data("u:right".utf8).base64EncodedString()

    @Test func basic() async throws {
        let handler: FakeRegistry.Handler = { request in
            guard request.path == "/v2/" else { return .json(404, "{}") }
            return request.headers["authorization"] == Self.right
                ? .json(200, "{}") : .json(401, "{}", ["WWW-Authenticate": "Basic realm=x"])
        }
        #expect(try await check("u", "right", handler) == .accepted)
        let error = await #expect(throws: Failure.self) { try await check("u", "hunter2", handler) }
        #expect(error?.kind == .denied)
        #expect(error?.place?.hasPrefix("127.0.0.1:") == true)
        #expect(error?.description.contains("hunter2") == false)
        #expect(try await check("u", "x") { _ in .json(200, "{}") } == .notNeeded)
    }

    @Test func bearer() async throws {
        let handler: FakeRegistry.Handler = { request in
            if request.path == "/token" {
                return request.headers["authorization"] == Self.right && !request.target.contains("scope")
                    ? .json(200, #"{"token":"t"}"#) : .json(401, #"{"details":"incorrect username or password"}"#)
            }
            let realm = #"Bearer realm="http://\#(request.headers["host"] ?? "")/token",service="s""#
            return request.headers["authorization"] == "Bearer t"
                ? .json(200, "{}") : .json(401, "{}", ["WWW-Authenticate": realm])
        }
        #expect(try await check("u", "right", handler) == .accepted)
        let error = await #expect(throws: Failure.self) { try await check("u", "hunter2", handler) }
        #expect(error?.kind == .denied)
        #expect(error?.description.contains("incorrect username") == true)
        #expect(error?.description.contains("hunter2") == false)
    }

    @Test func whatIsNoRegistry() async throws {
        let error = await #expect(throws: Failure.self) { try await check("u", "p") { _ in .json(404, "{}") } }
        #expect(error?.kind == .notFound)
    }
}
