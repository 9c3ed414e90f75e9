import NIOCore

/// The end of a connection that carries plain bytes: it hands them out one read at a time and asks for more only while few
/// are waiting, so that a slow reader slows the sender.
final class RawStreamHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = Never
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// How many bytes may wait for the reader before no more are asked for.
    static let highWaterMark = 1 << 20

    private var chunks = CircularBuffer<ByteBuffer>()
    private var waitingBytes = 0
    private var hasEnded = false
    private var failure: (any Error)?
    private var reader: EventLoopPromise<ByteBuffer?>?
    private var heldRead = false
    private var context: ChannelHandlerContext?

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        end()
    }

    func read(context: ChannelHandlerContext) {
        if waitingBytes < Self.highWaterMark {
            context.read()
        } else {
            heldRead = true
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        if let reader {
            self.reader = nil
            reader.succeed(bytes)
        } else {
            waitingBytes += bytes.readableBytes
            chunks.append(bytes)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent { end() }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        failure = failure ?? error
        end()
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    /// The next bytes; nil at the end. Called on the event loop, by one reader at a time.
    func next(on loop: any EventLoop) -> EventLoopFuture<ByteBuffer?> {
        let promise = loop.makePromise(of: ByteBuffer?.self)
        if let chunk = chunks.popFirst() {
            waitingBytes -= chunk.readableBytes
            promise.succeed(chunk)
            if heldRead, waitingBytes < Self.highWaterMark / 2, let context {
                heldRead = false
                context.read()
            }
        } else if let failure {
            promise.fail(failure)
        } else if hasEnded {
            promise.succeed(nil)
        } else {
            reader = promise
        }
        return promise.futureResult
    }

    private func end() {
        hasEnded = true
        guard let reader else { return }
        self.reader = nil
        if let failure { reader.fail(failure) } else { reader.succeed(nil) }
    }
}
