import FoundationEssentials
import Glibc
import OCI
import Report
import Synchronization
import SystemPackage

@testable import NodeAgent
@testable import Remote

/// An agent and its operator in this process, joined by two pipes.
struct AgentPair: Sendable {
    let host: AgentHost
    let server: Task<Void, any Error>
    let operatorEnd: DescriptorChannel
    /// The descriptor that the operator writes to, to break the connection with.
    static let digest = "sha256:" + String(repeating: "ab", count: 32)

    static func start(
        _ services: NodeServices = FakeServices().services, folder: FilePath = "/tmp", runFolder: FilePath? = nil
    ) async throws -> AgentPair {
        let requests = try FileDescriptor.pipe()
        let replies = try FileDescriptor.pipe()
        for end in [requests.readEnd, requests.writeEnd, replies.readEnd, replies.writeEnd] {
            guard fcntl(end.rawValue, F_SETFD, FD_CLOEXEC) == 0 else { throw Errno(rawValue: errno) }
        }
        let agent = AgentServer(
            services: services,
            digest: try Digest(digest),
            executable: folder.appending("sealer.temporary"),
            stateFolder: folder,
            leaseFile: folder.appending("lock.json"),
            runFolder: runFolder
        )
        let agentEnd = DescriptorChannel(input: requests.readEnd, output: replies.writeEnd)
        let server = Task { try await agent.serve(agentEnd) }
        let operatorEnd = DescriptorChannel(input: replies.readEnd, output: requests.writeEnd)
        let host = AgentHost(name: "demo-node-0", executablePath: "/none", channel: operatorEnd)
        return AgentPair(host: host, server: server, operatorEnd: operatorEnd)
    }

    /// Ends the connection and waits for the agent's end.
    func stop() async throws {
        await host.close()
        try await withLimit(.seconds(240), waitingFor: "the agent to end") { try await server.value }
    }
}

/// Services that keep blobs in memory.
final class FakeServices: NodeStore, BlobFetcher, ImageUnpacker {
    private struct State {
        var blobs: [Digest: Data] = [:]
        var names: [String: Descriptor] = [:]
        var abandoned = 0
        var wasCancelled = false
        var hasBegun = false
    }

    private let state = Mutex(State())
    /// Whether fetching and unpacking go on until they are cancelled.
    let isEndless: Bool

    /// Whether what they tell was heard: they go on until then.
    let isHeard: @Sendable () -> Bool

    init(isEndless: Bool = false, isHeard: @escaping @Sendable () -> Bool = { true }) {
        self.isEndless = isEndless
        self.isHeard = isHeard
    }

    var services: NodeServices { NodeServices(store: self, fetcher: self, unpacker: self) }
    func blob(_ digest: Digest) -> Data? { state.withLock { $0.blobs[digest] } }
    func named(_ name: String) -> Descriptor? { state.withLock { $0.names[name] } }
    var abandoned: Int { state.withLock { $0.abandoned } }
    var wasCancelled: Bool { state.withLock { $0.wasCancelled } }
    var hasBegun: Bool { state.withLock { $0.hasBegun } }

    func missing(_ blobs: [Descriptor]) async throws -> [Descriptor] {
        state.withLock { state in blobs.filter { state.blobs[$0.digest] == nil } }
    }

    func ingest(_ blob: Descriptor) async throws -> any NodeIngest { FakeIngest(expected: blob, owner: self) }

    func name(_ image: Descriptor, as reference: Reference) async throws {
        try state.withLock { state in
            guard state.blobs[image.digest] != nil else {
                throw Failure(.notFound, "the store lacks \(image.digest)", at: "/store", remedy: "send it")
            }
            state.names[reference.description] = image
        }
    }

    func fetch(_ request: FetchRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws {
        try await work(advanced)
    }

    func unpack(_ request: UnpackRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws {
        try await work(advanced)
    }

    private func work(_ advanced: @Sendable (Int64) -> Void) async throws {
        state.withLock { $0.hasBegun = true }
        do {
            var count: Int64 = 0
            repeat {
                count += 1
                advanced(count)
                try await Task.sleep(for: .milliseconds(20))
            } while isEndless || count < 3 || !isHeard()
        } catch {
            state.withLock { $0.wasCancelled = true }
            throw error
        }
    }

    fileprivate func store(_ digest: Digest, _ bytes: Data) { state.withLock { $0.blobs[digest] = bytes } }
    fileprivate func abandon() { state.withLock { $0.abandoned += 1 } }
}

private final class FakeIngest: NodeIngest {
    private let expected: Descriptor
    private let owner: FakeServices
    private let bytes = Mutex(Data())

    init(expected: Descriptor, owner: FakeServices) {
        self.expected = expected
        self.owner = owner
    }

    func write(_ more: UnsafeRawBufferPointer) throws {
        try bytes.withLock { bytes in
            bytes.append(contentsOf: more)
            guard bytes.count <= expected.size else {
                throw Failure(.integrity, "\(expected.digest) has too many bytes")
            }
        }
    }

    func complete() throws {
        let bytes = bytes.withLock { $0 }
        guard bytes.count == expected.size else {
            throw Failure(.integrity, "\(expected.digest) has \(bytes.count) bytes")
        }
        owner.store(expected.digest, bytes)
    }

    func abandon() { owner.abandon() }
}

/// Remembers what a callback got.
final class Seen<Value: Sendable>: Sendable {
    private let values = Mutex<[Value]>([])
    func add(_ value: Value) { values.withLock { $0.append(value) } }
    var all: [Value] { values.withLock { $0 } }
}
