import FoundationEssentials
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

@testable import DockerEngine

@Suite struct ArchiveTests {
    @Test func sendsOneFileAsATar() async throws {
        let scratch = try Scratch()
        let content = (0..<700_001).map { UInt8(truncatingIfNeeded: $0) }
        let file = scratch.path.appending("file")
        try AtomicFile.write(content, to: file)
        let engine = try await FakeEngine.start(in: scratch.path) {
            $0.path == "/_ping" ? FakeEngine.pong : .json(200, "")
        }
        let client = try await DockerClient.connect(engine.socket)
        try await client.place(file, in: "c", at: "/var/lib/x/sealer", permissions: FilePermissions(rawValue: 0o755))
        let request = try #require(engine.seen.last)
        #expect(request.method == "PUT")
        #expect(request.path == "/v1.41/containers/c/archive?path=%2F")
        let body = request.body
        #expect(body.count % 512 == 0)
        #expect(String(decoding: body.prefix(17), as: UTF8.self) == "var/lib/x/sealer\u{0}")
        #expect(String(decoding: body[100..<107], as: UTF8.self) == "0000755")
        #expect(String(decoding: body[124..<135], as: UTF8.self) == "00002527141")
        #expect(Array(body[512..<512 + content.count]) == content)
        // The checksum counts its own field as spaces.
        let sum = body[0..<148].reduce(0) { $0 + Int($1) } + 8 * 32 + body[156..<512].reduce(0) { $0 + Int($1) }
        #expect(
            String(decoding: body[148..<154], as: UTF8.self) == String(
                repeating: "0", count: 6 - String(sum, radix: 8).count) + String(sum, radix: 8))
        try await engine.stop()
    }

    @Test func passesOnWhyTheEngineRefusedAFile() async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("file")
        try AtomicFile.write([UInt8](repeating: 1, count: 100), to: file)
        let engine = try await FakeEngine.start(in: scratch.path) {
            $0.path == "/_ping" ? FakeEngine.pong : .json(404, #"{"message":"No such container: c"}"#)
        }
        let client = try await DockerClient.connect(engine.socket)
        let failure = await #expect(throws: Failure.self) {
            try await client.place(file, in: "c", at: "/x", permissions: .ownerReadWrite)
        }
        #expect(failure?.kind == .notFound)
        try await engine.stop()
    }

    @Test func saysWhichFileIsNotThere() async throws {
        let scratch = try Scratch()
        let client = DockerClient(socket: DockerSocket(path: "/nowhere"), version: DockerClient.oldestVersion)
        let path = scratch.path.appending("none")
        let failure = await #expect(throws: Failure.self) {
            try await client.place(path, in: "c", at: "/x", permissions: .ownerReadWrite)
        }
        #expect(failure?.kind == .notFound)
        #expect(failure?.place == path.string)
    }
}
