import FoundationEssentials
import Remote
import Synchronization

/// Two ends of a connection that lives in memory.
final class MemoryChannel: ByteChannel {
    private struct Inbox {
        var pieces: [Data] = []
        var hasEnded = false
        var reader: CheckedContinuation<Data?, Never>?
    }

    /// What one end has sent and the other one has not read.
    private final class Pipe: Sendable {
        private let inbox = Mutex(Inbox())

        func put(_ bytes: Data) -> Bool {
            let (isOpen, reader) = inbox.withLock { inbox -> (Bool, CheckedContinuation<Data?, Never>?) in
                guard !inbox.hasEnded else { return (false, nil) }
                guard let reader = inbox.reader else {
                    inbox.pieces.append(bytes)
                    return (true, nil)
                }
                inbox.reader = nil
                return (true, reader)
            }
            reader?.resume(returning: bytes)
            return isOpen
        }

        func end() {
            let reader = inbox.withLock { inbox in
                defer { (inbox.hasEnded, inbox.reader) = (true, nil) }
                return inbox.reader
            }
            reader?.resume(returning: nil)
        }

        func next() async -> Data? {
            await withCheckedContinuation { continuation in
                let found: Data?? = inbox.withLock { inbox in
                    if !inbox.pieces.isEmpty { return .some(inbox.pieces.removeFirst()) }
                    if inbox.hasEnded { return .some(nil) }
                    inbox.reader = continuation
                    return nil
                }
                if let found { continuation.resume(returning: found) }
            }
        }
    }

    private let incoming: Pipe
    private let outgoing: Pipe

    private init(incoming: Pipe, outgoing: Pipe) {
        self.incoming = incoming
        self.outgoing = outgoing
    }

    static func pair() -> (MemoryChannel, MemoryChannel) {
        let (there, back) = (Pipe(), Pipe())
        return (MemoryChannel(incoming: back, outgoing: there), MemoryChannel(incoming: there, outgoing: back))
    }

    struct Closed: Error {}

    func write(_ bytes: Data) async throws {
        guard outgoing.put(bytes) else { throw Closed() }
    }

    func read() async throws -> Data? { await incoming.next() }
    func closeInput() async { outgoing.end() }

    func terminate() async {
        incoming.end()
        outgoing.end()
    }

    var errorTail: String { "" }
}
