import FoundationEssentials
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage

extension AgentHost {
    /// How many descriptors are named in one message, so that it stays well below a frame's limit.
    private static let batchSize = 1000

    /// Which of the blobs the host's store lacks, in the given order.
    public func missing(_ blobs: [Descriptor]) async throws -> [Descriptor] {
        var result: [Descriptor] = []
        for batch in Self.batches(of: blobs) {
            let reply = try await ask(.missing(batch), limit: Self.shortLimit, for: "the host to look into its store")
            guard case .missing(let part) = reply else { throw unexpected(reply) }
            result += part
        }
        return result
    }

    /// Sends a blob from a file of this machine into the host's store.
    public func send(
        _ blob: Descriptor,
        from file: FilePath,
        advanced: @escaping @Sendable (Int64) -> Void
    ) async throws {
        let source = try await BlockingPool.shared.run { try BlobSource(file) }
        let watch = StallWatch(advanced)
        try await watch.run(limit: Self.stallLimit, waitingFor: "blob \(blob.digest.short) to be taken", at: name) {
            try await self.perform(.blob(blob)) { stream, replies in
                let sender = self.upload(over: stream) {
                    var sent: Int64 = 0
                    while let chunk = try await BlockingPool.shared.run({ try source.next() }) {
                        try await stream.send(chunk)
                        sent += Int64(chunk.count)
                        watch.advance(to: sent)
                    }
                }
                defer { sender.cancel() }
                let reply = try await replies.last()
                guard reply == .done else { throw self.unexpected(reply) }
            }
        }
        advanced(blob.size)
    }

    /// Gives an image in the host's store its name.
    public func name(_ image: Descriptor, as reference: Reference) async throws {
        let reply = try await ask(
            .name(image, reference: reference),
            limit: Self.shortLimit,
            for: "the host to name \(reference.familiar)"
        )
        guard reply == .done else { throw unexpected(reply) }
    }

    /// Has the host fetch blobs from a registry into its store.
    public func fetch(_ request: FetchRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws {
        var before: Int64 = 0
        for batch in Self.batches(of: request.blobs) {
            var part = request
            part.blobs = batch
            let done = before
            try await follow(.fetch(part), waitingFor: "blobs from \(request.registry)") { advanced(done + $0) }
            before += batch.reduce(0) { $0 + $1.size }
        }
    }

    /// Has the host unpack the layers of an image of its store.
    public func unpack(_ request: UnpackRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws {
        try await follow(.unpack(request), waitingFor: "\(request.destination) to be unpacked", advanced)
    }

    /// Sends a request that tells its progress, as long as there is some.
    private func follow(
        _ request: AgentRequest,
        waitingFor what: String,
        _ advanced: @escaping @Sendable (Int64) -> Void
    ) async throws {
        let watch = StallWatch(advanced)
        try await watch.run(limit: Self.stallLimit, waitingFor: what, at: name) {
            try await self.perform(request) { _, replies in
                while true {
                    switch try await replies.next() {
                    case .reply(.progress(let count)): watch.advance(to: count)
                    case .reply(.done):
                        watch.finish()
                        return
                    case .reply(let other): throw self.unexpected(other)
                    case .data, .errorData: break
                    }
                }
            }
        }
    }

    private static func batches(of blobs: [Descriptor]) -> [[Descriptor]] {
        stride(from: 0, to: blobs.count, by: batchSize).map { Array(blobs[$0..<min($0 + batchSize, blobs.count)]) }
    }
}

/// Passes progress on, not too often, and ends work that no longer gets on.
final class StallWatch: Sendable {
    private struct State {
        var value: Int64 = 0
        var changed = ContinuousClock.now
        var told: ContinuousClock.Instant?
        var toldValue: Int64 = -1
    }

    private let state = Mutex(State())
    private let advanced: @Sendable (Int64) -> Void

    init(_ advanced: @escaping @Sendable (Int64) -> Void) {
        self.advanced = advanced
    }

    /// Notes how far the work is.
    func advance(to value: Int64) {
        let tells = state.withLock { state in
            let now = ContinuousClock.now
            if value != state.value { state.changed = now }
            state.value = value
            if let told = state.told, now - told < AgentProtocol.progressInterval { return false }
            state.told = now
            state.toldValue = value
            return true
        }
        if tells { advanced(value) }
    }

    /// Passes the last value on when it was held back.
    func finish() {
        let value: Int64? = state.withLock { $0.toldValue == $0.value || $0.told == nil ? nil : $0.value }
        if let value { advanced(value) }
    }

    /// Runs `body` as long as it gets on.
    ///
    /// - Throws: `Failure` of kind `timeout` when nothing changed for `limit`.
    func run(
        limit: Duration,
        waitingFor what: String,
        at place: String,
        _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await body() }
            group.addTask {
                while true {
                    let left = limit - (ContinuousClock.now - self.state.withLock { $0.changed })
                    guard left > .zero else {
                        throw Failure(.timeout, "waited \(limit.inWords) for \(what) without getting on", at: place)
                    }
                    try await Task.sleep(for: left)
                }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }
}

/// A blob's file that is read piece by piece. Its calls block.
private final class BlobSource: Sendable {
    private let path: FilePath
    private let file: FileDescriptor

    init(_ path: FilePath) throws {
        self.path = path
        do {
            file = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec])
        } catch Errno.noSuchFileOrDirectory {
            throw Failure(.notFound, "there is no such file", at: path.string)
        } catch {
            throw Failure(.system, "cannot open the file", at: path.string, causes: [error])
        }
    }

    deinit {
        do { try file.close() } catch { /* it was only read */  }
    }

    func next() throws -> Data? {
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        do {
            let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0) }
            return count == 0 ? nil : Data(buffer[..<count])
        } catch {
            throw Failure(.system, "cannot read the file", at: path.string, causes: [error])
        }
    }
}
