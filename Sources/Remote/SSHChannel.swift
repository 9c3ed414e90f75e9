import FoundationEssentials
import Glibc
import Report
import Synchronization

/// A program on a host, behind an ssh that runs over the host's connection.
final class SSHChannel: ByteChannel {
    private let child: ChildProcess
    private let host: String
    private let first: Mutex<Data?>
    private let tail = Mutex(TextTail())

    /// - Parameter first: what the program printed before now.
    init(_ child: ChildProcess, host: String, first: Data) {
        self.child = child
        self.host = host
        self.first = Mutex(first.isEmpty ? nil : first)
    }

    func write(_ bytes: Data) async throws {
        try await child.write(bytes)
    }

    func read() async throws -> Data? {
        let first = first.withLock { first in
            defer { first = nil }
            return first
        }
        if let first { return first }
        while true {
            switch try await child.next(until: .now + .seconds(3600)) {
            case .output(let bytes): return bytes
            case .error(let bytes): tail.withLock { $0.append(bytes) }
            case .exited(255):
                // ssh's own status: the program did not end, or nobody knows how.
                throw Failure(.unreachable, "the connection over SSH was lost", at: host)
            case .exited: return nil
            case .expired: continue
            }
        }
    }

    func closeInput() async {
        await child.closeInput()
    }

    func terminate() async {
        // The program reads its end of file; ssh ends with the program, or by signal when that takes too long.
        await child.dropInput()
        let child = child
        Task.detached {
            for signal in [SIGTERM, SIGKILL] {
                try await Task.sleep(for: .seconds(5))
                child.signal(signal)
            }
        }
    }

    var errorTail: String { tail.withLock { $0.text } }
}
