import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOPosix
import Report
import SystemPackage

/// What the engine answered.
struct EngineResponse: Sendable {
    var status: Int
    var headers: HTTPHeaders
    var body: Data
}

/// What is sent with a request.
enum RequestBody: Sendable {
    case none
    case json(Data)
    /// A body of known length that is produced as the engine takes it.
    case stream(
        type: String,
        length: Int64,
        produce: @Sendable (_ send: @Sendable (ByteBuffer) async throws -> Void) async throws -> Void
    )
}

/// One request of the engine and what bounds it.
struct EngineRequest: Sendable {
    var method: HTTPMethod
    /// With the API version and the query.
    var path: String
    var body: RequestBody = .none
    /// What the request is for, as in "wanted to PURPOSE".
    var purpose: String
    var limit: Duration
    /// The most bytes of an answer that are accepted.
    var bodyLimit = 16 << 20
}

/// Collects the one response of a connection.
final class ExchangeHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let result: EventLoopPromise<EngineResponse>
    private let limit: Int
    private let socket: DockerSocket
    private let purpose: String
    private var head: HTTPResponseHead?
    private var body = Data()
    private var isDone = false

    init(result: EventLoopPromise<EngineResponse>, request: EngineRequest, socket: DockerSocket) {
        self.result = result
        self.limit = request.bodyLimit
        self.purpose = request.purpose
        self.socket = socket
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
        case .body(let bytes):
            guard body.count + bytes.readableBytes <= limit else {
                let failure = Failure(
                    .integrity,
                    "the Docker engine's answer has more than \(limit) bytes, wanted to \(purpose)",
                    at: socket.path.string
                )
                finish(context, .failure(failure))
                return
            }
            body.append(contentsOf: bytes.readableBytesView)
        case .end:
            guard let head else { return }
            let response = EngineResponse(status: Int(head.status.code), headers: head.headers, body: body)
            finish(context, .success(response))
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if case HTTPParserError.invalidEOFState = error {
            finish(context, .failure(cut))
        } else if error is HTTPParserError {
            let failure = Failure(
                .integrity,
                "what answers at the Docker engine's socket does not speak HTTP, wanted to \(purpose)",
                at: socket.path.string,
                causes: [error]
            )
            finish(context, .failure(failure))
        } else {
            finish(context, .failure(socket.explain(error, purpose: purpose)))
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish(context, .failure(cut))
        context.fireChannelInactive()
    }

    private var cut: Failure {
        Failure(
            .unreachable,
            "the Docker engine cut the connection before its answer was complete, wanted to \(purpose)",
            at: socket.path.string
        )
    }

    private func finish(_ context: ChannelHandlerContext, _ outcome: Result<EngineResponse, any Error>) {
        guard !isDone else { return }
        isDone = true
        result.completeWith(outcome)
        context.close(promise: nil)
    }
}

extension DockerSocket {
    /// Sends a request over a connection of its own and waits for the whole answer.
    func exchange(_ request: EngineRequest) async throws -> EngineResponse {
        try await withLimit(
            request.limit,
            waitingFor: "the Docker engine, wanted to \(request.purpose)",
            at: path.string
        ) {
            let loop = MultiThreadedEventLoopGroup.singleton.next()
            let result = loop.makePromise(of: EngineResponse.self)
            let channel: any Channel
            do {
                channel = try await ClientBootstrap(group: loop)
                    .channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHTTPClientHandlers()
                            try channel.pipeline.syncOperations.addHandler(
                                ExchangeHandler(result: result, request: request, socket: self)
                            )
                        }
                    }
                    .connect(unixDomainSocketPath: self.path.string).get()
            } catch {
                let explained = self.explain(error, purpose: request.purpose)
                result.fail(explained)
                throw explained
            }
            return try await withTaskCancellationHandler {
                do {
                    try await self.send(request, over: channel)
                } catch {
                    // An engine that refuses early answers and closes: its answer says more than the broken pipe. Where none
                    // came, the closing of the channel ends the wait.
                    channel.close(promise: nil)
                    return try await result.futureResult.get()
                }
                return try await result.futureResult.get()
            } onCancel: {
                channel.close(promise: nil)
            }
        }
    }

    private func send(_ request: EngineRequest, over channel: any Channel) async throws {
        var headers: HTTPHeaders = ["Host": "docker", "Connection": "close"]
        switch request.body {
        case .none:
            if request.method == .POST { headers.add(name: "Content-Length", value: "0") }
        case .json(let bytes):
            headers.add(name: "Content-Type", value: "application/json")
            headers.add(name: "Content-Length", value: String(bytes.count))
        case .stream(let type, let length, _):
            headers.add(name: "Content-Type", value: type)
            headers.add(name: "Content-Length", value: String(length))
        }
        let head = HTTPRequestHead(version: .http1_1, method: request.method, uri: request.path, headers: headers)
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        switch request.body {
        case .none:
            break
        case .json(let bytes):
            channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: bytes))), promise: nil)
        case .stream(_, _, let produce):
            try await produce { bytes in
                try await channel.writeAndFlush(HTTPClientRequestPart.body(.byteBuffer(bytes))).get()
            }
        }
        try await channel.writeAndFlush(HTTPClientRequestPart.end(nil)).get()
    }
}
