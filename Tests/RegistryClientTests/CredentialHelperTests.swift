import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import RegistryClient

/// A folder with programs that stand for credential helpers.
struct Helpers: Sendable {
    let folder: FilePath

    init(in folder: FilePath) throws {
        self.folder = folder.appending("bin")
        try Folder.make(self.folder)
    }

    var environment: [String: String] { ["PATH": "\(folder):/usr/bin:/bin", "HOME": folder.string, "MARK": "here"] }

    func add(_ name: String, _ script: String) throws {
        let path = folder.appending("docker-credential-\(name)")
        try AtomicFile.write(
            Array("#!/bin/sh\n\(script)\n".utf8), to: path, permissions: FilePermissions(rawValue: 0o755))
    }

    func helper(_ name: String, limit: Duration = .seconds(30)) -> CredentialHelper {
        CredentialHelper(name: name, environment: environment, limit: limit)
    }
}

@Suite struct CredentialHelperTests {
    private let secret = "hunter2"

    @Test func aLoginComesOverStandardOutput() async throws {
        let scratch = try Scratch()
        let helpers = try Helpers(in: scratch.path)
        let log = scratch.path.appending("log")
        try helpers.add(
            "good",
            """
            server=$(cat)
            echo "$@|$server|$MARK" >> \(log)
            printf '{"ServerURL":"%s","Username":"u","Secret":"hunter2"}' "$server"
            """)
        try helpers.add("token", #"cat > /dev/null; printf '{"Username":"<token>","Secret":"t"}'"#)
        #expect(try await helpers.helper("good").get("r.test:5000") == .password(user: "u", password: secret))
        #expect(String(decoding: try readFile(log), as: UTF8.self) == "get|r.test:5000|here\n")
        #expect(try await helpers.helper("token").get("r.test") == .identityToken("t"))
    }

    @Test func whatAHelperDoesNotHave() async throws {
        let scratch = try Scratch()
        let helpers = try Helpers(in: scratch.path)
        try helpers.add("none", "cat > /dev/null; echo credentials not found in native keychain; exit 1")
        try helpers.add("empty", #"cat > /dev/null; echo '{"Username":"","Secret":""}'"#)
        #expect(try await helpers.helper("none").get("r.test") == nil)
        #expect(try await helpers.helper("empty").get("r.test") == nil)
        try await helpers.helper("none").erase("r.test")
    }

    @Test(arguments: [
        ("echo hunter2 is no JSON", Failure.Kind.integrity), (#"echo '{"Username":"hunter2"}'"#, .integrity),
        ("head -c 1000000 /dev/zero | tr '\\0' x", .integrity),
        ("echo hunter2; echo hunter2 >&2; exit 3", .unavailable),
        ("kill -9 $$", .unavailable), ("exec < /dev/null; exit 1", .unavailable),
    ])
    func aHelperThatFailsSaysNoSecret(_ script: String, _ kind: Failure.Kind) async throws {
        let scratch = try Scratch()
        let helpers = try Helpers(in: scratch.path)
        try helpers.add("bad", script)
        let error = await #expect(throws: Failure.self) { try await helpers.helper("bad").get("r.test") }
        #expect(error?.kind == kind, "\(error?.description ?? "")")
        #expect(error?.description.contains("docker-credential-bad") == true)
        #expect(error?.description.contains(secret) == false)
    }

    @Test func aHelperThatHangsIsEnded() async throws {
        let scratch = try Scratch()
        let helpers = try Helpers(in: scratch.path)
        let mark = scratch.path.appending("pid")
        try helpers.add("hangs", "echo $$ > \(mark); exec sleep 1000")
        let error = await #expect(throws: Failure.self) {
            try await helpers.helper("hangs", limit: .milliseconds(500)).get("r.test")
        }
        #expect(error?.kind == .timeout)
        let text = String(decoding: try readFile(mark), as: UTF8.self).filter(\.isNumber)
        let process = try #require(pid_t(text))
        #expect(kill(process, 0) != 0)
    }

    @Test(arguments: ["", "../evil", "a b", "x;y", "a/b"])
    func namesAreNoPaths(_ name: String) async throws {
        let error = await #expect(throws: Failure.self) {
            try await CredentialHelper(name: name, environment: nil, limit: .seconds(5)).get("r.test")
        }
        #expect(error?.kind == .invalidInput)
    }

    @Test func aHelperThatIsNotThere() async throws {
        let scratch = try Scratch()
        let helpers = try Helpers(in: scratch.path)
        let error = await #expect(throws: Failure.self) { try await helpers.helper("absent").get("r.test") }
        #expect(error?.kind == .unavailable)
        #expect(error?.what.contains("no program docker-credential-absent") == true)
    }

    /// Neither the arguments nor the environment of a helper have the secret, only its input.
    @Test func secretsOnlyGoThroughTheInput() async throws {
        let scratch = try Scratch()
        let helpers = try Helpers(in: scratch.path)
        let folder = scratch.path
        try helpers.add(
            "keeps", "cat > \(folder)/input; tr '\\0' ' ' < /proc/$$/cmdline > \(folder)/seen; env >> \(folder)/seen")
        try await helpers.helper("keeps").store(.password(user: "u", password: secret), for: "r.test")
        let seen = String(decoding: try readFile(folder.appending("seen")), as: UTF8.self)
        #expect(seen.contains("store"))
        #expect(!seen.contains(secret))
        let input = String(decoding: try readFile(folder.appending("input")), as: UTF8.self)
        #expect(input.contains(#""Secret":"hunter2""#))
        #expect(input.contains(#""ServerURL":"r.test""#))
    }

    // MARK: - In a pull

    private func resolve(_ json: String, _ helpers: Helpers, sink: any ProgressSink = SilentProgress()) async throws
        -> [FakeRegistry.Request]
    {
        let image = try SmallImage(layers: ["one"])
        let right = "Basic " + Data("u:hunter2".utf8).base64EncodedString()
        let registry = try await FakeRegistry.start { request in
            request.headers["authorization"] == right
                ? image.answer(request.path) ?? unknown : .json(401, "{}", ["WWW-Authenticate": "Basic realm=x"])
        }
        var configuration = quickConfiguration()
        configuration.credentials = try CredentialFile.parse(
            Data(json.replacing("HOST", with: registry.host).utf8), file: "config.json")
        configuration.helperEnvironment = helpers.environment
        configuration.limits.helper = .seconds(30)
        let client = RegistryClient(configuration: configuration, progress: sink)
        let host = registry.host
        let result = await Result.catching {
            for _ in 0..<3 { _ = try await client.resolve(Reference("\(host)/a/b:v1")) }
        }
        await client.close()
        try await registry.stop()
        try result.get()
        return registry.requests
    }

    @Test(arguments: [
        #"{"credHelpers":{"HOST":"good"}}"#, #"{"auths":{"HOST":{}},"credsStore":"good"}"#, #"{"credsStore":"good"}"#,
    ])
    func aPullAsksTheHelperOnce(_ json: String) async throws {
        let scratch = try Scratch()
        let helpers = try Helpers(in: scratch.path)
        let log = scratch.path.appending("log")
        try helpers.add("good", #"cat >> \#(log); printf '{"Username":"u","Secret":"hunter2"}'"#)
        _ = try await resolve(json, helpers)
        #expect(String(decoding: try readFile(log), as: UTF8.self).split(separator: "127.0.0.1:").count == 1)
    }

    @Test func aHelperThatShouldHaveItAndFailsEndsThePull() async throws {
        let scratch = try Scratch()
        let helpers = try Helpers(in: scratch.path)
        try helpers.add("bad", "exit 1")
        let error = await #expect(throws: Failure.self) {
            try await resolve(#"{"auths":{"HOST":{}},"credsStore":"bad"}"#, helpers)
        }
        #expect(error?.kind == .unavailable)
        #expect(error?.what.contains("a/b:v1") == true)
    }

    /// A broken store does not keep anybody from public images.
    @Test func aStoreThatOnlyMightHaveItIsGoneOnWithout() async throws {
        final class Warnings: ProgressSink {
            let texts = Mutex<[String]>([])
            func send(_ event: ProgressEvent) {
                if case .warning(let text) = event { texts.withLock { $0.append(text) } }
            }
        }
        let scratch = try Scratch()
        let helpers = try Helpers(in: scratch.path)
        try helpers.add("bad", "exit 1")
        let sink = Warnings()
        let error = await #expect(throws: Failure.self) {
            try await resolve(#"{"credsStore":"bad"}"#, helpers, sink: sink)
        }
        #expect(error?.kind == .denied)
        #expect(sink.texts.withLock { $0.count } == 1)
    }
}
