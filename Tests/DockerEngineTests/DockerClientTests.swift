import NIOHTTP1
import Report
import SystemPackage
import TestSupport
import Testing

@testable import DockerEngine

@Suite struct DockerClientTests {
    @Test func namesTheSocketOfDockerHost() throws {
        #expect(try DockerSocket(environment: [:]).path == "/var/run/docker.sock")
        #expect(try DockerSocket(environment: ["DOCKER_HOST": ""]).path == "/var/run/docker.sock")
        #expect(try DockerSocket(environment: ["DOCKER_HOST": "unix:///run/x.sock"]).path == "/run/x.sock")
    }

    @Test(arguments: [
        "tcp://127.0.0.1:2375", "ssh://host", "unix://relative", "/var/run/docker.sock", "npipe:////./pipe",
    ])
    func refusesOtherDockerHosts(_ host: String) {
        let failure = #expect(throws: Failure.self) { try DockerSocket(environment: ["DOCKER_HOST": host]) }
        #expect(failure?.kind == .invalidInput)
    }

    @Test func saysWhereThereIsNoSocket() async throws {
        let scratch = try Scratch()
        let socket = DockerSocket(path: scratch.path.appending("none.sock"))
        let failure = await #expect(throws: Failure.self) { try await DockerClient.connect(socket) }
        #expect(failure?.kind == .unavailable)
        #expect(failure?.place == socket.path.string)
        #expect(failure?.remedy?.contains("DOCKER_HOST") == true)
    }

    @Test func saysWhenNobodyListensAtTheSocket() async throws {
        let scratch = try Scratch()
        let engine = try await FakeEngine.start(in: scratch.path) { _ in .cut }
        try await engine.stop()
        // What a crashed engine leaves: the file without anybody behind it.
        let file = try FileDescriptor.open(engine.path, .writeOnly, options: [.create], permissions: .ownerReadWrite)
        try file.close()
        let failure = await #expect(throws: Failure.self) { try await DockerClient.connect(engine.socket) }
        #expect(failure?.kind == .unavailable)
    }

    @Test func settlesTheVersion() async throws {
        let scratch = try Scratch()
        for (offered, settled) in [("1.41", "1.41"), ("1.40", "1.40"), ("1.99", "1.51"), ("2.0", "1.51")] {
            let folder = scratch.path
            let engine = try await FakeEngine.start(in: folder) { _ in
                .json(200, "OK", headers: [("Api-Version", offered)])
            }
            #expect(try await DockerClient.connect(engine.socket).version.description == settled)
            try await engine.stop()
        }
    }

    @Test func refusesAnOldEngine() async throws {
        let scratch = try Scratch()
        let engine = try await FakeEngine.start(in: scratch.path) { _ in
            .json(200, "OK", headers: [("Api-Version", "1.39")])
        }
        let failure = await #expect(throws: Failure.self) { try await DockerClient.connect(engine.socket) }
        #expect(failure?.kind == .unavailable)
        try await engine.stop()
    }

    /// What an engine should not answer, and what sort of failure it is.
    static let faults: [(FakeEngine.Answer, Failure.Kind)] = [
        (.cut, .unreachable),
        (.bytes(Array("garbage\r\n\r\n".utf8)), .integrity),
        (.bytes(Array("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".utf8)), .unreachable),
        (.json(200, "not json"), .integrity),
        (.json(200, "{\"Id\": 7}"), .integrity),
        (.json(404, "{\"message\":\"no such container: demo\"}"), .notFound),
        (.json(409, "{\"message\":\"the name is taken\"}"), .conflict),
        (.json(403, "{\"message\":\"not you\"}"), .denied),
        (.json(500, "<html>"), .system),
    ]

    @Test(arguments: faults.indices) func passesFaultsOn(_ index: Int) async throws {
        let (answer, kind) = Self.faults[index]
        let scratch = try Scratch()
        let engine = try await FakeEngine.start(in: scratch.path) { $0.path == "/_ping" ? FakeEngine.pong : answer }
        let client = try await DockerClient.connect(engine.socket)
        let failure = await #expect(throws: Failure.self) { try await client.inspectContainer("demo") }
        #expect(failure?.kind == kind, "\(String(describing: failure))")
        if case .json(let status, let body, _) = answer, status >= 400, body.contains("message") {
            let message = body.split(separator: "\"")[3]
            #expect(failure?.what.contains(message) == true)
        }
        try await engine.stop()
    }

    @Test func givesUpOnAStalledEngine() async throws {
        let scratch = try Scratch()
        let engine = try await FakeEngine.start(in: scratch.path) { _ in .stall }
        let request = EngineRequest(method: .GET, path: "/x", purpose: "test the limit", limit: .milliseconds(200))
        let failure = await #expect(throws: Failure.self) { try await engine.socket.exchange(request) }
        #expect(failure?.kind == .timeout)
        #expect(failure?.what.contains("test the limit") == true)
        try await engine.stop()
    }

    @Test func boundsAnswers() async throws {
        let scratch = try Scratch()
        let engine = try await FakeEngine.start(in: scratch.path) { _ in .json(200, String(repeating: "x", count: 5000))
        }
        let request = EngineRequest(
            method: .GET,
            path: "/x",
            purpose: "test the limit",
            limit: .seconds(10),
            bodyLimit: 4999
        )
        let failure = await #expect(throws: Failure.self) { try await engine.socket.exchange(request) }
        #expect(failure?.kind == .integrity)
        try await engine.stop()
    }

    @Test func asksForContainersByTheirLabel() async throws {
        let scratch = try Scratch()
        let engine = try await FakeEngine.start(in: scratch.path) { request in
            request.path == "/_ping"
                ? FakeEngine.pong
                : .json(
                    200,
                    #"[{"Id":"1","Names":["/demo-master-0"],"State":"running","Labels":{"a":"b"}},{"Id":"2","State":"dead"}]"#
                )
        }
        let client = try await DockerClient.connect(engine.socket)
        let containers = try await client.containers(label: "io.sealer.cluster=demo")
        #expect(containers.map(\.name) == ["demo-master-0", "2"])
        #expect(containers.map(\.labels) == [["a": "b"], [:]])
        let path = try #require(engine.seen.last?.path)
        #expect(path == "/v1.41/containers/json?all=1&filters=%7B%22label%22%3A%5B%22io.sealer.cluster%3Ddemo%22%5D%7D")
        try await engine.stop()
    }

    @Test func keepsNamesOnePartOfThePath() async throws {
        let scratch = try Scratch()
        let engine = try await FakeEngine.start(in: scratch.path) {
            $0.path == "/_ping" ? FakeEngine.pong : .json(204, "")
        }
        let client = try await DockerClient.connect(engine.socket)
        try await client.removeContainer("../networks/x?force")
        #expect(engine.seen.last?.path == "/v1.41/containers/..%2Fnetworks%2Fx%3Fforce?force=1&v=1")
        try await engine.stop()
    }

    @Test func asksForANodeAsTheTestbedNeedsIt() throws {
        var spec = ContainerSpec(name: "n", image: "i", hostname: "h", network: "net")
        spec.capabilities = ["SYS_ADMIN"]
        spec.isUnconfined = true
        spec.memoryMounts = ["/run": "", "/tmp": "exec"]
        spec.volumes = ["/var/lib/etcd": "v"]
        spec.stopSignal = "SIGRTMIN+3"
        guard case .object(let members) = spec.wish, case .object(let host)? = members["HostConfig"] else {
            Issue.record("the wish is no object")
            return
        }
        #expect(members["StopSignal"] == "SIGRTMIN+3")
        #expect(members["Entrypoint"] == nil)
        #expect(host["MaskedPaths"] == [])
        #expect(host["ReadonlyPaths"] == [])
        #expect(host["Privileged"] == nil)
        #expect(host["CgroupnsMode"] == "private")
        #expect(host["Mounts"] == [["Type": "volume", "Source": "v", "Target": "/var/lib/etcd"]])
        #expect(host["Tmpfs"] == ["/run": "", "/tmp": "exec"])
    }
}
