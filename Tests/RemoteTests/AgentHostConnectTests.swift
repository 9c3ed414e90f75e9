import FoundationEssentials
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@testable import Remote

/// What `AgentHost.connect` makes of programs that are no agent. A real one is on the other side in the tests of `NodeAgent`.
@Suite struct AgentHostConnectTests {
    private static let digest = Digest(algorithm: .sha256, hex: String(repeating: "ab", count: 32))

    private static func connect(_ script: String, _ scratch: borrowing Scratch) async throws -> Failure? {
        let program = scratch.path.appending("program")
        try AtomicFile.write(Array("#!/bin/sh\n\(script)\n".utf8), to: program)
        let base = scratch.path.appending("base")
        let digest = try #require(digest)
        return await #expect(throws: Failure.self) {
            _ = try await AgentHost.connect(
                over: LocalTransport(host: "demo-node-0"),
                executable: program,
                executableDigest: digest,
                base: base,
                store: base.appending("store")
            )
        }
    }

    @Test func namesTheHostAndShowsWhatTheAgentSaidLast() async throws {
        let scratch = try Scratch()
        let failure = try await Self.connect("echo this kernel is too old >&2; exit 1", scratch)
        #expect(failure?.kind == .unreachable)
        #expect(failure?.place == "demo-node-0")
        #expect(failure?.what.contains("this kernel is too old") == true)
    }

    @Test func noticesSomethingThatSpeaksAnotherProtocol() async throws {
        let scratch = try Scratch()
        let failure = try await Self.connect("echo Welcome to this host; cat >/dev/null", scratch)
        #expect(failure?.kind == .integrity)
        #expect(failure?.place == "demo-node-0")
    }

    @Test func saysWhenTheExecutableIsNotHere() async throws {
        let scratch = try Scratch()
        let digest = try #require(Self.digest)
        let failure = await #expect(throws: Failure.self) {
            _ = try await AgentHost.connect(
                over: LocalTransport(),
                executable: scratch.path.appending("none"),
                executableDigest: digest,
                base: scratch.path
            )
        }
        #expect(failure?.kind == .notFound)
    }
}
