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
    let log: (@Sendable (AccessLine) -> Void)?

    /// Puts HTTP onto a new channel. Must run on its event loop.
    static func wrap(_ channel: any Channel) throws -> Wrapped {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = 16 << 10
        limits.maxHeaderListSize = 64 << 10
        limits.maxHeaderFieldCount = 100
        try channel.pipeline.syncOperations.configureHTTPServerPipeline(
            withEncoderConfiguration: .init(),
            withDecoderLimitConfiguration: limits
        )
        return try NIOAsyncChannel(wrappingChannelSynchronously: channel)
    }

    /// Serves until either side ends it.
    func run() async {
        let channel = connection.channel
        defer { connections.remove(channel) }
        do {
            try await connection.executeThenClose { inbound, _ in
                var parts = inbound.makeAsyncIterator()
                while connections.mark(channel, isBusy: false) {
                    guard let head = try await nextHead(&parts) else { return }
                    guard connections.mark(channel, isBusy: true), try await answer(head.head, isWhole: head.isWhole)
                    else {
                        return
                    }
                }
            }
        } catch {
            // The client went away, broke HTTP or was too slow: there is nobody to tell. A cut reply is in the log.
            return
        }
    }

    /// Reads a request to its end, which must come within the limit however slowly its bytes drip.
    private func nextHead(
        _ parts: inout NIOAsyncChannelInboundStream<HTTPServerRequestPart>.AsyncIterator
    ) async throws -> (head: HTTPRequestHead, isWhole: Bool)? {
        let channel = connection.channel
        let timer = channel.eventLoop.scheduleTask(in: .init(configuration.requestLimit)) {
            channel.close(promise: nil)
        }
        defer { timer.cancel() }
        var head: HTTPRequestHead?
        var bodySize = 0
        while let part = try await parts.next() {
            switch part {
            case .head(let new): head = new
            case .body(let bytes):
                bodySize += bytes.readableBytes
                // Nothing that we answer needs a body: what is too much is answered, not read.
                if bodySize > configuration.bodyLimit, let head { return (head, false) }
            case .end:
                if let head { return (head, true) }
            }
        }
        return nil
    }

    /// - Returns: whether the connection goes on.
    private func answer(_ request: HTTPRequestHead, isWhole: Bool) async throws -> Bool {
        let start = ContinuousClock.now
        let reply = await responder.reply(to: request)
        let goesOn = request.isKeepAlive && isWhole && !connections.isStopping
        var sent: Int64 = 0
        var isComplete = false
        defer {
            log?(
                AccessLine(
                    client: connection.channel.remoteAddress?.ipAddress ?? "?",
                    method: request.method.rawValue,
                    target: printable(request.uri),
                    status: reply.status.code,
                    bytes: sent,
                    duration: .now - start,
                    isComplete: isComplete,
                    problem: reply.problem
                )
            )
        }
        try await send(reply, to: request, goesOn: goesOn) { sent += $0 }
        isComplete = true
        return goesOn
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
        if reply.status != .notModified { head.headers.add(name: "Content-Length", value: String(reply.length)) }
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
