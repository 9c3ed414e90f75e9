import FoundationEssentials
import Report

/// What the two ends of a link know about its streams, apart from all input and output.
///
/// The operator opens streams, numbered from 1 upwards; the agent answers. Bytes of a stream (`data`, `errorData`) may be sent
/// only as far as the other side has granted credit: each side grants `window` bytes when the stream opens and more as it
/// takes bytes. So neither side ever holds more than that of a stream, and a slow stream does not stop the others.
struct LinkState: Sendable {
    /// Which end this is.
    enum Role: Sendable {
        case `operator`
        case agent
    }

    /// What a frame means to this end.
    enum Arrival: Sendable, Equatable {
        /// Something for the reader of a stream.
        case deliver(UInt32, LinkItem)
        /// The operator opened a stream with this message.
        case opened(UInt32, Data)
        /// More bytes of this stream may be sent.
        case credit(UInt32)
        /// The operator wants this stream ended.
        case cancel(UInt32)
        /// The frame belongs to a stream that has ended here.
        case nothing
    }

    private struct Stream: Sendable {
        /// How many bytes the other side may still send.
        var granted: Int
        /// How many bytes this side may still send.
        var credit: Int
        /// How many bytes were taken since credit was last granted.
        var taken = 0
        var hasEnded = false
    }

    /// The bytes that each side may send on a stream before it must wait.
    static let window = 4 << 20
    /// The most streams that the operator has open at once.
    static let streamLimit = 256
    /// The most streams that the agent has open: some that the operator has given up are still being ended.
    static let agentStreamLimit = 4 * streamLimit

    private let role: Role
    private var streams: [UInt32: Stream] = [:]
    private var newest: UInt32 = 0

    init(_ role: Role) {
        self.role = role
    }

    /// How many streams are open.
    var count: Int { streams.count }

    /// Opens a stream at the operator's end.
    mutating func open() throws -> UInt32 {
        guard streams.count < Self.streamLimit else {
            throw Failure(.software, "more than \(Self.streamLimit) requests at once for one host")
        }
        guard newest < UInt32.max else { throw Failure(.software, "the numbers for requests are used up") }
        newest += 1
        streams[newest] = Stream(granted: Self.window, credit: Self.window)
        return newest
    }

    /// Forgets a stream. Frames that still come for it mean nothing.
    mutating func close(_ id: UInt32) {
        streams[id] = nil
    }

    /// Takes a frame in.
    ///
    /// - Throws: `Failure` of kind `integrity` when the other side broke the rules.
    mutating func receive(_ frame: Frame) throws -> Arrival {
        let id = frame.stream
        guard var stream = streams[id] else { return try receiveForUnknown(frame) }
        defer { if streams[id] != nil { streams[id] = stream } }
        switch frame.kind {
        case .message:
            guard role == .operator else { throw broken("a second request came on stream \(id)") }
            return .deliver(id, .message(frame.payload))
        case .data, .errorData:
            guard !stream.hasEnded else { throw broken("bytes came after the end of stream \(id)") }
            guard frame.payload.count <= stream.granted else {
                throw broken("stream \(id) brought more bytes than it may")
            }
            stream.granted -= frame.payload.count
            return .deliver(id, frame.kind == .data ? .data(frame.payload) : .errorData(frame.payload))
        case .end:
            guard !stream.hasEnded else { throw broken("stream \(id) ended twice") }
            stream.hasEnded = true
            return .deliver(id, .end)
        case .credit:
            guard frame.payload.count == 4 else { throw broken("a grant of credit has no number") }
            stream.credit += frame.payload.reduce(0) { $0 << 8 | Int($1) }
            guard stream.credit <= Self.window else { throw broken("stream \(id) was granted more than its window") }
            return .credit(id)
        case .cancel:
            guard role == .agent else { throw broken("the agent cancelled stream \(id)") }
            return .cancel(id)
        }
    }

    private mutating func receiveForUnknown(_ frame: Frame) throws -> Arrival {
        // A stream that has ended here may still have frames under way; a request is none of them, and must never be lost.
        if frame.stream > 0, frame.stream <= newest {
            guard role == .operator || frame.kind != .message else {
                throw broken("the request on stream \(frame.stream) came after that on stream \(newest)")
            }
            return .nothing
        }
        guard role == .agent, frame.kind == .message, frame.stream > newest else {
            throw broken("a frame came for stream \(frame.stream), which nobody opened")
        }
        guard streams.count < Self.agentStreamLimit else {
            throw broken("more than \(Self.agentStreamLimit) requests came at once")
        }
        newest = frame.stream
        streams[newest] = Stream(granted: Self.window, credit: Self.window)
        return .opened(newest, frame.payload)
    }

    /// Takes credit for sending: how many of `wanted` bytes may go now, 0 when none; nil when the stream is not open.
    mutating func take(_ wanted: Int, of id: UInt32) -> Int? {
        guard let credit = streams[id]?.credit else { return nil }
        let count = min(wanted, credit)
        streams[id]?.credit -= count
        return count
    }

    /// Whether the stream is open and has no credit for sending.
    func hasNoCredit(_ id: UInt32) -> Bool {
        streams[id]?.credit == 0
    }

    /// Notes that the reader of a stream has taken bytes; gives the number to grant when a grant is due.
    mutating func taken(_ count: Int, of id: UInt32) -> Int? {
        guard var stream = streams[id] else { return nil }
        stream.taken += count
        defer { streams[id] = stream }
        guard stream.taken >= Self.window / 4, !stream.hasEnded else { return nil }
        let grant = stream.taken
        stream.taken = 0
        stream.granted += grant
        return grant
    }

    private func broken(_ what: String) -> Failure {
        Failure(.integrity, "the agent's protocol was broken: \(what)")
    }
}

/// What the reader of a stream gets.
package enum LinkItem: Sendable, Equatable {
    case message(Data)
    case data(Data)
    case errorData(Data)
    /// No more bytes come; messages may.
    case end
}
