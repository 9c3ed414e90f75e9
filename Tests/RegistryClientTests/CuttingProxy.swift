import NIOCore
import NIOPosix
import Synchronization

/// Stands between a client and a real registry and closes some connections in the middle of what they carry.
final class CuttingProxy: Sendable {
    /// Which bytes are counted.
    enum Direction: Sendable {
        /// To the registry.
        case up
        /// To the client.
        case down
    }

    private let channel: any Channel
    private let cuts: Cuts
    let port: Int

    private init(channel: any Channel, cuts: Cuts) {
        self.channel = channel
        self.cuts = cuts
        port = channel.localAddress?.port ?? 0
    }

    var host: String { "127.0.0.1:\(port)" }
    /// How many connections it has closed.
    var count: Int { cuts.count }

    /// Starts it.
    ///
    /// - Parameters:
    ///   - times: how many connections are closed; the others live.
    ///   - bytes: how many bytes such a connection has carried then.
    static func start(to target: Int, cutting direction: Direction, after bytes: Int, times: Int) async throws
        -> CuttingProxy
    {
        let cuts = Cuts(times)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(ChannelOptions.autoRead, value: false)
            .childChannelInitializer { client in
                ClientBootstrap(group: client.eventLoop)
                    .channelInitializer { server in
                        server.eventLoop.makeCompletedFuture {
                            let down = direction == .down ? (bytes, cuts) : nil
                            try server.pipeline.syncOperations.addHandler(Copier(to: client, cut: down))
                        }
                    }
                    .connect(host: "127.0.0.1", port: target)
                    .flatMapThrowing { server in
                        let up = direction == .up ? (bytes, cuts) : nil
                        try client.pipeline.syncOperations.addHandler(Copier(to: server, cut: up))
                    }
                    .flatMap { client.setOption(ChannelOptions.autoRead, value: true) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return CuttingProxy(channel: channel, cuts: cuts)
    }

    func stop() async throws {
        try await channel.close()
    }

    private final class Cuts: Sendable {
        private let times: Int
        private let done = Mutex(0)
        var count: Int { done.withLock { $0 } }
        init(_ times: Int) { self.times = times }
        func take() -> Bool {
            done.withLock { done in
                guard done < times else { return false }
                done += 1
                return true
            }
        }
    }

    /// Passes bytes on to another channel.
    private final class Copier: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let other: any Channel
        private let cut: (bytes: Int, cuts: Cuts)?
        private var carried = 0

        init(to other: any Channel, cut: (Int, Cuts)?) {
            self.other = other
            self.cut = cut
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data)
            carried += bytes.readableBytes
            other.writeAndFlush(bytes, promise: nil)
            if let cut, carried >= cut.bytes, carried - bytes.readableBytes < cut.bytes, cut.cuts.take() {
                other.close(promise: nil)
                context.close(promise: nil)
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            other.close(promise: nil)
            context.fireChannelInactive()
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }
}
