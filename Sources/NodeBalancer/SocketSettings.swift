import Glibc
import NIOCore
import NIOPosix

/// What every socket of the balancer is set to: small messages go at once, a peer that vanished without a word is found
/// out in about a minute and a half, and what waits to be written stays small.
private enum SocketSettings {
    static let flags: [(ChannelOptions.Types.SocketOption, Int)] = [
        (ChannelOptions.tcpOption(.tcp_nodelay), 1),
        (ChannelOptions.socketOption(.so_keepalive), 1),
        (ChannelOptions.tcpOption(.init(rawValue: TCP_KEEPIDLE)), 60),
        (ChannelOptions.tcpOption(.init(rawValue: TCP_KEEPINTVL)), 10),
        (ChannelOptions.tcpOption(.init(rawValue: TCP_KEEPCNT)), 3),
    ]
    static let waterMark = ChannelOptions.Types.WriteBufferWaterMark(low: 64 << 10, high: 256 << 10)
    static let reading = AdaptiveRecvByteBufferAllocator(minimum: 2048, initial: 16 << 10, maximum: 128 << 10)
}

extension ClientBootstrap {
    func balancerSocketOptions() -> ClientBootstrap {
        SocketSettings.flags.reduce(self) { $0.channelOption($1.0, value: $1.1) }
            .channelOption(ChannelOptions.writeBufferWaterMark, value: SocketSettings.waterMark)
            .channelOption(ChannelOptions.recvAllocator, value: SocketSettings.reading)
    }
}

extension ServerBootstrap {
    func balancerChildSocketOptions() -> ServerBootstrap {
        SocketSettings.flags.reduce(self) { $0.childChannelOption($1.0, value: $1.1) }
            .childChannelOption(ChannelOptions.writeBufferWaterMark, value: SocketSettings.waterMark)
            .childChannelOption(ChannelOptions.recvAllocator, value: SocketSettings.reading)
    }
}

/// What an error of a connection is, in a few words.
func words(of error: any Error) -> String {
    switch error {
    case let error as NIOConnectionError:
        error.connectionErrors.first.map { words(of: $0.error) } ?? "no connection"
    case ChannelError.connectTimeout: "no answer in time"
    case let error as IOError: String(cString: strerror(error.errnoCode))
    default: String(describing: error)
    }
}
