import DockerEngine
import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import Remote

/// What a test with a real agent in a real container needs.
private enum RealAgent {
    static let image = "sealer.io/node:debian12"

    static func client() async throws -> DockerClient {
        var environment = ProcessInfo.processInfo.environment
        // Where scripts/start-docker.sh puts its own.
        let own = "/run/sealer-testbed/docker.sock"
        if environment["DOCKER_HOST"] == nil, access(own, F_OK) == 0 { environment["DOCKER_HOST"] = "unix://\(own)" }
        return try await DockerClient.connect(environment: environment)
    }

    static var executable: FilePath? {
        ProcessInfo.processInfo.environment["SEALER_TEST_EXECUTABLE"].map { FilePath($0) }
    }

    static func isPossible() async -> Bool {
        guard let executable, access(executable.string, X_OK) == 0 else { return false }
        do {
            return try await client().hasImage(image)
        } catch {
            return false
        }
    }
}

/// Counts what is placed.
private final class CountingTransport: Transport {
    private let under: any Transport
    private let count = Mutex(0)

    init(_ under: any Transport) { self.under = under }

    var host: String { under.host }
    var placed: Int { count.withLock { $0 } }

    func place(_ file: FilePath, at path: FilePath, permissions: FilePermissions) async throws {
        count.withLock { $0 += 1 }
        try await under.place(file, at: path, permissions: permissions)
    }

    func start(_ command: [String]) async throws -> any ByteChannel { try await under.start(command) }
}

@Suite(
    .enabled("needs SEALER_TEST_EXECUTABLE (a static sealer), a Docker engine and the node image") {
        await RealAgent.isPossible()
    }
)
struct RealAgentTests {
    @Test func servesFromAContainer() async throws {
        let client = try await RealAgent.client()
        let name = "sealer-test-\(UInt32.random(in: 0...UInt32.max))"
        var spec = ContainerSpec(name: name, image: RealAgent.image, hostname: name, network: "none")
        spec.entrypoint = ["/bin/sleep", "600"]
        try await client.createContainer(spec)
        do {
            try await client.startContainer(name)
            try await Self.check(client, name)
        } catch {
            try await client.removeContainer(name)
            throw error
        }
        try await client.removeContainer(name)
    }

    private static func check(_ client: DockerClient, _ name: String) async throws {
        let executable = try #require(RealAgent.executable)
        let digest = Digest.of(try readFile(executable, limit: 1 << 30))
        let transport = CountingTransport(DockerTransport(client, container: name, host: name))
        let connect = { @Sendable in
            try await AgentHost.connect(over: transport, executable: executable, executableDigest: digest)
        }
        let host = try await connect()
        #expect(transport.placed == 1)
        let facts = try await host.facts()
        #expect(facts.hostname == name)
        #expect(facts.agentDigest == digest)
        #expect(facts.isContainer)
        let result = try await host.run(.script("readlink /proc/$PPID/exe"), limit: .seconds(120)) { _ in }
        #expect(result.outputText == "\(host.executablePath)\n")

        // A second connection finds the executable; a broken copy is replaced.
        let second = try await connect()
        #expect(transport.placed == 1)
        await second.close()
        try await host.writeFile(host.executablePath, Data("#!/bin/sh\nexit 1\n".utf8), permissions: 0o755)
        let third = try await connect()
        #expect(transport.placed == 2)
        await third.close()

        // Agents whose connection ended have ended too.
        let count = "ls -l /proc/[0-9]*/exe 2>/dev/null | grep -c '/sealer'"
        try await withLimit(.seconds(120), waitingFor: "the agents to end", at: name) {
            while try await client.run(["sh", "-c", count], in: name, limit: .seconds(120)).output != "1\n" {
                try await Task.sleep(for: .milliseconds(100))
            }
        }

        try await checkBlobs(host)
        let folder = host.executablePath.removingLastComponent()
        let listing = try await host.run(RemoteCommand(["ls", folder.string]), limit: .seconds(120)) { _ in }
        #expect(listing.outputText == "sealer\n")

        // The container dies under a running command.
        let sleeping = Task { try await host.run(RemoteCommand(["sleep", "500"]), limit: .seconds(600)) { _ in } }
        try await Task.sleep(for: .milliseconds(500))
        try await client.stopContainer(name, grace: .seconds(0))
        let failure = await #expect(throws: Failure.self) { try await sleeping.value }
        #expect(failure?.kind == .unreachable)
        #expect(failure?.place == name)
        await host.close()
    }

    private static func checkBlobs(_ host: AgentHost) async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("blob")
        let content = Data(repeating: 0x5a, count: 100_000_000)
        try AtomicFile.write(content, to: file)
        let blob = Descriptor(mediaType: MediaType.layer, digest: Digest.of(content), size: Int64(content.count))
        let start = ContinuousClock.now
        try await host.send(blob, from: file) { _ in }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        print("blob over docker exec: \(Int(Double(content.count) / 1e6 / seconds)) MB/s")
        #expect(try await host.missing([blob]).isEmpty)
        var wrong = blob
        wrong.size -= 1
        try AtomicFile.write(content, to: file)
        await #expect(throws: Failure.self) { try await host.send(wrong, from: file) { _ in } }
    }
}
