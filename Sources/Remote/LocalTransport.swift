import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import Synchronization
import SystemPackage

/// The way to this very machine: files are copied, programs are children with pipes.
public struct LocalTransport: Transport {
    /// The host's name for people.
    public let host: String

    /// Makes the transport.
    public init(host: String = "localhost") {
        self.host = host
    }

    /// Copies a file: to a temporary name first, which is then renamed.
    public func place(_ file: FilePath, at path: FilePath, permissions: FilePermissions) async throws {
        try await BlockingPool.shared.run { cancellation in
            let bytes = try LinuxSystem.readFile(file, limit: 1 << 30)
            try cancellation.check()
            try Folder.make(path.removingLastComponent())
            try AtomicFile.write(bytes, to: path, permissions: permissions)
        }
    }

    /// Starts a program as a child.
    public func start(_ command: [String]) async throws -> any ByteChannel {
        ChildChannel(try await ChildProcess.start(RemoteCommand(command)))
    }
}

/// A child's standard streams as a channel.
private final class ChildChannel: ByteChannel {
    private let child: ChildProcess
    private let tail = Mutex(TextTail())

    init(_ child: ChildProcess) {
        self.child = child
    }

    func write(_ bytes: Data) async throws {
        try await child.write(bytes)
    }

    func read() async throws -> Data? {
        while true {
            switch try await child.next(until: .now + .seconds(3600)) {
            case .output(let bytes): return bytes
            case .error(let bytes): tail.withLock { $0.append(bytes) }
            case .exited: return nil
            case .expired: continue
            }
        }
    }

    func closeInput() async {
        await child.closeInput()
    }

    func terminate() async {
        // The end of its input is an agent's sign to clean up and go; the signals are for one that does not.
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
