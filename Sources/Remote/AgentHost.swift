import FoundationEssentials
import LinuxSystem
import OCI
import Report
import SystemPackage

/// A host behind an agent.
public final class AgentHost: Host {
    /// The host's name for people.
    public let name: String
    /// Where sealer's executable lies on the host, by its digest.
    public let executablePath: FilePath
    private let link: AgentLink
    private let pump: Task<Void, Never>

    /// How long the agent may take for what is done in moments.
    static let shortLimit = Duration.seconds(60)
    /// How long a transfer or an unpacking may go on without getting on.
    static let stallLimit = Duration.seconds(120)

    init(name: String, executablePath: FilePath, channel: any ByteChannel) {
        self.name = name
        self.executablePath = executablePath
        let link = AgentLink(channel, role: .operator)
        self.link = link
        pump = Task {
            do {
                try await link.run()
            } catch {
                // Every request gets the error from the link itself.
                await channel.terminate()
            }
        }
    }

    deinit {
        let link = link
        Task { await link.terminate() }
    }

    /// Whether the link to the agent is dead.
    public var isLost: Bool { link.death != nil }

    /// Ends the connection: what is being asked fails, the agent ends whatever it still runs, and itself. An agent that does not
    /// is left to itself after a few seconds.
    public func close() async {
        link.die(Failure(.unreachable, "the connection was closed"))
        let link = link
        Task.detached { await link.endInput() }
        await Self.waitForEnd(of: link, limit: .seconds(8))
        await link.terminate()
        await pump.value
    }

    /// Waits until nothing more is read, also in a task that is cancelled.
    private static func waitForEnd(of link: AgentLink, limit: Duration) async {
        let deadline = ContinuousClock.now + limit
        await Task.detached {
            while !link.hasEnded, ContinuousClock.now < deadline {
                do { try await Task.sleep(for: .milliseconds(10)) } catch { return }
            }
        }.value
    }

    // MARK: - Requests

    /// Opens a stream, sends the request and has `body` talk to the agent; a request that ends early is cancelled over there.
    func perform<Result: Sendable>(
        _ request: AgentRequest,
        _ body: (LinkStream, RemainingReplies) async throws -> Result
    ) async throws -> Result {
        var agentHasSpoken = false
        do {
            let stream = try await link.open(request)
            let replies = RemainingReplies(stream, host: name)
            defer { stream.close() }
            do {
                return try await body(stream, replies)
            } catch {
                agentHasSpoken = replies.hasEnded
                if !agentHasSpoken {
                    // Told in a task of its own: this one may be cancelled, and must not wait for a dead channel.
                    Task.detached {
                        try await withLimit(.seconds(10), waitingFor: "the agent") { try await stream.cancel() }
                    }
                }
                throw error
            }
        } catch {
            throw agentHasSpoken ? error : await explain(error)
        }
    }

    /// Runs `send` beside the wait for answers: an answer that ends the request early must not wait for the last byte sent.
    /// Cancel the task when the last answer is there.
    func upload(over stream: LinkStream, _ send: @escaping @Sendable () async throws -> Void) -> Task<Void, Never> {
        Task {
            do {
                try await send()
                try await stream.end()
            } catch {
                stream.fail(error)
            }
        }
    }

    /// Sends a request that has one answer.
    func ask(_ request: AgentRequest, limit: Duration, for what: String) async throws -> AgentReply {
        try await withLimit(limit, waitingFor: what, at: name) {
            try await self.perform(request) { _, replies in try await replies.last() }
        }
    }

    /// What an error means for the user: when the link is dead, that is the news.
    private func explain(_ error: any Error) async -> any Error {
        guard let death = link.death else { return error }
        if let failure = death as? Failure, failure.kind == .integrity {
            return Failure(.integrity, failure.what, at: name, causes: failure.causes)
        }
        // What broke first may have been a write; what the agent had to say about its end is read until its output ends.
        await Self.waitForEnd(of: link, limit: .seconds(2))
        let tail = link.errorTail
        return Failure(
            .unreachable,
            "the connection to the host's agent ended"
                + (tail.isEmpty ? "" : "; it said last:\n\(tail)"),
            at: name,
            remedy: "look whether the host runs, then run the command again: it continues where it stopped",
            causes: [death]
        )
    }

    func unexpected(_ reply: AgentReply) -> Failure {
        Failure(
            .integrity, "the agent answered something else than was asked: \(String(describing: reply).prefix(200))",
            at: name)
    }
}

/// The agent's answers to one request, read by one task.
final class RemainingReplies {
    private var iterator: AsyncThrowingStream<LinkItem, any Error>.Iterator
    private let stream: LinkStream
    private let host: String
    /// Whether the agent's last answer came.
    private(set) var hasEnded = false

    /// What comes on a request's stream.
    enum Item {
        case reply(AgentReply)
        case data(Data)
        case errorData(Data)
    }

    init(_ stream: LinkStream, host: String) {
        self.stream = stream
        self.host = host
        iterator = stream.items.makeAsyncIterator()
    }

    /// The next item.
    ///
    /// - Throws: what the agent says failed.
    func next() async throws -> Item {
        while true {
            guard let item = try await iterator.next() else {
                try Task.checkCancellation()
                throw Failure(.unreachable, "the connection was closed", at: host)
            }
            switch item {
            case .message(let bytes):
                let reply = try AgentProtocol.decode(AgentReply.self, bytes)
                hasEnded = reply.isLast
                if case .failed(let failure) = reply { throw failure.failure(on: host) }
                return .reply(reply)
            case .data(let bytes):
                try await stream.taken(bytes.count)
                return .data(bytes)
            case .errorData(let bytes):
                try await stream.taken(bytes.count)
                return .errorData(bytes)
            case .end:
                continue
            }
        }
    }

    /// The answer to a request that has only one.
    func last() async throws -> AgentReply {
        guard case .reply(let reply) = try await next(), reply.isLast else {
            throw Failure(.integrity, "the agent answered with something else than was asked", at: host)
        }
        return reply
    }
}
