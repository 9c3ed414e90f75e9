import NIOCore
import NIOPosix
import Synchronization

/// A proxy as others run it: passes plain requests on, opens tunnels by CONNECT and by SOCKS 5. Names lead where a test says.
final class TestProxy: Sendable {
    /// What it was asked for.
    struct Request: Sendable, Hashable {
        /// The first line, or `SOCKS HOST:PORT`.
        var line: String
        var headers: [String: String] = [:]
    }

    private let channel: any Channel
    private let seen: Recorder
    let port: Int

    private init(channel: any Channel, seen: Recorder) {
        self.channel = channel
        self.seen = seen
        port = channel.localAddress?.port ?? 0
    }

    /// Every request so far.
    var requests: [Request] { seen.requests.withLock { $0 } }
    /// The first lines, each once, in their order.
    var lines: [String] {
        var known: Set<String> = []
        return requests.map(\.line).filter { known.insert($0).inserted }
    }

    /// Starts it.
    ///
    /// - Parameters:
    ///   - authorization: what `Proxy-Authorization` must be.
    ///   - status: what all requests are answered with, instead of being passed on.
    ///   - ports: the ports of this machine that stand for places, `HOST:PORT`.
    static func start(authorization: String? = nil, status: Int? = nil, to ports: [String: Int]) async throws
        -> TestProxy
    {
        let recorder = Recorder()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        Client(authorization: authorization, status: status, ports: ports, recorder: recorder))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return TestProxy(channel: channel, seen: recorder)
    }

    func stop() async throws {
        try await channel.close()
    }

    private final class Recorder: Sendable {
        let requests = Mutex<[Request]>([])
    }

    /// Takes what the server sends back to the client.
    private final class Back: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let client: any Channel
        init(to client: any Channel) { self.client = client }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            client.writeAndFlush(unwrapInboundIn(data), promise: nil)
        }
        func channelInactive(context: ChannelHandlerContext) { client.close(promise: nil) }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }

    /// The side of one client.
    private final class Client: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private enum Mode { case http, socksGreeted, tunnel }

        private let authorization: String?
        private let status: Int?
        private let ports: [String: Int]
        private let recorder: Recorder
        private var mode = Mode.http
        private var received: [UInt8] = []
        private var server: (place: String, channel: any Channel)?

        init(authorization: String?, status: Int?, ports: [String: Int], recorder: Recorder) {
            (self.authorization, self.status, self.ports, self.recorder) = (authorization, status, ports, recorder)
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data)
            if mode == .tunnel {
                server?.channel.writeAndFlush(bytes, promise: nil)
                return
            }
            received += bytes.readableBytesView
            if mode == .socksGreeted || received.first == 5 { socks(context) } else { http(context) }
        }

        func channelInactive(context: ChannelHandlerContext) {
            server?.channel.close(promise: nil)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }

        private func send(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
        }

        private func answer(_ status: Int, _ context: ChannelHandlerContext, _ lines: String = "Content-Length: 0\r\n")
        {
            send(Array("HTTP/1.1 \(status) X\r\n\(lines)\r\n".utf8), context)
        }

        /// Opens a way to a place and goes on when it is open.
        private func connect(
            _ place: String, _ context: ChannelHandlerContext, then: @escaping (any Channel) -> Void
        ) {
            if let server, server.place == place { return then(server.channel) }
            server?.channel.close(promise: nil)
            let client = context.channel
            ClientBootstrap(group: context.eventLoop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(Back(to: client))
                    }
                }
                .connect(host: "127.0.0.1", port: ports[place] ?? 1)
                .assumeIsolated()
                .whenComplete { result in
                    switch result {
                    case .failure: self.answer(502, context)
                    case .success(let channel):
                        self.server = (place, channel)
                        then(channel)
                    }
                }
        }

        // MARK: - HTTP

        private func http(_ context: ChannelHandlerContext) {
            guard let end = received.firstRange(of: Array("\r\n\r\n".utf8)) else { return }
            var lines = String(decoding: received[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
                .map(String.init)
            var headers: [String: String] = [:]
            for line in lines.dropFirst() {
                let pair = line.split(separator: ":", maxSplits: 1)
                if pair.count == 2 { headers[pair[0].lowercased()] = String(pair[1].drop { $0 == " " }) }
            }
            let words = lines[0].split(separator: " ").map(String.init)
            let length = headers["content-length"].flatMap { Int($0) } ?? 0
            guard words.count == 3, received.count >= end.upperBound + length else { return }
            let body = Array(received[end.upperBound..<(end.upperBound + length)])
            received.removeFirst(end.upperBound + length)
            recorder.requests.withLock { $0.append(Request(line: lines[0], headers: headers)) }
            if let authorization, headers["proxy-authorization"] != authorization {
                return answer(407, context, "Proxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n")
            }
            if let status { return answer(status, context) }
            if words[0] == "CONNECT" {
                return connect(words[1], context) { _ in
                    self.mode = .tunnel
                    self.answer(200, context, "")
                }
            }
            guard words[1].hasPrefix("http://") else { return answer(400, context) }
            let rest = words[1].dropFirst("http://".count)
            let place = rest.prefix { $0 != "/" }
            lines[0] = "\(words[0]) \(rest.dropFirst(place.count)) HTTP/1.1"
            lines.removeAll { $0.lowercased().hasPrefix("proxy-authorization:") }
            let request = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) + body
            connect(place.contains(":") ? String(place) : "\(place):80", context) {
                $0.writeAndFlush(ByteBuffer(bytes: request), promise: nil)
            }
        }

        // MARK: - SOCKS 5 (RFC 1928), for names and without a login

        private func socks(_ context: ChannelHandlerContext) {
            guard mode == .socksGreeted else {
                guard received.count >= 2, received.count >= 2 + Int(received[1]) else { return }
                received.removeFirst(2 + Int(received[1]))
                mode = .socksGreeted
                send([5, 0], context)
                return received.isEmpty ? () : socks(context)
            }
            guard received.count >= 5, received[3] == 3, received.count >= 7 + Int(received[4]) else { return }
            let end = 5 + Int(received[4])
            let place =
                "\(String(decoding: received[5..<end], as: UTF8.self)):\(Int(received[end]) << 8 | Int(received[end + 1]))"
            received = []
            recorder.requests.withLock { $0.append(Request(line: "SOCKS \(place)")) }
            connect(place, context) { _ in
                self.mode = .tunnel
                self.send([5, 0, 0, 1, 0, 0, 0, 0, 0, 0], context)
            }
        }
    }
}
