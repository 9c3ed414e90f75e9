import ApplyEngine
import ClusterRuntime
import Clusterfile
import FoundationEssentials
import Glibc
import ImageStore
import Infra
import LinuxSystem
import OCI
import Remote
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Hosts that are all this very machine, or not there.
private struct ThisMachine: InfraProvider {
    var missing: Set<String> = []

    func places(of cluster: Cluster) async throws -> [HostPlace] {
        cluster.members.map(place)
    }

    func place(of member: ClusterMember) async throws -> HostPlace { place(member) }

    private func place(_ member: ClusterMember) -> HostPlace {
        let name = member.address?.description ?? ""
        let transport = missing.contains(name) ? nil : LocalTransport(host: name)
        return HostPlace(name: name, member: member, address: name, transport: transport)
    }

    func wake(_ cluster: Cluster, progress: any ProgressSink) async throws -> Bool { false }
    func provision(_ cluster: Cluster, progress: any ProgressSink) async throws {}
    func contents(of cluster: String) async throws -> [String] { [] }
    func remove(host: String, of cluster: String) async throws {}
    func remove(cluster: String, progress: any ProgressSink) async throws -> RemovalReport {
        RemovalReport(removed: [])
    }
}

/// The real agent, in a folder of the test's own.
private struct RealAgent: HostConnector {
    static let executable = ProcessInfo.processInfo.environment["SEALER_TEST_EXECUTABLE"].map { FilePath($0) }

    let executable: FilePath
    let digest: OCI.Digest
    let base: FilePath
    private let counts = SharedCounts()

    final class SharedCounts: Sendable {
        private let values = Mutex((now: 0, most: 0))
        func enter() { values.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) } }
        func leave() { values.withLock { $0.now -= 1 } }
        var most: Int { values.withLock { $0.most } }
    }

    var inside: SharedCounts { counts }
    /// The hosts that a connection was asked for to.
    let connected = Names()

    init(base: FilePath) throws {
        executable = try #require(Self.executable)
        var hasher = ContentHasher()
        try readFile(executable, limit: 1 << 30).withUnsafeBytes { hasher.update($0) }
        digest = hasher.digest()
        self.base = base
    }

    func connect(_ host: String, over transport: any Transport) async throws -> ConnectedHost {
        connected.add(host)
        let agent = try await AgentHost.connect(
            over: transport, executable: executable, executableDigest: digest, base: base,
            store: base.appending("store"))
        return ConnectedHost(host: agent, executable: agent.executablePath.string)
    }
}

private final class Names: Sendable {
    private let names = Mutex<[String]>([])
    func add(_ name: String) { names.withLock { $0.append(name) } }
    var all: [String] { names.withLock { $0 } }
}

@Suite("Which hosts a command is for")
struct HostSelectionTests {
    private func places() async throws -> [HostPlace] { try await ThisMachine().places(of: sampleCluster()) }

    private func names(_ selection: HostSelection) async throws -> [String] {
        try selection.select(from: try await places(), of: "demo").map(\.name)
    }

    @Test("all of them, those of roles, those named, and those that are both")
    func selects() async throws {
        #expect(try await names(.init()) == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"])
        #expect(try await names(.init(roles: ["master"])) == ["10.0.0.1"])
        #expect(try await names(.init(roles: ["db", "master"])) == ["10.0.0.1", "10.0.0.4"])
        #expect(try await names(.init(hosts: ["10.0.0.3", "10.0.0.2"])) == ["10.0.0.2", "10.0.0.3"])
        #expect(try await names(.init(roles: ["node"], hosts: ["10.0.0.1", "10.0.0.3"])) == ["10.0.0.3"])
    }

    @Test("a container is known by its name and by its address")
    func byAddress() async throws {
        var places = try await places()
        places[1].name = "demo-node-0"
        places[2].address = "fd00::7"
        #expect(try HostSelection(hosts: ["fd00:0::7"]).select(from: places, of: "demo").map(\.name) == ["10.0.0.3"])
        for name in ["demo-node-0", "10.0.0.2"] {
            #expect(try HostSelection(hosts: [name]).select(from: places, of: "demo").map(\.name) == ["demo-node-0"])
        }
    }

    @Test("names what there is instead of what is not there")
    func unknown() async throws {
        let places = try await places()
        for (selection, hint) in [
            (HostSelection(roles: ["etcd"]), "db, master, node"), (.init(hosts: ["10.0.0.9"]), "10.0.0.1, 10.0.0.2"),
        ] {
            let failure = #expect(throws: Failure.self) { try selection.select(from: places, of: "demo") }
            #expect(failure?.kind == .notFound)
            #expect(failure?.remedy?.contains(hint) == true, "\(String(describing: failure))")
        }
        #expect(throws: Failure.self) {
            try HostSelection(roles: ["db"], hosts: ["10.0.0.1"]).select(from: places, of: "demo")
        }
    }
}

private func sampleCluster() throws -> Cluster {
    func group(_ text: String, _ roles: [String]) throws -> HostGroup {
        HostGroup(addresses: try [IPAddress](ranges: text), roles: roles)
    }
    return Cluster(
        name: "demo", image: try Reference("shop:1"),
        hosts: [
            try group("10.0.0.1", ["master"]), try group("10.0.0.2-3", ["node"]),
            try group("10.0.0.4", ["node", "db"]),
        ])
}

@Suite(
    "Work on hosts, by the real agent on this machine",
    .enabled(if: RealAgent.executable != nil, "SEALER_TEST_EXECUTABLE is not set; make test sets it"))
struct HostTests {
    private func engine(_ scratch: FilePath, _ agent: RealAgent, missing: Set<String> = []) async throws -> Engine {
        Engine(
            store: try await ImageStore.open(scratch.appending("store")), state: scratch,
            infra: ThisMachine(missing: missing), connector: agent, makeRuntime: { try Kubeadm($0) },
            progress: SilentProgress())
    }

    @Test("each host does it, one that is not there fails alone, and the order stays")
    func onEach() async throws {
        let scratch = try Scratch()
        let agent = try RealAgent(base: scratch.path.appending("agent"))
        let engine = try await engine(scratch.path, agent, missing: ["10.0.0.2"])
        let places = try await engine.places(of: sampleCluster())
        // The agent is brought before, so that the hosts get to the work at the same time.
        _ = try await engine.onEach(places) { _, _ in }
        let outcomes = try await engine.onEach(places, concurrency: 2) { place, host in
            agent.inside.enter()
            defer { agent.inside.leave() }
            return try await host.check(
                RemoteCommand(["/bin/bash", "-c", "sleep 1; echo \(place.name)"]), purpose: "echo", limit: .seconds(120)
            ).outputText
        }
        #expect(outcomes.map(\.host) == places.map(\.name))
        for outcome in outcomes where outcome.host != "10.0.0.2" {
            #expect(try outcome.result.get() == "\(outcome.host)\n")
        }
        let failure = outcomes[1].failure as? Failure
        #expect(failure?.kind == .notFound)
        #expect(failure?.place == "10.0.0.2")
        #expect(outcomes.count { $0.failure != nil } == 1)
        #expect((1...2).contains(agent.inside.most))
    }

    @Test("cancelling ends what runs, and nothing more begins")
    func cancelled() async throws {
        let scratch = try Scratch()
        let agent = try RealAgent(base: scratch.path.appending("agent"))
        let engine = try await engine(scratch.path, agent)
        let places = try await engine.places(of: sampleCluster())
        let begun = Names()
        let marks = scratch.path
        let work = Task {
            try await engine.onEach(places, concurrency: 1) { place, host in
                begun.add(place.name)
                _ = try await host.run(
                    RemoteCommand(["/bin/bash", "-c", "touch \(marks)/begun; sleep 600"]), limit: .seconds(900)
                ) { _ in }
            }
        }
        try await withLimit(.seconds(120), waitingFor: "the command to begin") {
            while access(marks.appending("begun").string, F_OK) != 0 { try await Task.sleep(for: .milliseconds(20)) }
        }
        work.cancel()
        await #expect(throws: CancellationError.self) { try await work.value }
        #expect(begun.all == ["10.0.0.1"])
        #expect(agent.connected.all == ["10.0.0.1"])
    }

    @Test("of two operators whose agents are processes of one node one has its lock, and the other is told who")
    func lease() async throws {
        let scratch = try Scratch()
        let agent = try RealAgent(base: scratch.path.appending("agent"))
        func owner(_ id: String) -> LeaseOwner {
            LeaseOwner(
                id: id, user: id, machine: "ops1", process: 1, command: "sealer apply", cluster: "demo", since: 1.5e9)
        }
        var hosts: [any Host] = []
        for name in ["10.0.0.1", "10.0.0.2"] {
            hosts.append(try await agent.connect(name, over: LocalTransport(host: name)).host)
        }
        #expect(try await hosts[0].takeLease(owner("a"), staleAfter: .seconds(3600), ended: []) == .taken(from: nil))
        guard case .held(let holder) = try await hosts[1].takeLease(owner("b"), staleAfter: .seconds(3600), ended: [])
        else {
            Issue.record("two have the lock")
            return
        }
        #expect(holder.owner == owner("a"))
        #expect(try Folder.names(in: agent.base).contains("lock.json"))
        try await hosts[0].returnLease("a")
        #expect(try await hosts[1].takeLease(owner("b"), staleAfter: .seconds(3600), ended: []) == .taken(from: nil))
        #expect(try await hosts[0].renewLease(owner("b")) == .renewed)
        for host in hosts { await host.close() }
    }

    /// Runs `body` with a host that is this machine, and a folder on it.
    private func withHost(_ body: @escaping @Sendable (any Host, FilePath) async throws -> Void) async throws {
        let scratch = try Scratch()
        let engine = try await engine(scratch.path, RealAgent(base: scratch.path.appending("agent")))
        let folder = scratch.path.appending("host")
        try Folder.make(folder)
        let places = try await engine.places(of: sampleCluster()).prefix(1)
        let outcomes = try await engine.onEach(Array(places)) { _, host in try await body(host, folder) }
        for outcome in outcomes { try outcome.result.get() }
    }

    private static func permissions(_ path: FilePath) -> UInt32 {
        var information = stat()
        return stat(path.string, &information) == 0 ? information.st_mode & 0o7777 : 0
    }

    @Test("a file comes back as it went, with its permissions but not with its set-user bit")
    func roundTrip() async throws {
        try await withHost { host, folder in
            let bytes = Data((0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            let path = folder.appending("deep/er/file name")
            let written = try await HostFile(path, on: host).write(bytes, permissions: 0o4751, name: "x")
            #expect(written == path)
            #expect(Self.permissions(path) == 0o751)
            let back = try await HostFile(path, on: host).read()
            #expect(back.bytes == bytes)
            #expect(back.permissions == 0o751)
            #expect(symlink(path.string, folder.appending("link").string) == 0)
            #expect(try await HostFile(folder.appending("link"), on: host).read().bytes == bytes)
        }
    }

    @Test("goes into a folder that is there, and into one that is meant")
    func folders() async throws {
        try await withHost { host, folder in
            let inside = try await HostFile(folder, on: host).write(Data("1".utf8), permissions: 0o600, name: "a")
            #expect(inside == folder.appending("a"))
            let meant = HostFile(folder.appending("new"), on: host)
            #expect(
                try await meant.write(Data("2".utf8), permissions: 0o600, name: "a", isFolder: true)
                    == folder.appending("new/a"))
            #expect(try readFile(folder.appending("new/a")) == Data("2".utf8))
        }
    }

    @Test("nothing but a file is replaced or read")
    func inTheWay() async throws {
        try await withHost { host, folder in
            try Folder.make(folder.appending("to/a"))
            #expect(mkfifo(folder.appending("pipe").string, 0o600) == 0)
            try AtomicFile.write("x".utf8, to: folder.appending("file"))
            let bytes = Data("1".utf8)
            func fails(_ kind: Failure.Kind, _ body: () async throws -> Void) async {
                let failure = await #expect(throws: Failure.self) { try await body() }
                #expect(failure?.kind == kind, "\(String(describing: failure))")
                #expect(failure?.place?.hasPrefix("10.0.0.1:\(folder)") == true, "\(String(describing: failure))")
            }
            await fails(.conflict) {
                try await HostFile(folder.appending("to"), on: host).write(bytes, permissions: 0o600, name: "a")
            }
            await fails(.conflict) {
                try await HostFile(folder.appending("pipe"), on: host).write(bytes, permissions: 0o600, name: "a")
            }
            await fails(.conflict) {
                try await HostFile(folder.appending("file"), on: host).write(
                    bytes, permissions: 0o600, name: "a", isFolder: true)
            }
            await fails(.notFound) { _ = try await HostFile(folder.appending("none"), on: host).read() }
            await fails(.notFound) { _ = try await HostFile(folder.appending("file/none"), on: host).read() }
            await fails(.invalidInput) { _ = try await HostFile(folder.appending("to"), on: host).read() }
            await fails(.invalidInput) { _ = try await HostFile(folder.appending("pipe"), on: host).read() }
            #expect(truncate(folder.appending("file").string, HostFile.limit + 1) == 0)
            await fails(.invalidInput) { _ = try await HostFile(folder.appending("file"), on: host).read() }
        }
    }
}
