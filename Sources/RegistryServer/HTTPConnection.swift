import FoundationEssentials
import ImageStore
import NIOCore
import NIOHTTP1
import NIOPosix
import Report
import SystemPackage

/// One client's connection: reads requests one after the other and sends their replies.
struct HTTPConnection: Sendable {
    typealias Wrapped = NIOAsyncChannel<HTTPServerRequestPart, OutboundPart>

    let connection: Wrapped
    let configuration: RegistryServerConfiguration
    let responder: Responder
    let connections: Connections
    let metrics: Metrics
    let log: (@Sendable (AccessLine) -> Void)?

    /// Puts HTTP onto a new channel. Must run on its event loop.
    static func wrap(_ channel: any Channel, _ configuration: RegistryServerConfiguration) throws -> Wrapped {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = configuration.headerFieldLimit
        limits.maxHeaderListSize = configuration.headerLimit
        limits.maxHeaderFieldCount = configuration.headerCountLimit
        // Without NIO's own answers to what is no HTTP: they may come beside ours, and a request gets one answer.
        try channel.pipeline.syncOperations.configureHTTPServerPipeline(
            withErrorHandling: false,
            withEncoderConfiguration: .init(),
            withDecoderLimitConfiguration: limits
        )
        // Few parts of a body wait in memory: what is not read yet stays in the kernel.
        return try NIOAsyncChannel(
            wrappingChannelSynchronously: channel,
            configuration: .init(backPressureStrategy: .init(lowWatermark: 1, highWatermark: 4))
        )
    }

    /// Serves until either side ends it.
    func run() async {
        let channel = connection.channel
        defer { connections.remove(channel) }
        do {
            try await connection.executeThenClose { inbound, _ in
                let body = RequestBody(
                    inbound.makeAsyncIterator(),
                    channel: channel,
                    headLimit: configuration.requestLimit,
                    bodyLimit: configuration.receiveLimit,
                    window: Int(configuration.chunkSize)
                )
                while connections.mark(channel, isBusy: false) {
                    let head: HTTPRequestHead
                    do {
                        guard let next = try await body.nextHead() else { return }
                        head = next
                    } catch is HTTPParserError {
                        return try await refuse()
                    }
                    guard connections.mark(channel, isBusy: true), try await answer(head, body) else { return }
                }
            }
        } catch {
            // The client went away, broke HTTP or was too slow: there is nobody to tell. A cut reply is in the log.
            return
        }
    }

    /// Answers what is no HTTP.
    private func refuse() async throws {
        let head = HTTPResponseHead(
            version: .http1_1, status: .badRequest, headers: ["Connection": "close", "Content-Length": "0"])
        connection.channel.write(OutboundPart.head(head), promise: nil)
        try await BlobSender(
            channel: connection.channel, chunkSize: configuration.chunkSize, limit: configuration.sendLimit
        ).write(.end(nil))
    }

    /// - Returns: whether the connection goes on.
    private func answer(_ request: HTTPRequestHead, _ body: RequestBody) async throws -> Bool {
        let start = ContinuousClock.now
        let reply = await responder.reply(to: request, body)
        var sent: Int64 = 0
        var isComplete = false
        defer {
            let line = AccessLine(
                client: connection.channel.remoteAddress?.ipAddress ?? "?",
                method: request.method.rawValue,
                target: printable(request.uri),
                status: reply.status.code,
                bytes: sent,
                received: body.received,
                duration: .now - start,
                isComplete: isComplete,
                problem: reply.problem
            )
            metrics.add(line)
            log?(line)
        }
        // What nobody wants is read to its end, if that is near, so that the next request can be.
        let isWhole: Bool
        do {
            isWhole = try await body.discard(limit: configuration.bodyLimit)
        } catch {
            try close(reply)
            throw error
        }
        let goesOn = request.isKeepAlive && isWhole && !connections.isStopping
        try await send(reply, to: request, goesOn: goesOn) { sent += $0 }
        isComplete = true
        if !isWhole, !body.isHeldBack { await linger(body) }
        return goesOn
    }

    /// Takes a little more of a body that was too long: closed at once, the kernel would throw away the reply with it.
    private func linger(_ body: RequestBody) async {
        let channel = connection.channel
        let timer = channel.eventLoop.scheduleTask(in: .seconds(1)) { channel.close(promise: nil) }
        defer { timer.cancel() }
        var rest = configuration.bodyLimit
        do {
            while rest > 0, let bytes = try await body.next() { rest -= bytes.readableBytes }
        } catch {
            // However it ends, the connection ends.
            return
        }
    }

    private func close(_ reply: Reply) throws {
        if case .file(let blob, _) = reply.body { try blob.file.close() }
    }

    private func send(
        _ reply: Reply,
        to request: HTTPRequestHead,
        goesOn: Bool,
        sent: (Int64) -> Void
    ) async throws {
        let channel = connection.channel
        let sender = BlobSender(channel: channel, chunkSize: configuration.chunkSize, limit: configuration.sendLimit)
        var head = HTTPResponseHead(version: .http1_1, status: reply.status, headers: reply.headers)
        if reply.status != .notModified, reply.status != .noContent {
            head.headers.add(name: "Content-Length", value: String(reply.length))
        }
        head.headers.add(name: "Docker-Distribution-Api-Version", value: "registry/2.0")
        if !goesOn { head.headers.add(name: "Connection", value: "close") }
        // Neither is flushed on its own: head and a small body leave in one packet.
        channel.write(OutboundPart.head(head), promise: nil)

        switch reply.body {
        case .file(let blob, _) where request.method == .HEAD:
            try blob.file.close()
        case .file(let blob, let range):
            if configuration.tls == nil {
                try await sender.sendDirectly(blob.file, range, sent: sent)
            } else {
                try await sender.sendThroughMemory(blob.file, range, sent: sent)
            }
        case .bytes(let bytes) where request.method != .HEAD && reply.status != .notModified && !bytes.isEmpty:
            channel.write(OutboundPart.body(.byteBuffer(ByteBuffer(bytes: bytes))), promise: nil)
            sent(Int64(bytes.count))
        case .bytes: break
        }
        try await sender.write(.end(nil))
    }

    private func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.prefix(300).map { (0x21...0x7E).contains($0.value) ? $0 : "?" }))
    }
}
