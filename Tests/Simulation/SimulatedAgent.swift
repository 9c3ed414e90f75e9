import ApplyEngine
import FoundationEssentials
import Infra
import OCI
import Remote
import Report
import Synchronization
import SystemPackage

/// The way to a simulated machine: files are put there, and the agent started, which speaks the real protocol.
struct SimulatedTransport: Transport {
    let world: SimulatedWorld
    let host: String

    func reach() async throws {
        guard world.with({ $0.machines[host]?.isOff == false }) else {
            throw Failure(.unreachable, "no route to host", at: host)
        }
    }

    func place(_ file: FilePath, at path: FilePath, permissions: FilePermissions) async throws {
        _ = try world.write(host) { $0.machines[host]?.programs.insert(path.string) }
    }

    func start(_ command: [String]) async throws -> any ByteChannel {
        let (operatorEnd, agentEnd) = MemoryChannel.pair()
        guard world.with({ $0.machines[host]?.programs.contains(command[0]) == true }) else {
            // As a shell that does not find the program.
            await agentEnd.terminate()
            return operatorEnd
        }
        let agent = SimulatedAgent(host: SimulatedHost(world: world, name: host), program: command[0])
        Task { await agent.serve(agentEnd) }
        return operatorEnd
    }
}

/// Connects by the real client.
struct SimulatedConnector: HostConnector {
    let world: SimulatedWorld

    func connect(_ host: String, over transport: any Transport) async throws -> ConnectedHost {
        let agent = try await AgentHost.connect(
            over: transport, executable: "/proc/self/exe", executableDigest: world.with { $0.executable })
        return ConnectedHost(host: agent, executable: agent.executablePath.string)
    }
}

/// The agent on a simulated machine. The seed may cut its connection before it does what it is asked, or before it says that
/// it did.
struct SimulatedAgent: Sendable {
    let host: SimulatedHost
    let program: String

    func serve(_ channel: MemoryChannel) async {
        let link = AgentLink.agent(channel)
        await withDiscardingTaskGroup { group in
            let requests = AsyncStream.makeStream(of: (LinkStream, Data).self)
            group.addTask {
                // The end of the connection ends the agent, whatever it was.
                do { try await link.run { requests.continuation.yield(($0, $1)) } } catch {}
                requests.continuation.finish()
            }
            for await (stream, message) in requests.stream {
                group.addTask { await answer(stream, message, channel) }
            }
        }
        await channel.terminate()
    }

    private func answer(_ stream: LinkStream, _ message: Data, _ channel: MemoryChannel) async {
        let cut = host.world.cut(host.name)
        if cut == .before { return await channel.terminate() }
        var reply: AgentReply
        do {
            let request = try AgentProtocol.decode(AgentRequest.self, message)
            let isLast = host.world.with { state in
                guard state.machines[host.name]?.lastWord == request.word else { return false }
                state.machines[host.name]?.isOff = true
                return true
            }
            if isLast { return await channel.terminate() }
            reply = try await handle(request, stream)
        } catch {
            reply = .failed(RemoteFailure(error))
        }
        if cut == .after { return await channel.terminate() }
        // Whoever asked may be gone.
        do { try await stream.send(reply) } catch {}
        stream.close()
    }

    private func handle(_ request: AgentRequest, _ stream: LinkStream) async throws -> AgentReply {
        switch request {
        case .hello(let version): return .hello(version: version, digest: host.world.with { $0.executable })
        case .settle(let path):
            host.world.with { state in
                state.machines[host.name]?.programs.remove(program)
                state.machines[host.name]?.programs.insert(path)
            }
            return .done
        case .facts: return .facts(try await host.facts())
        case .run(var command, let limit):
            command.input = try await Self.collect(stream)
            let result = try await host.run(command, limit: .seconds(limit)) { _ in }
            if !result.output.isEmpty { try await stream.send(result.output) }
            if !result.error.isEmpty { try await stream.send(result.error, .errorData) }
            return .exited(status: result.status)
        case .writeFile(let path, let size, let permissions):
            let bytes = try await Self.collect(stream)
            guard bytes.count == size else { throw Failure(.integrity, "\(bytes.count) bytes came, not \(size)") }
            try await host.writeFile(FilePath(path), bytes, permissions: permissions)
            return .done
        case .readFile(let path, let limit):
            guard let bytes = try await host.readFile(FilePath(path), limit: limit) else { return .absent }
            try await stream.send(AgentReply.content(size: bytes.count))
            try await stream.send(bytes)
            return .done
        case .inspect(let paths): return .files(try await host.inspect(paths.map { FilePath($0) }))
        case .delete(let path):
            try await host.delete(FilePath(path))
            return .done
        case .missing(let blobs): return .missing(try await host.missing(blobs))
        case .blob(let blob):
            let bytes = try await Self.collect(stream)
            guard Int64(bytes.count) == blob.size else { throw Failure(.integrity, "\(bytes.count) bytes of a blob") }
            try await host.send(blob, from: "/") { _ in }
            return .done
        case .name(let image, let reference):
            try await host.name(image, as: reference)
            return .done
        case .fetch(let request):
            try await host.fetch(request) { _ in }
            return .done
        case .unpack(let request):
            try await host.unpack(request) { _ in }
            return .done
        case .lease(.take(let owner, let staleAfter, let ended)):
            switch try await host.takeLease(owner, staleAfter: .seconds(staleAfter), ended: ended) {
            case .taken(let before): return .leased(from: before)
            case .held(let holder): return .held(by: holder)
            }
        case .lease(.renew): return .leased(from: nil)
        case .lease(.giveBack): return .done
        case .lease(.look): return .absent
        }
    }

    private static func collect(_ stream: LinkStream) async throws -> Data {
        var content = Data()
        for try await item in stream.items {
            switch item {
            case .data(let bytes):
                content.append(bytes)
                try await stream.taken(bytes.count)
            case .end: return content
            case .message, .errorData: throw Failure(.integrity, "something else than bytes came")
            }
        }
        throw CancellationError()
    }
}

/// A clock on which nobody waits: whoever sleeps makes time go on at once.
final class VirtualClock: Clock, Sendable {
    struct Instant: InstantProtocol {
        var offset: Duration
        func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
        func duration(to other: Instant) -> Duration { other.offset - offset }
        static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
    }

    private let time = Mutex(Duration.zero)
    var now: Instant { Instant(offset: time.withLock { $0 }) }
    var minimumResolution: Duration { .nanoseconds(1) }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        try Task.checkCancellation()
        time.withLock { $0 = max($0, deadline.offset) }
        await Task.yield()
    }
}
