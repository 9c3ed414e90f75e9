import FoundationEssentials
import Report
import Synchronization
import Testing

@testable import Remote

/// Keeps what is written, and gives nothing to read.
private final class RecordingChannel: ByteChannel {
    private let decoder = Mutex(FrameDecoder())
    private let seen = Mutex<[Frame]>([])

    var frames: [Frame] { seen.withLock { $0 } }

    func write(_ bytes: Data) async throws {
        let frames = try decoder.withLock { decoder in
            decoder.append(bytes)
            var frames: [Frame] = []
            while let frame = try decoder.next() { frames.append(frame) }
            return frames
        }
        seen.withLock { $0 += frames }
        await Task.yield()
    }

    func read() async throws -> Data? { nil }
    func closeInput() async {}
    func terminate() async {}
    var errorTail: String { "" }
}

@Suite struct AgentLinkTests {
    /// Requests that overtook each other were once dropped by the agent, and their operator waited for ever.
    @Test func requestsGoOutInTheOrderOfTheirNumbers() async throws {
        let channel = RecordingChannel()
        let link = AgentLink(channel, role: .operator)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<UInt32(LinkState.streamLimit) {
                group.addTask {
                    let stream = try await link.open(AgentRequest.hello(version: Int(number)))
                    try await stream.end()
                }
            }
            try await group.waitForAll()
        }
        let requests = channel.frames.filter { $0.kind == .message }.map(\.stream)
        #expect(requests == Array(1...UInt32(LinkState.streamLimit)))
        // And nothing of a stream goes before its request.
        var opened: Set<UInt32> = []
        for frame in channel.frames {
            if frame.kind == .message { opened.insert(frame.stream) } else { #expect(opened.contains(frame.stream)) }
        }
    }

    @Test func aRequestThatIsTooLargeOpensNoStream() async throws {
        let link = AgentLink(RecordingChannel(), role: .operator)
        let command = RemoteCommand([String(repeating: "x", count: Frame.payloadLimit)])
        await #expect(throws: Failure.self) { try await link.open(AgentRequest.run(command, limit: 1)) }
        let stream = try await link.open(AgentRequest.facts)
        #expect(stream.id == 2)
    }
}
