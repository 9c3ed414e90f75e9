import FoundationEssentials
import ImageStore
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import OCI
import Report
import Synchronization

@testable import RegistryClient

/// A registry that does what a test says, byte for byte, however wrong.
final class FakeRegistry: Sendable {
    /// A request as it came.
    struct Request: Sendable {
        var method: String
        /// Path and query.
        var target: String
        var headers: [String: String]
        var bytes: [UInt8] = []
        /// Whether the connection is closed in the middle of the body; `bytes` are those that came.
        var isCut = false

        var body: String { String(decoding: bytes, as: UTF8.self) }
        var path: String { String(target.prefix { $0 != "?" }) }
    }

    /// What goes back.
    enum Answer: Sendable {
        case reply(Int, [String: String], [UInt8])
        /// Announces a body of `length` bytes, sends these, and closes.
        case cut([UInt8], length: Int)
        /// The same with another status and headers.
        case cutReply(Int, [String: String], [UInt8], length: Int)
        /// Announces a body of `length` bytes, sends these, and then nothing.
        case stall([UInt8], length: Int)
        /// Sends nothing at all.
        case silence
        /// Sends bytes that are no HTTP.
        case raw([UInt8])
        /// Sends these without saying how many, and closes.
        case unframed([UInt8])

        static func json(_ status: Int, _ text: String, _ headers: [String: String] = [:]) -> Answer {
            .reply(status, headers.merging(["Content-Type": "application/json"]) { own, _ in own }, Array(text.utf8))
        }
    }

    typealias Handler = @Sendable (Request) -> Answer

    private let channel: any Channel
    private let seen: Recorder
    let port: Int

    private init(channel: any Channel, port: Int, seen: Recorder) {
        self.channel = channel
        self.port = port
        self.seen = seen
    }

    /// Every request so far.
    var requests: [Request] { seen.requests.withLock { $0 } }
    var host: String { "127.0.0.1:\(port)" }

    /// - Parameter cutAfter: after how many bytes of a request's body the connection is closed; nil leaves it open.
    static func start(
        tls: NIOSSLContext? = nil,
        cutAfter: @escaping @Sendable (Request) -> Int? = { _ in nil },
        _ handler: @escaping Handler
    ) async throws -> FakeRegistry {
        let recorder = Recorder()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                    try channel.pipeline.syncOperations.addHandler(
                        Wire(handler: handler, recorder: recorder, cutAfter: cutAfter))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return FakeRegistry(channel: channel, port: channel.localAddress?.port ?? 0, seen: recorder)
    }

    func stop() async throws {
        try await channel.close()
    }

    private final class Recorder: Sendable {
        let requests = Mutex<[Request]>([])
    }

    /// Reads requests and writes answers on one connection.
    private final class Wire: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        private var head: Request?
        private var cutHere: Int?
        private var received: [UInt8] = []
        private let handler: Handler
        private let recorder: Recorder
        private let cutAfter: @Sendable (Request) -> Int?

        init(handler: @escaping Handler, recorder: Recorder, cutAfter: @escaping @Sendable (Request) -> Int?) {
            self.handler = handler
            self.recorder = recorder
            self.cutAfter = cutAfter
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data)
            // A TLS handshake where http is spoken: every server ends that at once.
            guard head != nil || bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) != 0x16 else {
                return context.close(promise: nil)
            }
            received += bytes.readableBytesView
            guard let request = takeRequest() else { return }
            recorder.requests.withLock { $0.append(request) }
            if request.isCut {
                _ = handler(request)
                return context.close(promise: nil)
            }
            func send(_ text: String, _ body: [UInt8], close: Bool) {
                context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: Array(text.utf8) + body)), promise: nil)
                if close { context.close(promise: nil) }
            }
            switch handler(request) {
            case .reply(let status, let headers, let body):
                let lines = headers.map { "\($0.key): \($0.value)\r\n" }.joined()
                let sent = request.method == "HEAD" ? [] : body
                send("HTTP/1.1 \(status) X\r\n\(lines)Content-Length: \(body.count)\r\n\r\n", sent, close: false)
            case .cut(let body, let length):
                send("HTTP/1.1 200 OK\r\nContent-Length: \(length)\r\n\r\n", body, close: true)
            case .cutReply(let status, let headers, let body, let length):
                let lines = headers.map { "\($0.key): \($0.value)\r\n" }.joined()
                send("HTTP/1.1 \(status) X\r\n\(lines)Content-Length: \(length)\r\n\r\n", body, close: true)
            case .stall(let body, let length):
                send("HTTP/1.1 200 OK\r\nContent-Length: \(length)\r\n\r\n", body, close: false)
            case .silence: break
            case .raw(let bytes): send("", bytes, close: true)
            case .unframed(let bytes): send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", bytes, close: true)
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }

        /// The next request, when all of it is there; the body's bytes are only looked at once.
        private func takeRequest() -> Request? {
            if head == nil {
                guard let end = received.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
                let lines = String(decoding: received[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
                received.removeFirst(end.upperBound)
                guard let words = lines.first?.split(separator: " "), words.count == 3 else { return nil }
                var headers: [String: String] = [:]
                for line in lines.dropFirst() {
                    let pair = line.split(separator: ":", maxSplits: 1)
                    if pair.count == 2 { headers[pair[0].lowercased()] = String(pair[1].drop { $0 == " " }) }
                }
                let request = Request(method: String(words[0]), target: String(words[1]), headers: headers)
                head = request
                cutHere = cutAfter(request)
            }
            guard var request = head else { return nil }
            if let limit = cutHere, received.count >= limit {
                request.bytes = Array(received.prefix(limit))
                request.isCut = true
            } else {
                let length = request.headers["content-length"].flatMap { Int($0) } ?? 0
                guard received.count >= length else { return nil }
                request.bytes = Array(received.prefix(length))
            }
            received = []
            head = nil
            return request
        }
    }
}

/// An image of a few bytes, and the answers of a well-behaved registry that has it.
struct SmallImage: Sendable {
    let manifest: Data
    let config: Data
    let layers: [Data]

    init(layers: [String], architecture: String = "amd64") throws {
        self.layers = layers.map { Data($0.utf8) }
        config = Data(
            #"{"architecture":"\#(architecture)","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#.utf8)
        let document = ImageManifest(
            config: Descriptor(mediaType: MediaType.config, digest: .of(config), size: Int64(config.count)),
            layers: self.layers.map {
                Descriptor(mediaType: MediaType.layerGzip, digest: .of($0), size: Int64($0.count))
            }
        )
        manifest = try canonicalJSON(document)
    }

    var descriptor: Descriptor {
        Descriptor(mediaType: MediaType.manifest, digest: .of(manifest), size: Int64(manifest.count))
    }

    var blobs: [Descriptor] {
        [Descriptor(mediaType: MediaType.config, digest: .of(config), size: Int64(config.count))]
            + layers.map { Descriptor(mediaType: MediaType.layerGzip, digest: .of($0), size: Int64($0.count)) }
    }

    /// What a good registry says to a GET; nil when it does not have it.
    func answer(_ path: String) -> FakeRegistry.Answer? {
        if path.contains("/manifests/"), path.hasSuffix("/v1") || path.hasSuffix("\(descriptor.digest)") {
            return .reply(200, ["Content-Type": MediaType.manifest], Array(manifest))
        }
        guard let blob = ([config] + layers).first(where: { path.hasSuffix("/blobs/\(Digest.of($0))") }) else {
            return nil
        }
        return .reply(200, ["Content-Type": "application/octet-stream"], Array(blob))
    }
}

let unknown = FakeRegistry.Answer.json(404, #"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no \u001b[31msuch"}]}"#)

/// A configuration whose waits are short enough for a test and long enough for a busy machine.
func quickConfiguration() -> RegistryConfiguration {
    var configuration = RegistryConfiguration()
    configuration.limits.backoff = .milliseconds(1)
    configuration.limits.longestBackoff = .milliseconds(50)
    return configuration
}
