import FoundationEssentials
import Glibc
import OCI
import Report
import SystemPackage
import Testing

@testable import NodeAgent
@testable import Remote

/// What an agent does when the other side breaks the rules.
@Suite struct AgentDamageTests {
    /// Sends bytes to a new agent and closes; gives how the agent ended.
    private static func serve(_ bytes: Data) async throws -> Result<Void, any Error> {
        let requests = try FileDescriptor.pipe()
        let replies = try FileDescriptor.pipe()
        let agent = AgentServer(
            services: FakeServices().services,
            digest: try Digest(AgentPair.digest),
            executable: "/none/none",
            stateFolder: "/tmp",
            leaseFile: "/none/lock.json"
        )
        let channel = DescriptorChannel(input: requests.readEnd, output: replies.writeEnd)
        let server = Task { try await agent.serve(channel) }
        let peer = DescriptorChannel(input: replies.readEnd, output: requests.writeEnd)
        let drain = Task { while try await peer.read() != nil {} }
        do { try await peer.write(bytes) } catch { /* the agent may have given up before the last byte */  }
        await peer.closeInput()
        let result = try await withLimit(.seconds(120), waitingFor: "the agent to end") { await server.result }
        try await drain.value
        return result
    }

    private static func request(_ request: AgentRequest, _ stream: UInt32) throws -> Data {
        try Frame(.message, stream: stream, payload: AgentProtocol.encode(request)).encoded()
    }

    @Test func endsWhenItsInputEnds() async throws {
        try await Self.serve(Data()).get()
        try await Self.serve(Self.request(.facts, 1)).get()
    }

    @Test func endsWithAnErrorOnGarbage() async throws {
        let result = try await Self.serve(Data("GET / HTTP/1.1\r\n\r\n".utf8))
        let failure = #expect(throws: Failure.self) { try result.get() }
        #expect(failure?.kind == .integrity)
    }

    @Test func endsWithAnErrorInTheMiddleOfAFrame() async throws {
        let facts = try Self.request(.facts, 1)
        let result = try await Self.serve(Data(facts.dropLast()))
        let failure = #expect(throws: Failure.self) { try result.get() }
        #expect(failure?.kind == .unreachable)
    }

    @Test(arguments: 0..<60) func survivesDamage(_ seed: UInt64) async throws {
        var random = SeededGenerator(seed)
        var bytes = Data()
        bytes += try Self.request(.hello(version: 1), 1)
        bytes += try Self.request(.readFile(path: "/etc/hostname", limit: 4096), 2)
        bytes += try Self.request(.run(RemoteCommand(["true"]), limit: 5), 3)
        bytes += try Frame(.data, stream: 3, payload: Data([1, 2, 3])).encoded()
        bytes += try Frame(.end, stream: 3).encoded()
        bytes += try Frame.credit(5, stream: 2).encoded()
        for _ in 0..<Int.random(in: 1...5, using: &random) {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            bytes[place] = UInt8.random(in: 0...255, using: &random)
        }
        // Any end is fine, as long as it is one.
        _ = try await Self.serve(bytes)
    }
}

/// A generator whose numbers follow from its seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &+ 0x9E37_79B9_7F4A_7C15 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
