import FoundationEssentials
import Report
import Synchronization

/// One end of a connection between operator and agent: it carries several requests at once over one channel.
///
/// The rules are in `LinkState`; this class moves the bytes. `run` must be running as long as the link is used.
package final class AgentLink: Sendable {
    private struct Reader: Sendable {
        var items: AsyncThrowingStream<LinkItem, any Error>.Continuation
        var whenCancelled: (@Sendable () -> Void)?
    }

    private struct State {
        var rules: LinkState
        var readers: [UInt32: Reader] = [:]
        /// Who waits for credit to send bytes, by stream.
        var senders: [UInt32: CheckedContinuation<Void, Never>] = [:]
        var death: (any Error)?
        var hasEnded = false
    }

    private let channel: any ByteChannel
    private let state: Mutex<State>
    private let turn = SendTurn()

    init(_ channel: any ByteChannel, role: LinkState.Role) {
        self.channel = channel
        state = Mutex(State(rules: LinkState(role)))
    }

    /// The agent's end of a channel.
    package static func agent(_ channel: any ByteChannel) -> AgentLink { AgentLink(channel, role: .agent) }

    /// Takes frames in until the channel ends; then every stream ends with an error.
    ///
    /// - Parameter accept: gets each stream that the other side opens, and its first message.
    /// - Throws: what broke the channel or the protocol; nothing when the other side ended it in good order.
    package func run(accept: @Sendable (LinkStream, Data) -> Void = { _, _ in }) async throws {
        defer { state.withLock { $0.hasEnded = true } }
        var decoder = FrameDecoder()
        do {
            while let bytes = try await channel.read() {
                decoder.append(bytes)
                while let frame = try decoder.next() { try take(frame, accept) }
            }
            guard decoder.isAtBoundary else {
                throw Failure(.unreachable, "the connection was cut in the middle of a message")
            }
            die(Failure(.unreachable, "the connection ended"))
        } catch {
            die(error)
            throw error
        }
    }

    private func take(_ frame: Frame, _ accept: @Sendable (LinkStream, Data) -> Void) throws {
        switch try state.withLock({ try $0.rules.receive(frame) }) {
        case .nothing:
            break
        case .deliver(let id, let item):
            state.withLock { $0.readers[id]?.items }?.yield(item)
        case .opened(let id, let message):
            accept(stream(id), message)
        case .credit(let id):
            state.withLock { $0.senders.removeValue(forKey: id) }?.resume()
        case .cancel(let id):
            state.withLock { $0.readers[id]?.whenCancelled }?()
        }
    }

    /// Ends every stream with an error, and every later use of the link.
    func die(_ error: any Error) {
        let (readers, senders) = state.withLock { state in
            defer {
                state.readers = [:]
                state.senders = [:]
            }
            if state.death == nil { state.death = error }
            return (state.readers, state.senders)
        }
        for reader in readers.values {
            reader.items.finish(throwing: error)
            reader.whenCancelled?()
        }
        for sender in senders.values { sender.resume() }
    }

    /// What ended the link; nil while it lives.
    var death: (any Error)? { state.withLock { $0.death } }

    /// Whether nothing more is read.
    var hasEnded: Bool { state.withLock { $0.hasEnded } }

    /// Opens a stream at the operator's end by sending its request.
    ///
    /// The stream gets its number in the turn to send, so that requests arrive in the order of their numbers: that is how the
    /// agent tells a new stream from one that has ended.
    func open(_ request: some Encodable & Sendable) async throws -> LinkStream {
        let payload = try AgentProtocol.encode(request)
        return try await turn.take {
            let id = try self.state.withLock { state in
                if let death = state.death { throw death }
                return try state.rules.open()
            }
            let stream = self.stream(id)
            do {
                try await self.write(Frame(.message, stream: id, payload: payload).encoded())
            } catch {
                stream.close()
                throw error
            }
            return stream
        }
    }

    private func stream(_ id: UInt32) -> LinkStream {
        // Unbounded here; the credit of the stream is its bound.
        let (items, continuation) = AsyncThrowingStream.makeStream(of: LinkItem.self, throwing: (any Error).self)
        let death = state.withLock { state in
            if state.death == nil { state.readers[id] = Reader(items: continuation) }
            return state.death
        }
        if let death { continuation.finish(throwing: death) }
        return LinkStream(id: id, link: self, items: items)
    }

    // MARK: - For streams

    /// Sends one frame, after those whose turn came before.
    func send(_ frame: Frame) async throws {
        let bytes = try frame.encoded()
        try await turn.take { try await self.write(bytes) }
    }

    /// Writes a frame; only in one's turn.
    private func write(_ frame: Data) async throws {
        if let death { throw death }
        do {
            try await channel.write(frame)
        } catch {
            // What of the frame went out is unknown, so nothing more may follow.
            die(error)
            throw error
        }
    }

    /// Waits for credit to send up to `wanted` bytes of a stream; gives how many, at least one.
    func credit(_ wanted: Int, of id: UInt32) async throws -> Int {
        while true {
            let count: Int? = try state.withLock { state in
                if let death = state.death { throw death }
                return state.rules.take(wanted, of: id)
            }
            guard let count else { throw CancellationError() }
            if count > 0 { return count }
            try Task.checkCancellation()
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let mustWait = state.withLock { state in
                        // Credit may have come in between.
                        guard state.death == nil, state.rules.hasNoCredit(id), !Task.isCancelled else { return false }
                        state.senders[id] = continuation
                        return true
                    }
                    if !mustWait { continuation.resume() }
                }
            } onCancel: {
                state.withLock { $0.senders.removeValue(forKey: id) }?.resume()
            }
        }
    }

    /// Notes that the reader of a stream took bytes, and grants more when it is time.
    func taken(_ count: Int, of id: UInt32) async throws {
        guard let grant = state.withLock({ $0.rules.taken(count, of: id) }) else { return }
        try await send(.credit(grant, stream: id))
    }

    package func whenCancelled(_ id: UInt32, _ action: @escaping @Sendable () -> Void) {
        let isDead = state.withLock { state in
            state.readers[id]?.whenCancelled = action
            return state.death != nil
        }
        if isDead { action() }
    }

    /// Ends what the reader of a stream gets with an error.
    func fail(_ id: UInt32, _ error: any Error) {
        state.withLock { $0.readers[id]?.items }?.finish(throwing: error)
    }

    func close(_ id: UInt32) {
        let (reader, sender) = state.withLock { state in
            state.rules.close(id)
            return (state.readers.removeValue(forKey: id), state.senders.removeValue(forKey: id))
        }
        reader?.items.finish()
        sender?.resume()
    }

    /// Ends what is sent, after the frame that is being written: the other side reads whole frames, then the end.
    func endInput() async {
        await turn.take { await self.channel.closeInput() }
    }

    /// Ends the channel.
    package func terminate() async {
        die(Failure(.unreachable, "the connection was closed"))
        await channel.terminate()
    }

    var errorTail: String { channel.errorTail }
}

/// One request and all that belongs to it. Read by one task.
package struct LinkStream: Sendable {
    package let id: UInt32
    let link: AgentLink
    package let items: AsyncThrowingStream<LinkItem, any Error>

    /// Sends a message.
    package func send(_ message: some Encodable) async throws {
        try await link.send(Frame(.message, stream: id, payload: AgentProtocol.encode(message)))
    }

    /// Sends bytes, waiting for credit as needed.
    package func send(_ bytes: Data, _ kind: Frame.Kind = .data) async throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = try await link.credit(min(rest.count, AgentProtocol.chunkSize), of: id)
            try await link.send(Frame(kind, stream: id, payload: Data(rest.prefix(count))))
            rest = rest.dropFirst(count)
        }
    }

    /// Says that no more bytes come.
    package func end() async throws {
        try await link.send(Frame(.end, stream: id))
    }

    /// Asks the agent to end the request.
    func cancel() async throws {
        try await link.send(Frame(.cancel, stream: id))
    }

    /// Grants the sender as much as was taken.
    package func taken(_ count: Int) async throws {
        try await link.taken(count, of: id)
    }

    /// Ends what the reader gets with an error.
    func fail(_ error: any Error) {
        link.fail(id, error)
    }

    /// Forgets the stream.
    package func close() {
        link.close(id)
    }
}

/// Lets one task at a time write to the channel, first come, first served. A frame that has begun is written to its end whatever
/// happens to the task: half a frame would break the protocol for all.
private final class SendTurn: Sendable {
    private struct State {
        var isTaken = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func take<Result: Sendable>(_ work: @Sendable () async throws -> Result) async rethrows -> Result {
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state in
                guard state.isTaken else {
                    state.isTaken = true
                    return true
                }
                state.waiting.append(continuation)
                return false
            }
            if isFree { continuation.resume() }
        }
        defer {
            let next: CheckedContinuation<Void, Never>? = state.withLock { state in
                guard !state.waiting.isEmpty else {
                    state.isTaken = false
                    return nil
                }
                return state.waiting.removeFirst()
            }
            next?.resume()
        }
        return try await work()
    }
}
