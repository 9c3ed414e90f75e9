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
        var body: String

        var path: String { String(target.prefix { $0 != "?" }) }
    }

    /// What goes back.
    enum Answer: Sendable {
        case reply(Int, [String: String], [UInt8])
        /// Announces a body of `length` bytes, sends these, and closes.
        case cut([UInt8], length: Int)
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

    static func start(tls: NIOSSLContext? = nil, _ handler: @escaping Handler) async throws -> FakeRegistry {
        let recorder = Recorder()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                    try channel.pipeline.syncOperations.addHandler(Wire(handler: handler, recorder: recorder))
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
        private var received = ""
        private let handler: Handler
        private let recorder: Recorder

        init(handler: @escaping Handler, recorder: Recorder) {
            self.handler = handler
            self.recorder = recorder
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data)
            // A TLS handshake where http is spoken: every server ends that at once.
            guard bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) != 0x16 else {
                return context.close(promise: nil)
            }
            received += String(buffer: bytes)
            guard let request = takeRequest() else { return }
            recorder.requests.withLock { $0.append(request) }
            func send(_ text: String, _ body: [UInt8], close: Bool) {
                context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: Array(text.utf8) + body)), promise: nil)
                if close { context.close(promise: nil) }
            }
            switch handler(request) {
            case .reply(let status, let headers, let body):
                let lines = headers.map { "\($0.key): \($0.value)\r\n" }.joined()
                send("HTTP/1.1 \(status) X\r\n\(lines)Content-Length: \(body.count)\r\n\r\n", body, close: false)
            case .cut(let body, let length):
                send("HTTP/1.1 200 OK\r\nContent-Length: \(length)\r\n\r\n", body, close: true)
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

        private func takeRequest() -> Request? {
            guard let end = received.firstRange(of: "\r\n\r\n") else { return nil }
            let lines = received[..<end.lowerBound].split(separator: "\r\n")
            guard let words = lines.first?.split(separator: " "), words.count == 3 else { return nil }
            var headers: [String: String] = [:]
            for line in lines.dropFirst() {
                let pair = line.split(separator: ":", maxSplits: 1)
                if pair.count == 2 { headers[pair[0].lowercased()] = String(pair[1].drop { $0 == " " }) }
            }
            let body = received[end.upperBound...]
            let length = headers["content-length"].flatMap { Int($0) } ?? 0
            guard body.utf8.count >= length else { return nil }
            received = ""
            return Request(method: String(words[0]), target: String(words[1]), headers: headers, body: String(body))
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
