import FoundationEssentials
import NIOCore
import Report
import SystemPackage
import TestSupport
import Testing

@testable import DockerEngine

@Suite struct ExecStreamTests {
    private static let upgraded = Array("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".utf8)

    private static func engine(
        _ scratch: borrowing Scratch,
        start: FakeEngine.Answer,
        inspect: FakeEngine.Answer = .json(200, #"{"Running":false,"ExitCode":3}"#)
    ) async throws -> FakeEngine {
        try await FakeEngine.start(in: scratch.path) { request in
            if request.path == "/_ping" { return FakeEngine.pong }
            if request.path.hasSuffix("/start") { return start }
            if request.path.hasSuffix("/json") { return inspect }
            return .json(201, #"{"Id":"e1"}"#)
        }
    }

    @Test func carriesBytesBothWays() async throws {
        let scratch = try Scratch()
        // The first output comes in the same packet as the head.
        let engine = try await Self.engine(scratch, start: .hijack(Self.upgraded + FakeEngine.frame(1, [1, 2, 3])))
        let client = try await DockerClient.connect(engine.socket)
        let stream = try await client.start(["cat"], in: "c")
        #expect(try await stream.next() == .output(Data([1, 2, 3])))
        let sent = Data((0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        async let written: Void = stream.write(sent)
        var received = Data()
        while received.count < sent.count {
            guard case .output(let bytes)? = try await stream.next() else { break }
            received.append(bytes)
        }
        try await written
        #expect(received == sent)
        await stream.closeInput()
        #expect(try await stream.next() == .error(Data("input ended".utf8)))
        #expect(try await stream.next() == nil)
        #expect(try await stream.exitCode() == 3)
        try await engine.stop()
    }

    @Test func aSlowReaderHoldsTheSenderBack() async throws {
        let scratch = try Scratch()
        let engine = try await Self.engine(scratch, start: .hijack(Self.upgraded))
        let client = try await DockerClient.connect(engine.socket)
        let stream = try await client.start(["cat"], in: "c")
        let chunk = Data(repeating: 7, count: 1 << 20)
        let writer = Task {
            for _ in 0..<64 { try await stream.write(chunk) }
            await stream.closeInput()
        }
        // Nothing is read for a while, then all of it, and nothing is lost.
        try await Task.sleep(for: .milliseconds(300))
        var count = 0
        while let piece = try await stream.next() {
            if case .output(let bytes) = piece { count += bytes.count }
        }
        try await writer.value
        #expect(count == 64 << 20)
        try await engine.stop()
    }

    @Test(arguments: [
        (Array("HTTP/1.1 101 UPGRADED\r\n".utf8), Failure.Kind.unreachable),
        (Array("SSH-2.0-OpenSSH\r\n\r\n".utf8), .integrity),
        ([UInt8](repeating: 0x41, count: 20_000), .integrity),
        (Array("HTTP/1.1 404 Not Found\r\nContent-Length: 27\r\n\r\n{\"message\":\"no such exec\"}\n".utf8), .notFound),
        (Array("HTTP/1.1 409 Conflict\r\n\r\n{\"message\":\"it is paused\"}".utf8), .conflict),
    ])
    func refusesWhatIsNoHijack(_ bytes: [UInt8], _ kind: Failure.Kind) async throws {
        let scratch = try Scratch()
        let engine = try await Self.engine(scratch, start: .bytes(bytes))
        let client = try await DockerClient.connect(engine.socket)
        let failure = await #expect(throws: Failure.self) { _ = try await client.start(["cat"], in: "c") }
        #expect(failure?.kind == kind, "\(String(describing: failure))")
        try await engine.stop()
    }

    @Test func noticesThatTheOutputWasCutOff() async throws {
        let scratch = try Scratch()
        let cut = Self.upgraded + Array(FakeEngine.frame(1, [1, 2, 3, 4]).dropLast())
        let engine = try await Self.engine(scratch, start: .bytes(cut))
        let client = try await DockerClient.connect(engine.socket)
        let stream = try await client.start(["cat"], in: "c")
        let failure = await #expect(throws: Failure.self) { while try await stream.next() != nil {} }
        #expect(failure?.kind == .unreachable)
        try await engine.stop()
    }

    @Test func runsACommandToItsEnd() async throws {
        let scratch = try Scratch()
        let output = Self.upgraded + FakeEngine.frame(1, Array("running\n".utf8))
        let engine = try await Self.engine(scratch, start: .bytes(output))
        let client = try await DockerClient.connect(engine.socket)
        let result = try await client.run(["systemctl", "is-system-running"], in: "c", limit: .seconds(120))
        #expect(result.exitCode == 3)
        #expect(result.output == "running\n")
        try await engine.stop()
    }

    @Test func givesUpOnACommandThatDoesNotEnd() async throws {
        let scratch = try Scratch()
        let engine = try await Self.engine(
            scratch,
            start: .hijack(Self.upgraded),
            inspect: .json(200, #"{"Running":true,"ExitCode":null}"#)
        )
        let client = try await DockerClient.connect(engine.socket)
        let failure = await #expect(throws: Failure.self) {
            _ = try await client.run(["sleep", "inf"], in: "c", limit: .milliseconds(400))
        }
        #expect(failure?.kind == .timeout)
        #expect(failure?.what.contains("sleep inf") == true)
        try await engine.stop()
    }
}

@Suite struct StreamDemultiplexerTests {
    @Test(arguments: 0..<200) func putsStreamsTogetherWhereverTheyAreCut(_ seed: UInt64) throws {
        var random = SeededGenerator(seed)
        var wire: [UInt8] = []
        var expected: [[UInt8]] = [[], []]
        for _ in 0..<Int.random(in: 0..<12, using: &random) {
            let stream = Int.random(in: 0...1, using: &random)
            let bytes = (0..<Int.random(in: 0..<300, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            expected[stream] += bytes
            wire += FakeEngine.frame(UInt8(stream + 1), bytes)
        }
        var demultiplexer = StreamDemultiplexer()
        var found: [[UInt8]] = [[], []]
        var rest = wire[...]
        while !rest.isEmpty {
            let count = Int.random(in: 1...min(rest.count, 40), using: &random)
            var part = ByteBuffer(bytes: rest.prefix(count))
            rest = rest.dropFirst(count)
            while let piece = try demultiplexer.next(&part) {
                switch piece {
                case .output(let bytes): found[0] += Array(bytes.readableBytesView)
                case .error(let bytes): found[1] += Array(bytes.readableBytesView)
                }
            }
        }
        #expect(found == expected)
        #expect(demultiplexer.isAtBoundary)
    }

    @Test(arguments: [
        [0, 0, 0, 0, 0, 0, 0, 1], [3, 0, 0, 0, 0, 0, 0, 1], [1, 1, 0, 0, 0, 0, 0, 1], [72, 84, 84, 80, 47, 49, 46, 49],
    ])
    func refusesOtherHeaders(_ header: [UInt8]) {
        var demultiplexer = StreamDemultiplexer()
        var bytes = ByteBuffer(bytes: header + [0])
        #expect(throws: Failure.self) { try demultiplexer.next(&bytes) }
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
