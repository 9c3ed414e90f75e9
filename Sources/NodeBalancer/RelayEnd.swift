import Glibc
import NIOCore

/// What the rest of the balancer tells a connection.
enum RelayEvent: Sendable {
    /// Cut it, on both sides.
    case cut
}

/// One end of a relayed connection: what it reads goes to its partner, on the same event loop.
///
/// - It reads only while the partner can be written to, so a slow reader holds the sender up and nothing piles up here.
/// - The end of one direction is passed on when everything before it was written; the other direction goes on.
/// - An end that breaks resets the partner's connection, so that nobody takes a broken answer for a whole one.
final class RelayEnd: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var whenActive: ((RelayEnd, any Channel) -> Void)?
    private var context: ChannelHandlerContext?
    private var partner: RelayEnd?
    /// What came before there was a partner. Bounded by the kernel's buffer: only what stands before an early end of the
    /// input is read unasked.
    private var early: [ByteBuffer] = []
    private var wantsToRead = false
    private var inputHasEnded = false
    private var outputIsEnding = false
    private var outputHasEnded = false
    private var closesAfterOutput = false
    /// Whether the connection broke, or was cut here.
    private var isBroken = false
    /// Whether the connection is gone.
    private(set) var isGone = false

    /// Makes an end.
    ///
    /// - Parameter whenActive: called when the connection is there, to find a partner.
    init(whenActive: ((RelayEnd, any Channel) -> Void)? = nil) {
        self.whenActive = whenActive
    }

    /// Joins two ends; what came early goes on its way.
    func attach(_ other: RelayEnd) {
        partner = other
        other.partner = self
        passEarlyOn()
        other.passEarlyOn()
        readAgain()
        other.readAgain()
    }

    private func passEarlyOn() {
        let buffers = early
        early = []
        for buffer in buffers { partner?.write(buffer) }
        if !buffers.isEmpty { partner?.flush() }
        if inputHasEnded { partner?.endOutput() }
        if isGone { endOfPartner() }
    }

    /// Cuts the connection: the other side gets a reset, what was not written is lost.
    func cut() {
        guard let context, !isGone else { return }
        isBroken = true
        // Closing with unsent data thrown away sends a reset; should the option fail, the close is an ordinary one.
        if let options = context.channel as? any SocketOptionProvider {
            _ = options.setSoLinger(linger(l_onoff: 1, l_linger: 0))
        }
        context.close(mode: .all, promise: nil)
    }

    // MARK: - What the partner asks for

    private var canBeWritten: Bool { !isGone && context?.channel.isWritable == true }

    private func write(_ buffer: ByteBuffer) {
        guard let context, !isGone else { return }
        context.write(wrapOutboundOut(buffer), promise: nil)
    }

    private func flush() {
        guard let context, !isGone else { return }
        context.flush()
    }

    /// Ends the output when all that was written is on its way.
    ///
    /// NIO closes a channel at once, and forgets what is not written yet, when its output is closed after its input. So the
    /// writes are waited for here.
    private func endOutput() {
        guard let context, !outputIsEnding, !isGone else { return }
        outputIsEnding = true
        let written = context.eventLoop.makePromise(of: Void.self)
        // When the writing fails, the channel is closed.
        written.futureResult.assumeIsolated().whenSuccess { self.outputWasWritten() }
        context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(capacity: 0)), promise: written)
    }

    private func outputWasWritten() {
        outputHasEnded = true
        guard let context, !isGone else { return }
        context.close(mode: inputHasEnded || closesAfterOutput ? .all : .output, promise: nil)
    }

    private func closeAfterOutput() {
        guard let context, !isGone else { return }
        closesAfterOutput = true
        if outputHasEnded { context.close(mode: .all, promise: nil) } else { endOutput() }
    }

    private func readAgain() {
        guard wantsToRead, partner?.canBeWritten == true, let context, !isGone else { return }
        wantsToRead = false
        context.read()
    }

    /// This end is gone. If all it had to say was read, the partner may still write it; if not, the partner is cut.
    ///
    /// The end of the input is not told on its own when the output has ended before: NIO closes the channel then.
    private func endOfPartner() {
        if inputHasEnded || (outputHasEnded && !isBroken) { partner?.closeAfterOutput() } else { partner?.cut() }
    }

    // MARK: - What the channel tells

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        whenActive = nil
        partner = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        let begin = whenActive
        whenActive = nil
        begin?(self, context.channel)
    }

    func read(context: ChannelHandlerContext) {
        if let partner, partner.canBeWritten { context.read() } else { wantsToRead = true }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        if let partner { partner.write(buffer) } else { early.append(buffer) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        partner?.flush()
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { partner?.readAgain() }
        context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case ChannelEvent.inputClosed:
            inputHasEnded = true
            partner?.endOutput()
            if outputHasEnded { context.close(mode: .all, promise: nil) }
        case RelayEvent.cut:
            partner?.cut()
            cut()
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        isGone = true
        endOfPartner()
        context.fireChannelInactive()
    }

    /// Errors end the connection; what they were matters to nobody: the other side went away.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        isBroken = true
        context.close(mode: .all, promise: nil)
    }
}
