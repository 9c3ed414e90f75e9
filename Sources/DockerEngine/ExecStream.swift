import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOPosix
import Report
import Synchronization
import SystemPackage

/// The three standard streams of a process in a container, over one connection to the engine.
///
/// One task reads, one writes. Both wait while the other side is slower.
public final class ExecStream: Sendable {
    /// Some bytes that the process printed.
    public enum Chunk: Sendable, Hashable {
        /// To its standard output.
        case output(Data)
        /// To its standard error.
        case error(Data)
    }

    private struct Incoming {
        var demultiplexer = StreamDemultiplexer()
        var bytes: ByteBuffer
    }

    /// The engine's name of this execution.
    public let id: String
    private let client: DockerClient
    private let channel: any Channel
    private let handler: NIOLoopBound<RawStreamHandler>
    private let incoming: Mutex<Incoming>

    init(id: String, client: DockerClient, connection: RawConnection, leftOver: ByteBuffer) {
        self.id = id
        self.client = client
        channel = connection.channel
        handler = connection.handler
        incoming = Mutex(Incoming(bytes: leftOver))
    }

    /// Sends bytes to the process' standard input; returns when the connection took them.
    public func write(_ bytes: Data) async throws {
        do {
            try await channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
        } catch {
            throw client.socket.explain(error, purpose: "write to a process in a container")
        }
    }

    /// The next bytes that the process printed; nil when both its streams have ended.
    ///
    /// - Throws: `Failure` of kind `integrity` when the stream is not what it should be, `unreachable` when it was cut off.
    public func next() async throws -> Chunk? {
        while true {
            let piece = try incoming.withLock { incoming in
                try incoming.demultiplexer.next(&incoming.bytes)
            }
            switch piece {
            case .output(let bytes): return .output(Data(bytes.readableBytesView))
            case .error(let bytes): return .error(Data(bytes.readableBytesView))
            case nil: break
            }
            let more: ByteBuffer?
            do {
                more = try await RawConnection.next(handler, on: channel.eventLoop)
            } catch {
                throw client.socket.explain(error, purpose: "read from a process in a container")
            }
            guard let more else {
                guard incoming.withLock({ $0.demultiplexer.isAtBoundary }) else {
                    throw Failure(
                        .unreachable,
                        "the Docker engine cut the output of a process off in the middle",
                        at: client.socket.path.string
                    )
                }
                return nil
            }
            incoming.withLock { $0.bytes = more }
        }
    }

    /// Ends the process' standard input.
    public func closeInput() async {
        // A connection that is gone has no input to end.
        _ = try? await channel.close(mode: .output).get()
    }

    /// Ends the connection. The process sees the end of its standard input; the engine has no call to kill it.
    public func close() async {
        _ = try? await channel.close().get()
    }

    /// The exit code; nil while the process runs.
    public func exitCode() async throws -> Int? {
        let answer: Execution = try await client.json(.GET, "/exec/\(id)/json", purpose: "ask how a process ended")
        return answer.isRunning ? nil : answer.exitCode
    }

    private struct Execution: Decodable, Sendable {
        var isRunning: Bool
        var exitCode: Int?

        private enum CodingKeys: String, CodingKey {
            case isRunning = "Running"
            case exitCode = "ExitCode"
        }
    }
}

/// A connection to the engine that carries plain bytes.
struct RawConnection: Sendable {
    let channel: any Channel
    let handler: NIOLoopBound<RawStreamHandler>

    static func open(_ socket: DockerSocket) async throws -> RawConnection {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        // Set by the initializer, which runs before `connect` returns.
        let handler = Mutex<NIOLoopBound<RawStreamHandler>?>(nil)
        let channel = try await ClientBootstrap(group: loop)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 4096, initial: 1 << 16, maximum: 1 << 18)
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let raw = RawStreamHandler()
                    try channel.pipeline.syncOperations.addHandler(raw)
                    handler.withLock { $0 = NIOLoopBound(raw, eventLoop: channel.eventLoop) }
                }
            }
            .connect(unixDomainSocketPath: socket.path.string).get()
        guard let handler = handler.withLock({ $0 }) else {
            throw Failure(.software, "a connection came up without its handler", at: socket.path.string)
        }
        return RawConnection(channel: channel, handler: handler)
    }

    static func next(_ handler: NIOLoopBound<RawStreamHandler>, on loop: any EventLoop) async throws -> ByteBuffer? {
        try await loop.flatSubmit { handler.value.next(on: loop) }.get()
    }
}
