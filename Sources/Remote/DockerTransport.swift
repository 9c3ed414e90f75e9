import DockerEngine
import FoundationEssentials
import Report
import Synchronization
import SystemPackage

/// The way into a container: files by the engine's archive call, programs by its exec stream.
public struct DockerTransport: Transport {
    /// The host's name for people.
    public let host: String
    private let engine: DockerClient
    private let container: String

    /// Names the container.
    public init(_ engine: DockerClient, container: String, host: String) {
        self.engine = engine
        self.container = container
        self.host = host
    }

    /// Puts a file into the container; its memory file systems cannot be reached.
    public func place(_ file: FilePath, at path: FilePath, permissions: FilePermissions) async throws {
        try await engine.place(file, in: container, at: path, permissions: permissions)
    }

    /// Starts a program in the container.
    public func start(_ command: [String]) async throws -> any ByteChannel {
        ExecChannel(try await engine.start(command, in: container))
    }
}

/// A program in a container.
private final class ExecChannel: ByteChannel {
    private let stream: ExecStream
    private let tail = Mutex(TextTail())

    init(_ stream: ExecStream) {
        self.stream = stream
    }

    func write(_ bytes: Data) async throws {
        try await stream.write(bytes)
    }

    func read() async throws -> Data? {
        while let chunk = try await stream.next() {
            switch chunk {
            case .output(let bytes): return bytes
            case .error(let bytes): tail.withLock { $0.append(bytes) }
            }
        }
        return nil
    }

    func closeInput() async {
        await stream.closeInput()
    }

    func terminate() async {
        await stream.close()
    }

    var errorTail: String { tail.withLock { $0.text } }
}
