import FoundationEssentials
import SystemPackage

/// A way to a host: it puts a file there and starts a program whose standard streams come back as a channel. All else is said
/// to the agent over that channel.
public protocol Transport: Sendable {
    /// The host's name for people.
    var host: String { get }

    /// Makes sure that the host can be reached at all, where there is something to make.
    func reach() async throws

    /// Ends what `reach` made, and with it whatever runs over it.
    func close() async throws

    /// Puts a file of this machine onto the host, making the folders above it.
    func place(_ file: FilePath, at path: FilePath, permissions: FilePermissions) async throws

    /// Starts a program by its absolute path. That the program is not there may show only when the channel ends.
    func start(_ command: [String]) async throws -> any ByteChannel
}

extension Transport {
    /// Does nothing: for ways that need no connection.
    public func reach() async throws {}
    /// Does nothing: for ways that need no connection.
    public func close() async throws {}
}

/// Bytes to a program and from it. One task writes, one reads.
public protocol ByteChannel: Sendable {
    /// Sends bytes; returns when the other side took them, so that nobody writes faster than it reads.
    func write(_ bytes: Data) async throws

    /// The next bytes, some at a time; nil at the end.
    func read() async throws -> Data?

    /// Ends what is sent: the program reads its end of file.
    func closeInput() async

    /// Ends the connection and, where that is possible, the program. A read that waits returns.
    func terminate() async

    /// The end of what the program printed to its standard error, at most `TextTail.limit` bytes.
    var errorTail: String { get }
}

/// The end of a text of unknown length.
public struct TextTail: Sendable {
    /// The most bytes that are kept.
    public static let limit = 8 << 10

    private var bytes = Data()

    /// Makes an empty one.
    public init() {}

    /// Appends bytes and drops the oldest beyond the limit.
    public mutating func append(_ more: Data) {
        bytes.append(more.suffix(Self.limit))
        if bytes.count > 2 * Self.limit { bytes = Data(bytes.suffix(Self.limit)) }
    }

    /// What is kept, as text without white space at its ends.
    public var text: String {
        let text = String(decoding: bytes.suffix(Self.limit), as: UTF8.self)
        guard let first = text.firstIndex(where: { !$0.isWhitespace }),
            let last = text.lastIndex(where: { !$0.isWhitespace })
        else { return "" }
        return String(text[first...last])
    }
}
