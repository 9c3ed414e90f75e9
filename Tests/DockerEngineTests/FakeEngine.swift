import NIOCore
import NIOPosix
import Synchronization
import SystemPackage

@testable import DockerEngine

/// An engine of ours on a unix socket. Each connection's bytes go to a script, which says what comes back: so it can answer
/// as an engine does, and as none should.
final class FakeEngine: Sendable {
    /// What it does with a connection once a whole request has come.
    enum Answer: Sendable {
        /// A response with a JSON body.
        case json(Int, String, headers: [(String, String)] = [])
        /// These very bytes, then the end of the connection.
        case bytes([UInt8])
        /// These very bytes; the connection stays open and what comes is sent back as the process' output.
        case hijack([UInt8])
        /// Nothing, ever.
        case stall
        /// The end of the connection, at once.
        case cut
    }

    /// A request that came.
    struct Request: Sendable {
        var method: String
        var path: String
        var body: [UInt8]
    }

    let path: FilePath
    private let channel: any Channel
    private let log: RequestLog

    private init(path: FilePath, channel: any Channel, log: RequestLog) {
        self.path = path
        self.channel = channel
        self.log = log
    }

    var seen: [Request] { log.all }
    var socket: DockerSocket { DockerSocket(path: path) }

    static func start(in folder: FilePath, _ script: @escaping @Sendable (Request) -> Answer) async throws -> FakeEngine
    {
        let path = folder.appending("docker.sock")
        let log = RequestLog()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(FakeEngineHandler(script: script, log: log))
                }
            }
            .bind(unixDomainSocketPath: path.string).get()
        return FakeEngine(path: path, channel: channel, log: log)
    }

    func stop() async throws {
        try await channel.close().get()
    }

    /// The frames in which an engine wraps what a process prints.
    static func frame(_ stream: UInt8, _ bytes: [UInt8]) -> [UInt8] {
        [stream, 0, 0, 0] + withUnsafeBytes(of: UInt32(bytes.count).bigEndian) { Array($0) } + bytes
    }

    static let pong = Answer.json(200, "OK", headers: [("Api-Version", "1.41")])
}

final class RequestLog: Sendable {
    private let requests = Mutex<[FakeEngine.Request]>([])
    func add(_ request: FakeEngine.Request) { requests.withLock { $0.append(request) } }
    var all: [FakeEngine.Request] { requests.withLock { $0 } }
}

/// Reads one request by hand, answers, and then is a raw stream if it was hijacked.
private final class FakeEngineHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let script: @Sendable (FakeEngine.Request) -> FakeEngine.Answer
    private let log: RequestLog
    private var bytes: [UInt8] = []
    private var isRaw = false
    private var hasAnswered = false

    init(script: @escaping @Sendable (FakeEngine.Request) -> FakeEngine.Answer, log: RequestLog) {
        self.script = script
        self.log = log
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        bytes += buffer.readBytes(length: buffer.readableBytes) ?? []
        if isRaw {
            send(context, FakeEngine.frame(1, bytes))
            bytes = []
        } else if !hasAnswered, let request = takeRequest() {
            hasAnswered = true
            log.add(request)
            answer(context, script(request))
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent, isRaw {
            let last = FakeEngine.frame(2, Array("input ended".utf8))
            let channel = context.channel
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: last))).whenComplete { _ in
                channel.close(promise: nil)
            }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func answer(_ context: ChannelHandlerContext, _ answer: FakeEngine.Answer) {
        switch answer {
        case .json(let status, let body, let headers):
            var text = "HTTP/1.1 \(status) Whatever\r\nContent-Length: \(body.utf8.count)\r\n"
            for (name, value) in headers { text += "\(name): \(value)\r\n" }
            send(context, Array("\(text)\r\n\(body)".utf8))
        case .bytes(let bytes):
            let channel = context.channel
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes))).whenComplete { _ in
                channel.close(promise: nil)
            }
        case .hijack(let bytes):
            isRaw = true
            send(context, bytes)
        case .stall: break
        case .cut: context.close(promise: nil)
        }
    }

    private func send(_ context: ChannelHandlerContext, _ bytes: [UInt8]) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
    }

    private func takeRequest() -> FakeEngine.Request? {
        guard let range = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
        let lines = String(decoding: bytes[..<range.lowerBound], as: UTF8.self).split(separator: "\r\n")
        let words = (lines.first ?? "").split(separator: " ")
        let length =
            lines.first { $0.lowercased().hasPrefix("content-length:") }
            .flatMap { $0.split(separator: ":").last }.flatMap { Int($0.drop { $0 == " " }) } ?? 0
        guard bytes.count - range.upperBound >= length, words.count == 3 else { return nil }
        let body = Array(bytes[range.upperBound..<range.upperBound + length])
        bytes = Array(bytes[(range.upperBound + length)...])
        return FakeEngine.Request(method: String(words[0]), path: String(words[1]), body: body)
    }
}
