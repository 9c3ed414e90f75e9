import FoundationEssentials
import LinuxSystem
import NIOCore
import NIOPosix
import NIOSSL
import Report

/// Asks a backend how it is.
enum HealthCheck {
    /// Sees whether a backend takes a connection.
    ///
    /// - Returns: what is wrong; nil when it is well.
    static func tcp(_ endpoint: BalancerEndpoint, limit: Duration) async -> String? {
        do {
            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connectTimeout(TimeAmount(limit))
                .connect(to: endpoint.address)
                .get()
            channel.close(promise: nil)
            return nil
        } catch {
            return "connect: \(words(of: error))"
        }
    }

    /// Sees whether a backend answers a GET over TLS with 200. Its certificate must be of the context's authorities and for
    /// its address.
    ///
    /// - Returns: what is wrong; nil when it is well.
    static func https(
        _ endpoint: BalancerEndpoint, path: String, context: NIOSSLContext, limit: Duration
    ) async -> String? {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let promise = loop.makePromise(of: Int.self)
        let request =
            "GET \(path) HTTP/1.1\r\nHost: \(endpoint)\r\nUser-Agent: sealer-balancer\r\nConnection: close\r\n\r\n"
        let end = NIODeadline.now() + TimeAmount(limit)
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: loop)
                .connectTimeout(TimeAmount(limit))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        // Without a name the certificate is compared with the address that was connected to.
                        try channel.pipeline.syncOperations.addHandlers([
                            NIOSSLClientHandler(context: context, serverHostname: nil),
                            AnswerHandler(request: request, promise: promise),
                        ])
                    }
                }
                .connect(to: endpoint.address)
                .get()
        } catch {
            // The handler may never have been there to see to it; a promise that is kept already stays as it is.
            promise.fail(error)
            return "connect: \(words(of: error))"
        }
        let alarm = loop.scheduleTask(deadline: end) {
            promise.fail(ChannelError.connectTimeout(TimeAmount(limit)))
            channel.close(promise: nil)
        }
        defer {
            alarm.cancel()
            channel.close(promise: nil)
        }
        do {
            let status = try await promise.futureResult.get()
            return status == 200 ? nil : "GET \(path): status \(status)"
        } catch {
            return "GET \(path): \(words(of: error))"
        }
    }

    /// Makes a context for `https`.
    ///
    /// - Parameter authorities: PEM; nil for the system's own.
    /// - Throws: `Failure` of kind `invalidInput` when there is no certificate in it.
    static func context(authorities: Data?, at place: String) async throws -> NIOSSLContext {
        try await BlockingPool.shared.run {
            var configuration = TLSConfiguration.makeClientConfiguration()
            configuration.minimumTLSVersion = .tlsv12
            configuration.applicationProtocols = ["http/1.1"]
            do {
                if let authorities {
                    let certificates = try NIOSSLCertificate.fromPEMBytes(Array(authorities))
                    guard !certificates.isEmpty else { throw Failure(.invalidInput, "it is empty") }
                    configuration.trustRoots = .certificates(certificates)
                }
                return try NIOSSLContext(configuration: configuration)
            } catch {
                throw Failure(.invalidInput, "the file holds no certificate (PEM)", at: place, causes: [error])
            }
        }
    }
}

/// Sends a request and keeps a promise with the answer's status.
private final class AnswerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let request: String
    private let promise: EventLoopPromise<Int>
    private var answer: [UInt8] = []

    init(request: String, promise: EventLoopPromise<Int>) {
        self.request = request
        self.promise = promise
    }

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: request)), promise: nil)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard answer.count <= StatusLine.limit else { return }
        answer.append(contentsOf: unwrapInboundIn(data).readableBytesView.prefix(StatusLine.limit + 1))
        switch StatusLine.read(answer) {
        case .incomplete: return
        case .status(let status): promise.succeed(status)
        case .wrong: promise.fail(Failure(.integrity, "the answer is no HTTP"))
        }
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        promise.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        promise.fail(Failure(.unreachable, "the connection ended without an answer"))
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        promise.fail(Failure(.unreachable, "the connection ended without an answer"))
    }
}
