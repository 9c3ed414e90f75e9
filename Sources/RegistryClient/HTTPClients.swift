import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import Report
import Synchronization

/// How requests get to a place.
enum Way: Hashable, Sendable {
    /// Straight there.
    case direct
    /// As bytes that a proxy passes on unseen: `CONNECT`, or SOCKS.
    case tunnel(Proxy)
    /// As a request that the proxy reads and makes itself: plain http.
    case forward(Proxy)

    /// The proxy, if there is one.
    var proxy: Proxy? {
        switch self {
        case .direct: nil
        case .tunnel(let proxy), .forward(let proxy): proxy
        }
    }
}

/// The HTTP clients, one for each way: a client's connections all go the same one.
final class HTTPClients: Sendable {
    private struct State {
        var clients: [Way: HTTPClient] = [:]
        var isClosed = false
    }

    private let configuration: HTTPClient.Configuration
    private let state = Mutex(State())

    init(_ configuration: HTTPClient.Configuration) {
        self.configuration = configuration
    }

    deinit {
        let clients = take()
        guard !clients.isEmpty else { return }
        Task.detached { for client in clients { try await client.shutdown() } }
    }

    /// Closes all connections; nothing can be sent after it.
    func close() async {
        // Whatever a closing connection has to complain about, nobody waits for it any more.
        for client in take() { try? await client.shutdown() }
    }

    private func take() -> [HTTPClient] {
        state.withLock { state in
            defer { state = State(isClosed: true) }
            return Array(state.clients.values)
        }
    }

    /// The client for a way, made when it is needed.
    subscript(way: Way) -> HTTPClient {
        get throws {
            try state.withLock { state in
                if let known = state.clients[way] { return known }
                guard !state.isClosed else { throw Failure(.software, "a registry was asked after the client's end") }
                let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration(for: way))
                state.clients[way] = client
                return client
            }
        }
    }

    private func configuration(for way: Way) -> HTTPClient.Configuration {
        var configuration = configuration
        switch way {
        case .direct: break
        case .tunnel(let proxy):
            switch proxy.kind {
            case .http:
                let login = proxy.login.map { HTTPClient.Authorization.basic(username: $0.user, password: $0.password) }
                configuration.proxy = .server(host: proxy.host, port: proxy.port, authorization: login)
            case .socks: configuration.proxy = .socksServer(host: proxy.host, port: proxy.port)
            }
        case .forward(let proxy):
            // The client knows proxies only by CONNECT, which most refuse for anything but https.
            configuration.http1_1ConnectionDebugInitializer = { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    let encoder = try pipeline.handler(type: HTTPRequestEncoder.self)
                    try pipeline.addHandler(ForwardedRequests(proxy), position: .after(encoder))
                }
            }
        }
        return configuration
    }
}

/// Gives requests to a proxy the form that it needs: the whole address in the first line (RFC 9112 §3.2.2), and who we are.
private final class ForwardedRequests: ChannelOutboundHandler {
    typealias OutboundIn = HTTPClientRequestPart
    typealias OutboundOut = HTTPClientRequestPart

    private let proxy: Proxy

    init(_ proxy: Proxy) {
        self.proxy = proxy
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard case .head(var head) = unwrapOutboundIn(data) else { return context.write(data, promise: promise) }
        head.uri = "http://\(head.headers.first(name: "host") ?? "")\(head.uri)"
        if let authorization = proxy.authorization {
            head.headers.replaceOrAdd(name: "Proxy-Authorization", value: authorization)
        }
        context.write(wrapOutboundOut(.head(head)), promise: promise)
    }
}
