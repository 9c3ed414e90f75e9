import FoundationEssentials
import LinuxSystem
import OCI
import Remote
import Report
import Synchronization
import SystemPackage

/// The node's end of the agent's protocol: it answers requests, several at once, until its input ends, and then ends whatever
/// it still runs.
public struct AgentServer: Sendable {
    let services: NodeServices
    let digest: Digest
    let executable: FilePath
    let stateFolder: FilePath
    let lease: LeaseFile
    let commands: CommandNotes

    /// Makes a server.
    ///
    /// - Parameters:
    ///   - digest: the digest of the agent's executable.
    ///   - executable: where that lies.
    ///   - stateFolder: a folder of the file system whose free space counts; it need not be there.
    ///   - leaseFile: where it is written down who changes the cluster.
    ///   - runFolder: where it is written down which commands run; nil for nowhere.
    public init(
        services: NodeServices, digest: Digest, executable: FilePath, stateFolder: FilePath, leaseFile: FilePath,
        runFolder: FilePath? = nil
    ) {
        self.services = services
        self.digest = digest
        self.executable = executable
        self.stateFolder = stateFolder
        lease = LeaseFile(leaseFile)
        commands = CommandNotes(runFolder: runFolder)
    }

    /// Serves a channel until it ends.
    ///
    /// - Throws: what broke the channel or the protocol.
    public func serve(_ channel: any ByteChannel) async throws {
        let link = AgentLink.agent(channel)
        let running = RunningRequests()
        let outcome: Result<Void, any Error>
        do {
            try await link.run { stream, message in
                let gate = AsyncStream.makeStream(of: Void.self)
                let task = Task {
                    // Not before it is known as running: it must be there to be ended.
                    for await _ in gate.stream {}
                    await answer(stream, message)
                    running.remove(stream.id)
                }
                running.add(stream.id, task)
                link.whenCancelled(stream.id) { task.cancel() }
                gate.continuation.finish()
            }
            outcome = .success(())
        } catch {
            outcome = .failure(error)
        }
        await running.end()
        await channel.terminate()
        try outcome.get()
    }

    /// Works on one request; its last answer goes out whatever happens, as long as there is anybody to take it.
    private func answer(_ stream: LinkStream, _ message: Data) async {
        do {
            let request = try AgentProtocol.decode(AgentRequest.self, message)
            try await Failpoint.reach("take \(request.word)")
            let reply = try await handle(request, stream)
            try await Failpoint.reach("answer \(request.word)")
            try await stream.send(reply)
        } catch {
            do {
                try await stream.send(AgentReply.failed(RemoteFailure(error)))
            } catch {
                // The operator is gone; the end of the channel ends the agent.
            }
        }
        stream.close()
    }

    private func handle(_ request: AgentRequest, _ stream: LinkStream) async throws -> AgentReply {
        if request.changesHost { try await commands.endLeft() }
        switch request {
        case .hello(let version):
            guard version == AgentProtocol.version else {
                throw Failure(
                    .integrity, "the operator speaks version \(version) of the protocol, not \(AgentProtocol.version)")
            }
            return .hello(version: AgentProtocol.version, digest: digest)
        case .settle(let path): return try await settle(FilePath(path))
        case .facts: return .facts(try await NodeFacts.read(agentDigest: digest, folder: stateFolder))
        case .run(let command, let limit): return try await run(command, limit: .seconds(limit), stream)
        case .writeFile(let path, let size, let permissions):
            return try await writeFile(FilePath(path), size: size, permissions: permissions, stream)
        case .readFile(let path, let limit): return try await readFile(FilePath(path), limit: limit, stream)
        case .inspect(let paths): return try await inspect(paths.map { FilePath($0) })
        case .delete(let path): return try await delete(FilePath(path))
        case .missing(let blobs): return .missing(try await services.store.missing(blobs))
        case .blob(let blob): return try await receive(blob, stream)
        case .name(let image, let reference):
            try await services.store.name(image, as: reference)
            return .done
        case .fetch(let request):
            return try await tellingProgress(stream) { advanced in
                try await services.fetcher.fetch(request, advanced: advanced)
            }
        case .unpack(let request):
            return try await tellingProgress(stream) { advanced in
                try await services.unpacker.unpack(request, advanced: advanced)
            }
        case .lease(let request):
            let lease = lease
            return try await BlockingPool.shared.run { try lease.answer(request) }
        }
    }

    /// Runs `work` and tells the operator now and then how far it is.
    private func tellingProgress(
        _ stream: LinkStream,
        _ work: @escaping @Sendable (_ advanced: @escaping @Sendable (Int64) -> Void) async throws -> Void
    ) async throws -> AgentReply {
        let (values, tell) = AsyncStream.makeStream(of: Int64.self, bufferingPolicy: .bufferingNewest(1))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for await value in values {
                    try await stream.send(AgentReply.progress(value))
                    try await Task.sleep(for: AgentProtocol.progressInterval)
                }
            }
            defer { group.cancelAll() }
            defer { tell.finish() }
            try await work { tell.yield($0) }
        }
        return .done
    }
}

/// The requests that are being worked on.
private final class RunningRequests: Sendable {
    private let tasks = Mutex<[UInt32: Task<Void, Never>]>([:])

    func add(_ id: UInt32, _ task: Task<Void, Never>) {
        tasks.withLock { $0[id] = task }
    }

    func remove(_ id: UInt32) {
        tasks.withLock { $0[id] = nil }
    }

    /// Cancels them all and waits until they have ended.
    func end() async {
        let left = tasks.withLock { Array($0.values) }
        for task in left { task.cancel() }
        for task in left { await task.value }
    }
}
