import FoundationEssentials
import Report

/// One frame of the agent's protocol.
///
/// On the wire: the payload's length as a big-endian UInt32, the kind as a UInt8, the number of the stream as a big-endian UInt32,
/// the payload. A stream is one request with all that belongs to it.
public struct Frame: Sendable, Hashable {
    /// What a frame is.
    public enum Kind: UInt8, Sendable, CaseIterable {
        /// A JSON message: an `AgentRequest` or an `AgentReply`.
        case message = 1
        /// Bytes of the stream: content of a file or a blob, a command's input or its output.
        case data = 2
        /// Bytes that a command printed to its standard error.
        case errorData = 3
        /// The sender has no more bytes for the stream.
        case end = 4
        /// The sender has taken some bytes of the stream; the payload, a big-endian UInt32, says how many more it will take.
        case credit = 5
        /// The operator wants the request ended.
        case cancel = 6
    }

    /// The most bytes of a payload.
    public static let payloadLimit = 1 << 20
    /// The bytes before the payload.
    static let headerSize = 9

    /// What it is.
    public var kind: Kind
    /// The number of its stream.
    public var stream: UInt32
    /// What it carries.
    public var payload: Data

    /// Makes a frame.
    public init(_ kind: Kind, stream: UInt32, payload: Data = Data()) {
        self.kind = kind
        self.stream = stream
        self.payload = payload
    }

    /// The frame's bytes.
    ///
    /// - Throws: `Failure` of kind `software` when the payload is too large.
    public func encoded() throws -> Data {
        guard payload.count <= Self.payloadLimit else {
            throw Failure(
                .software, "a message for the agent has \(payload.count) bytes, more than \(Self.payloadLimit)")
        }
        var bytes = Data(capacity: Self.headerSize + payload.count)
        withUnsafeBytes(of: UInt32(payload.count).bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(kind.rawValue)
        withUnsafeBytes(of: stream.bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(payload)
        return bytes
    }

    /// A credit frame.
    static func credit(_ count: Int, stream: UInt32) -> Frame {
        Frame(.credit, stream: stream, payload: withUnsafeBytes(of: UInt32(clamping: count).bigEndian) { Data($0) })
    }
}

/// Makes frames of bytes that come in pieces of any size.
public struct FrameDecoder: Sendable {
    private var bytes = Data()
    private var start = 0

    /// Makes a decoder at the beginning of a connection.
    public init() {}

    /// Whether the connection may end here.
    public var isAtBoundary: Bool { bytes.count == start }

    /// Takes more bytes.
    public mutating func append(_ more: Data) {
        if isAtBoundary {
            bytes = more
            start = 0
            return
        }
        if start > 0, start >= bytes.count / 2 {
            bytes.removeSubrange(bytes.startIndex..<bytes.startIndex + start)
            start = 0
        }
        bytes.append(more)
    }

    /// The next whole frame; nil when more bytes are needed.
    ///
    /// - Throws: `Failure` of kind `integrity` for a frame that is too long or of an unknown kind.
    public mutating func next() throws -> Frame? {
        let available = bytes.count - start
        guard available >= Frame.headerSize else { return nil }
        let base = bytes.startIndex + start
        let length = Int(number(at: base))
        guard length <= Frame.payloadLimit else {
            throw Failure(
                .integrity,
                "a frame of \(length) bytes came, more than \(Frame.payloadLimit): this is not the agent's protocol"
            )
        }
        guard let kind = Frame.Kind(rawValue: bytes[base + 4]) else {
            throw Failure(
                .integrity, "a frame of the unknown kind \(bytes[base + 4]) came: this is not the agent's protocol")
        }
        guard available >= Frame.headerSize + length else { return nil }
        let payload = base + Frame.headerSize
        let frame = Frame(kind, stream: number(at: base + 5), payload: Data(bytes[payload..<payload + length]))
        start += Frame.headerSize + length
        return frame
    }

    private func number(at index: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 << 8 | UInt32(bytes[index + $1]) }
    }
}
