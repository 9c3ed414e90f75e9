import NIOCore
import NIOHTTP1
import Report

/// The body of a request ended before it was whole.
struct BodyCutOff: Error {}

/// The requests of one connection as they come, each with its body, which is read only as fast as it is used: what nobody asks
/// for waits in the kernel, and in the end at the client.
final class RequestBody {
    typealias Parts = NIOAsyncChannelInboundStream<HTTPServerRequestPart>.AsyncIterator

    private let channel: any Channel
    private var parts: Parts
    private let headLimit: Duration
    private let bodyLimit: Duration
    private let window: Int

    /// What is left of the time for the current `window` bytes.
    private var timeLeft: Duration = .zero
    private var windowLeft = 0
    private var isContinueAwaited = false
    private var announced: Int64?

    /// How many bytes of the current body came.
    private(set) var received: Int64 = 0
    /// Whether the current body was read to its end.
    private(set) var isEnded = true
    /// Whether the client has gone, or was given up, in the middle of a body.
    private var isCutOff = false

    /// - Parameters:
    ///   - headLimit: how long the next request may take to begin.
    ///   - bodyLimit: how long `window` bytes of a body may take.
    init(_ parts: Parts, channel: any Channel, headLimit: Duration, bodyLimit: Duration, window: Int) {
        self.parts = parts
        self.channel = channel
        self.headLimit = headLimit
        self.bodyLimit = bodyLimit
        self.window = window
    }

    /// Whether the client sends nothing before it is told to go on.
    var isHeldBack: Bool { isContinueAwaited }

    /// The next request, when the one before was read to its end; nil when the client has gone.
    func nextHead() async throws -> HTTPRequestHead? {
        let timer = cutting(after: headLimit)
        defer { timer.cancel() }
        while let part = try await parts.next() {
            guard case .head(let head) = part else { continue }
            received = 0
            isEnded = false
            timeLeft = bodyLimit
            windowLeft = window
            announced = head.headers.first(name: "content-length").flatMap { Int64($0) }
            isContinueAwaited = head.headers[canonicalForm: "expect"].contains { $0.lowercased() == "100-continue" }
            return head
        }
        return nil
    }

    /// The next bytes of the body; nil at its end.
    ///
    /// - Throws: `BodyCutOff` when the client goes or is too slow.
    func next() async throws -> ByteBuffer? {
        guard !isEnded else { return nil }
        guard !isCutOff else { throw BodyCutOff() }
        if isContinueAwaited {
            isContinueAwaited = false
            let go = HTTPResponseHead(version: .http1_1, status: .continue)
            do {
                try await channel.writeAndFlush(OutboundPart.head(go)).get()
            } catch {
                throw BodyCutOff()
            }
        }
        let start = ContinuousClock.now
        let timer = cutting(after: timeLeft)
        defer { timer.cancel() }
        let part: HTTPServerRequestPart
        do {
            guard let next = try await parts.next() else { throw BodyCutOff() }
            part = next
        } catch {
            // The client has gone, was cut off or broke HTTP: all the same to whoever wanted the body.
            isCutOff = true
            throw BodyCutOff()
        }
        timeLeft -= .now - start
        switch part {
        case .body(let bytes):
            received += Int64(bytes.readableBytes)
            windowLeft -= bytes.readableBytes
            if windowLeft <= 0 {
                timeLeft = bodyLimit
                windowLeft = window
            }
            return bytes
        case .end, .head:
            isEnded = true
            return nil
        }
    }

    /// Several parts of the body in one piece, at least `count` bytes if there are as many; nil at its end. What came before a
    /// client broke off is given first; the next call throws.
    func next(atLeast count: Int) async throws -> ByteBuffer? {
        guard var part = try await next() else { return nil }
        guard part.readableBytes < count else { return part }
        // Copied, and into room that is there: a small part would keep the whole buffer that it came in.
        let rest = max((announced ?? .max) - received, 0)
        var all = channel.allocator.buffer(capacity: part.readableBytes + Int(min(rest, Int64(count))))
        all.writeBuffer(&part)
        while all.readableBytes < count {
            do {
                guard var more = try await next() else { break }
                all.writeBuffer(&more)
            } catch is BodyCutOff {
                break
            }
        }
        return all
    }

    /// The whole body.
    ///
    /// - Returns: nil when it has more than `limit` bytes.
    func whole(limit: Int) async throws -> ByteBuffer? {
        var all = ByteBuffer()
        while var part = try await next() {
            guard all.readableBytes + part.readableBytes <= limit else { return nil }
            all.writeBuffer(&part)
        }
        return all
    }

    /// Reads the rest and throws it away.
    ///
    /// - Returns: whether the end was reached before `limit` bytes; false at once when it is announced to be farther.
    func discard(limit: Int) async throws -> Bool {
        guard !isCutOff else { throw BodyCutOff() }
        guard !isEnded else { return true }
        // Who waits to be told is told something else.
        guard !isContinueAwaited, (announced ?? 0) - received <= Int64(limit) else { return false }
        var size = 0
        while let part = try await next() {
            size += part.readableBytes
            if size > limit { return false }
        }
        return true
    }

    private func cutting(after time: Duration) -> Scheduled<Void> {
        let channel = channel
        return channel.eventLoop.scheduleTask(in: .init(max(time, .zero))) { channel.close(promise: nil) }
    }
}
