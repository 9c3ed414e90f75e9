import Glibc
import Synchronization

/// Where a command's results or messages go.
public protocol TextOutput: Sendable {
    /// Writes the text as it is.
    func write(_ text: String)
}

extension TextOutput {
    /// Writes a line.
    public func line(_ text: String) { write(text + "\n") }
}

/// Writes to an open descriptor, whole texts at a time.
///
/// A reader that went away (`sealer images | head -1`) is no error: what comes after is dropped, and `isClosed` tells. The
/// process has to ignore SIGPIPE.
public final class DescriptorOutput: TextOutput {
    /// The process's standard output.
    public static let standardOutput = DescriptorOutput(1)
    /// The process's standard error.
    public static let standardError = DescriptorOutput(2)

    private let descriptor: Int32
    private let closed = Mutex(false)

    /// Makes an output to a descriptor, which stays open.
    public init(_ descriptor: Int32) {
        self.descriptor = descriptor
    }

    /// Whether the other side has gone away, or the disk is full.
    public var isClosed: Bool { closed.withLock { $0 } }

    /// Writes all of the text, or drops it when nobody reads any more.
    public func write(_ text: String) {
        let bytes = Array(text.utf8)
        closed.withLock { closed in
            var position = 0
            while position < bytes.count, !closed {
                let count = bytes[position...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
                if count >= 0 {
                    position += count
                } else if errno == EAGAIN {
                    // Somebody made the terminal non-blocking. It gets ten seconds to take something.
                    var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    if Glibc.poll(&poll, 1, 10_000) == 0 { closed = true }
                } else if errno != EINTR {
                    closed = true
                }
            }
        }
    }
}

/// Keeps what is written, for tests of commands.
public final class CapturedOutput: TextOutput {
    private let captured = Mutex("")

    /// Makes an empty output.
    public init() {}

    /// Appends the text.
    public func write(_ text: String) { captured.withLock { $0 += text } }

    /// All that was written.
    public var text: String { captured.withLock { $0 } }
}
