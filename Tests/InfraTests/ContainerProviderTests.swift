import DockerEngine
import Remote
import Report
import Synchronization
import TestSupport
import Testing

@testable import Infra

@Suite struct ContainerProviderTests {
    private static let request = HostsRequest(cluster: "demo", masters: 1, nodes: 2, image: "node")

    private static func provider(_ engine: EngineOfContainers) async throws -> ContainerProvider {
        ContainerProvider(try await DockerClient.connect(engine.socket))
    }

    private static func isEmpty(_ engine: EngineOfContainers) -> Bool {
        engine.state.withLock { $0.containers.isEmpty && $0.volumes.isEmpty && $0.networks.isEmpty }
    }

    @Test func bringsHostsUpFindsThemAndRemovesThem() async throws {
        let scratch = try Scratch()
        let engine = try EngineOfContainers(in: scratch.path)
        let provider = try await Self.provider(engine)
        let hosts = try await provider.provision(Self.request, progress: SilentProgress())
        #expect(hosts.map(\.name) == ["demo-master-0", "demo-node-0", "demo-node-1"])
        #expect(hosts.map(\.role) == [.master, .node, .node])
        #expect(hosts.allSatisfy { $0.address == "172.18.0.2" && $0.transport.host == $0.name })
        #expect(engine.state.withLock { $0.volumes.count } == 9)
        // A container that does not run is still there.
        engine.state.withLock { $0.containers["demo-node-0"]?.state = "exited" }
        let contents = try await provider.contents(of: "demo")
        #expect(contents.count == 3 + 9 + 1 && contents.contains("container demo-node-0"))
        #expect(try await provider.contents(of: "other").isEmpty)
        // Another cluster's things stay.
        _ = try await provider.provision(
            HostsRequest(cluster: "other", masters: 1, nodes: 0, image: "node"), progress: SilentProgress())
        let report = try await provider.remove(cluster: "demo", progress: SilentProgress())
        #expect(report.removed.count == 3 + 9 + 1)
        #expect(report.removed.contains("container demo-node-1"))
        #expect(engine.state.withLock { Array($0.containers.keys) } == ["other-master-0"])
        #expect(try await provider.remove(cluster: "demo", progress: SilentProgress()).removed.isEmpty)
        engine.stop()
    }

    @Test func keepsWhatIsThere() async throws {
        let scratch = try Scratch()
        let engine = try EngineOfContainers(in: scratch.path)
        let provider = try await Self.provider(engine)
        _ = try await provider.provision(Self.request, progress: SilentProgress())
        engine.state.withLock { state in
            state.requests = []
            state.containers["demo-node-1"]?.state = "exited"
        }
        let hosts = try await provider.provision(Self.request, progress: SilentProgress())
        #expect(hosts.count == 3)
        let changes = engine.state.withLock { $0.requests }.filter { $0.hasPrefix("POST") && !$0.contains("exec") }
        #expect(changes == ["POST containers/demo-node-1/start"])
        engine.stop()
    }

    /// What was stopped has what it had: it is no container that is still to be made.
    @Test func startsWhatWasStopped() async throws {
        let scratch = try Scratch()
        let engine = try EngineOfContainers(in: scratch.path)
        let provider = try await Self.provider(engine)
        _ = try await provider.provision(Self.request, progress: SilentProgress())
        engine.state.withLock { state in
            state.requests = []
            state.containers["demo-master-0"]?.state = "exited"
            state.containers["demo-node-0"]?.state = "paused"
            state.containers["demo-node-1"]?.state = "created"
        }
        let hosts = try await provider.present(Self.request)
        #expect(hosts.map { $0?.name } == ["demo-master-0", "demo-node-0", nil])
        for host in hosts.prefix(2).compactMap(\.self) {
            let failure = await #expect(throws: Failure.self) { try await host.transport.reach() }
            #expect(failure?.kind == .unreachable && failure?.place == host.name)
        }
        #expect(try await provider.wake(Self.request, progress: SilentProgress()))
        #expect(try await !provider.wake(Self.request, progress: SilentProgress()))
        let changes = engine.state.withLock { $0.requests }.filter { $0.hasPrefix("POST") && !$0.contains("exec") }
        #expect(changes.sorted() == ["POST containers/demo-master-0/start", "POST containers/demo-node-0/unpause"])
        for host in try await provider.present(Self.request).prefix(2) { try await host?.transport.reach() }

        // One that does not start is told, and stays as it is.
        engine.state.withLock { state in
            state.stateAfterStart = "exited"
            state.containers["demo-node-0"]?.state = "exited"
        }
        let notes = Notes()
        #expect(try await provider.wake(Self.request, progress: notes))
        #expect(notes.all.contains { $0.contains("exit code 9") }, "\(notes.all)")
        engine.stop()
    }

    @Test func saysHowToGetTheNodeImage() async throws {
        let scratch = try Scratch()
        let engine = try EngineOfContainers(in: scratch.path)
        let provider = try await Self.provider(engine)
        var request = Self.request
        request.image = "sealer.io/node:none"
        let failure = await #expect(throws: Failure.self) {
            try await provider.provision(request, progress: SilentProgress())
        }
        #expect(failure?.kind == .notFound)
        #expect(failure?.remedy?.contains("make-node-image.sh") == true)
        #expect(Self.isEmpty(engine))
        engine.stop()
    }

    @Test func takesBackWhatItMadeWhenOneNodeFails() async throws {
        let scratch = try Scratch()
        let engine = try EngineOfContainers(in: scratch.path) { method, path in
            method == "POST" && path == "containers/demo-node-1/start" ? (500, "no space left on device") : nil
        }
        let provider = try await Self.provider(engine)
        let failure = await #expect(throws: Failure.self) {
            try await provider.provision(Self.request, progress: SilentProgress())
        }
        #expect(failure?.place == "demo-node-1")
        let text = try #require(failure).description
        #expect(text.contains("no space left on device"))
        #expect(text.contains("removed again"))
        #expect(Self.isEmpty(engine))
        engine.stop()
    }

    @Test func leavesAForeignContainerOfTheNameAlone() async throws {
        let scratch = try Scratch()
        let engine = try EngineOfContainers(in: scratch.path)
        engine.state.withLock { $0.containers["demo-node-0"] = .init(labels: [:]) }
        let provider = try await Self.provider(engine)
        let failure = await #expect(throws: Failure.self) {
            try await provider.provision(Self.request, progress: SilentProgress())
        }
        #expect(failure?.kind == .conflict)
        #expect(engine.state.withLock { Array($0.containers.keys) } == ["demo-node-0"])
        #expect(engine.state.withLock { $0.networks.isEmpty && $0.volumes.isEmpty })
        engine.stop()
    }

    @Test func showsTheLogOfAContainerThatEnds() async throws {
        let scratch = try Scratch()
        let engine = try EngineOfContainers(in: scratch.path)
        engine.state.withLock { $0.stateAfterStart = "exited" }
        let provider = try await Self.provider(engine)
        let request = HostsRequest(cluster: "demo", masters: 1, nodes: 0, image: "node")
        let failure = await #expect(throws: Failure.self) {
            try await provider.provision(request, progress: SilentProgress())
        }
        #expect(failure?.kind == .commandFailed)
        #expect(failure?.what.contains("exit code 9") == true)
        #expect(failure?.what.contains("the last words") == true)
        engine.stop()
    }

    @Test func acceptsADegradedSystemAndSaysSo() async throws {
        let scratch = try Scratch()
        let engine = try EngineOfContainers(in: scratch.path)
        engine.state.withLock { $0.systemState = "degraded\n" }
        let provider = try await Self.provider(engine)
        let notes = Notes()
        _ = try await provider.provision(
            HostsRequest(cluster: "demo", masters: 1, nodes: 0, image: "node"), progress: notes)
        #expect(notes.all.contains { $0.contains("demo-master-0") })
        engine.stop()
    }

    @Test func tellsWhichCapabilitiesAnOldEngineDoesNotKnow() async throws {
        let scratch = try Scratch()
        let engine = try EngineOfContainers(in: scratch.path)
        let provider = try await Self.provider(engine)
        let notes = Notes()
        _ = try await provider.provision(
            HostsRequest(cluster: "demo", masters: 1, nodes: 0, image: "node"), progress: notes)
        let own = try await Set(Capability.names(of: Capability.ownBoundingSet()))
        let unknown = own.intersection(Capability.recent)
        #expect(notes.all.contains { $0.contains("does not know") } == !unknown.isEmpty)
        engine.stop()
    }

    @Test func refusesANetworkOfTheOtherSort() async throws {
        let scratch = try Scratch()
        let engine = try EngineOfContainers(in: scratch.path)
        let provider = try await Self.provider(engine)
        _ = try await provider.provision(Self.request, progress: SilentProgress())
        var request = Self.request
        request.egress = true
        let failure = await #expect(throws: Failure.self) {
            try await provider.provision(request, progress: SilentProgress())
        }
        #expect(failure?.kind == .conflict)
        #expect(engine.state.withLock { $0.containers.count } == 3)
        engine.stop()
    }

    @Test func joinsANetworkOfTheUsersAndLeavesIt() async throws {
        let scratch = try Scratch()
        let engine = try EngineOfContainers(in: scratch.path)
        engine.state.withLock { $0.networks["sealer-demo"] = .init(labels: [:], state: "own") }
        let provider = try await Self.provider(engine)
        var request = Self.request
        request.egress = true
        let failure = await #expect(throws: Failure.self) {
            try await provider.provision(request, progress: SilentProgress())
        }
        #expect(failure?.remedy?.contains("container.egress: false") == true)
        _ = try await provider.provision(Self.request, progress: SilentProgress())
        #expect(engine.state.withLock { $0.networks["sealer-demo"]?.state } == "own")
        _ = try await provider.remove(cluster: "demo", progress: SilentProgress())
        #expect(engine.state.withLock { $0.containers.isEmpty && $0.networks["sealer-demo"]?.state == "own" })
        engine.stop()
    }

    @Test func namesWhatCouldNotBeRemoved() async throws {
        let scratch = try Scratch()
        let engine = try EngineOfContainers(in: scratch.path) { method, path in
            method == "DELETE" && path.hasPrefix("networks/") ? (403, "network has active endpoints") : nil
        }
        let provider = try await Self.provider(engine)
        _ = try await provider.provision(Self.request, progress: SilentProgress())
        let failure = await #expect(throws: Failure.self) {
            try await provider.remove(cluster: "demo", progress: SilentProgress())
        }
        #expect(failure?.what.contains("network sealer-demo") == true)
        #expect(failure?.remedy == "docker network rm sealer-demo")
        #expect(failure?.description.contains("active endpoints") == true)
        #expect(engine.state.withLock { $0.containers.isEmpty && $0.volumes.isEmpty })
        engine.stop()
    }

    @Test func doesNotReuseAVolumeThatAnEarlierNodeLeft() async throws {
        let scratch = try Scratch()
        let engine = try EngineOfContainers(in: scratch.path)
        engine.state.withLock {
            $0.volumes["sealer-demo-master-0-etcd"] = .init(labels: ["io.sealer.cluster": "demo"], state: "old")
        }
        let provider = try await Self.provider(engine)
        _ = try await provider.provision(
            HostsRequest(cluster: "demo", masters: 1, nodes: 0, image: "node"), progress: SilentProgress())
        #expect(engine.state.withLock { $0.volumes["sealer-demo-master-0-etcd"]?.state } == "created")
        engine.stop()
    }
}

/// Remembers the notes of steps.
private final class Notes: ProgressSink {
    private let notes = Mutex<[String]>([])
    func send(_ event: ProgressEvent) {
        switch event {
        case .note(_, let text), .warning(let text): notes.withLock { $0.append(text) }
        default: break
        }
    }
    var all: [String] { notes.withLock { $0 } }
}
