import AsyncHTTPClient
import FoundationEssentials
import ImageStore
import LinuxSystem
import NIOCore
import NIOHTTP1
import OCI
import Report
import Synchronization

/// Takes the number of bytes that have come since the last call; a negative one when an attempt failed and starts over.
public typealias ByteProgress = @Sendable (_ bytes: Int64) -> Void

extension RegistryClient {
    /// How much is gathered before it is written, in bytes.
    private static let batchSize = 1 << 20

    /// Downloads a blob into the store, where it gets its name only with the right size and digest. Manifests and indexes
    /// come too, as the blobs that they are.
    ///
    /// Hold a `StoreSession`. Memory is bounded: the registry is read no faster than the disk writes.
    ///
    /// A blob of at least `RegistryLimits.resumableSize` that does not come whole is gone on with by the next call, also by
    /// another process.
    ///
    /// - Throws: `Failure`; the blob has no name in the store then.
    public func fetchBlob(
        _ descriptor: Descriptor,
        from reference: Reference,
        into store: ImageStore,
        progress: ByteProgress? = nil
    ) async throws {
        let pinned = try Reference(
            domain: reference.domain,
            path: reference.path,
            tag: reference.tag,
            digest: descriptor.digest
        )
        try await fetchBlob(
            descriptor,
            from: try configuration.endpoints(for: pinned),
            of: reference.familiar,
            into: store,
            progress: progress
        )
    }

    /// Brings blobs, manifests included, from one registry into the store; what the store has is skipped.
    ///
    /// This is how a node gets its blobs from the cluster's own registry. Hold a `StoreSession`.
    ///
    /// - Parameters:
    ///   - repository: any name that the registry takes; it is part of the address.
    ///   - registry: `https://HOST[:PORT]`, or `http://…` where that is meant.
    ///   - authority: the certificates (PEM) that alone are trusted for it; nil means those of the configuration.
    ///   - concurrency: how many are downloaded at once.
    /// - Throws: `Failure` that lists every blob that did not come.
    public func fetch(
        blobs: [Descriptor],
        repository: String,
        registry: String,
        authority: String? = nil,
        into store: ImageStore,
        concurrency: Int = 6,
        progress: ByteProgress? = nil
    ) async throws {
        let endpoint = try endpoint(registry: registry, repository: repository, authority: authority)
        var seen: Set<Digest> = []
        let missing = try await store.missing(blobs).filter { seen.insert($0.digest).inserted }
        let limiter = Limiter(width: concurrency)
        let failures = await withTaskGroup(of: (any Error)?.self) { group in
            for blob in missing {
                group.addTask {
                    do {
                        try await limiter.run {
                            try await self.fetchBlob(
                                blob,
                                from: [endpoint],
                                of: repository,
                                into: store,
                                progress: progress
                            )
                        }
                        return nil
                    } catch {
                        return error
                    }
                }
            }
            return await group.reduce(into: [any Error]()) { if let error = $1 { $0.append(error) } }
        }
        try Task.checkCancellation()
        guard failures.isEmpty else {
            throw Failure.several("\(failures.count) of \(missing.count) blobs could not be fetched", failures)
        }
    }

    private func endpoint(registry: String, repository: String, authority: String?) throws -> Endpoint {
        guard let origin = Origin(registry) else {
            throw Failure(.invalidInput, "\"\(printable(registry, limit: 100))\" is not https://HOST[:PORT]")
        }
        let checked = try Reference(domain: origin.domain, path: repository, tag: nil)
        return Endpoint(
            host: checked.domain,
            name: checked.domain,
            repository: checked.path,
            security: origin.scheme == "http" ? .plain : .verified,
            authority: authority ?? configuration.authorities[origin.domain],
            isMirror: false
        )
    }

    private func fetchBlob(
        _ descriptor: Descriptor,
        from endpoints: [Endpoint],
        of image: String,
        into store: ImageStore,
        progress: ByteProgress?
    ) async throws {
        let subject = "\(descriptor.digest) of \(image)"
        guard descriptor.size >= 0 else { throw Failure(.integrity, "\(subject) has a negative size") }
        let isDocument = MediaType.isIndex(descriptor.mediaType) || MediaType.isManifest(descriptor.mediaType)
        guard isDocument || descriptor.size < configuration.limits.resumableSize else {
            return try await resume(
                descriptor, from: endpoints, subject: subject, into: store, progress: progress ?? { _ in })
        }
        let path = (isDocument ? "manifests/" : "blobs/") + descriptor.digest.description
        let accept = isDocument ? [descriptor.mediaType] : []
        let ask = Ask(path: path, accept: accept, errand: .get(subject))
        try await over(endpoints, subject: subject) { endpoint in
            let reply = try await self.send(ask, to: endpoint)
            try await self.receive(descriptor, reply, into: store, errand: ask.errand, progress: progress)
        }
    }

    private func receive(
        _ descriptor: Descriptor,
        _ reply: Reply,
        into store: ImageStore,
        errand: Errand,
        progress: ByteProgress?
    ) async throws {
        let ingest = try await store.ingest(descriptor)
        let received = Mutex<Int64>(0)
        do {
            try await receive(reply, count: descriptor.size, errand: errand) { buffer in
                try await BlockingPool.shared.run { try buffer.withUnsafeReadableBytes { try ingest.write($0) } }
            } came: { count in
                received.withLock { $0 += count }
                progress?(count)
            }
            _ = try await BlockingPool.shared.run { try ingest.commit() }
        } catch {
            progress?(-received.withLock { $0 })
            ingest.abandon()
            throw Self.placed(error, errand: errand, origin: reply.origin.description)
        }
    }

    /// Reads the body of a reply that must have exactly `count` bytes.
    ///
    /// - Parameters:
    ///   - write: takes the bytes in large pieces, in order; what came before an error is passed on too.
    ///   - came: takes the number of bytes as they arrive.
    /// - Throws: `AttemptError`, `Failure` or `CancellationError`.
    func receive(
        _ reply: Reply,
        count: Int64,
        errand: Errand,
        write: @escaping @Sendable (ByteBuffer) async throws -> Void,
        came: @escaping @Sendable (Int64) -> Void
    ) async throws {
        let origin = reply.origin.description
        if let text = reply.headers.first(name: "content-length"), Int64(text) != count {
            throw Failure(
                .integrity,
                "cannot \(errand): the registry announced \(printable(text, limit: 20)) bytes instead of \(count)",
                at: origin
            )
        }
        let gathered = Mutex(ByteBuffer())
        let received = Mutex<Int64>(0)
        let writer = PieceWriter(write)
        do {
            try await drain(
                reply.response.body,
                limits: configuration.limits,
                origin: origin,
                errand: errand
            ) { chunk in
                let total = received.withLock { total in
                    total += Int64(chunk.readableBytes)
                    return total
                }
                guard total <= count else {
                    throw Failure(
                        .integrity,
                        "cannot \(errand): the registry sent more than the \(count) bytes it should have",
                        at: origin
                    )
                }
                came(Int64(chunk.readableBytes))
                let full = gathered.withLock { gathered in
                    gathered.writeImmutableBuffer(chunk)
                    guard gathered.readableBytes >= Self.batchSize else { return ByteBuffer?.none }
                    defer { gathered = ByteBuffer() }
                    return gathered
                }
                if let full { try await writer.add(full) }
            }
            try await writer.add(gathered.withLock { $0 })
            try await writer.finish()
        } catch {
            // What came is kept, unless something before it could not be written. The first error is the one that counts.
            let rest = gathered.withLock { $0 }
            if case .success = await writer.result() {
                writer.start(rest)
                _ = await writer.result()
            }
            throw error
        }
        let total = received.withLock { $0 }
        guard total == count else {
            throw AttemptError(
                Failure(
                    .unreachable,
                    "cannot \(errand): the registry stopped after \(total) of \(count) bytes",
                    at: origin,
                    remedy: "try again"
                ),
                retry: .later(nil)
            )
        }
    }

    /// Says where wrong bytes came from: the store only knows that they are wrong.
    static func placed(_ error: any Error, errand: Errand, origin: String) -> any Error {
        guard var failure = error as? Failure, failure.kind == .integrity, failure.place == nil else { return error }
        failure.what = "cannot \(errand): \(failure.what)"
        failure.place = origin
        failure.remedy = "the registry, or something on the way, changed the content: tell whoever runs it"
        return failure
    }
}

/// Writes pieces in their order, each while the next one is gathered. What was begun is not cancelled.
private final class PieceWriter: Sendable {
    private let write: @Sendable (ByteBuffer) async throws -> Void
    private let running = Mutex<Task<Void, any Error>?>(nil)

    init(_ write: @escaping @Sendable (ByteBuffer) async throws -> Void) {
        self.write = write
    }

    /// Waits for the piece before, then begins this one.
    func add(_ piece: ByteBuffer) async throws {
        try await finish()
        start(piece)
    }

    /// Begins a piece; the one before must have ended.
    func start(_ piece: ByteBuffer) {
        guard piece.readableBytes > 0 else { return }
        let write = write
        running.withLock { $0 = Task { try await write(piece) } }
    }

    /// Waits for the last piece.
    func finish() async throws {
        try await running.withLock { $0 }?.value
    }

    /// How the last piece ended.
    func result() async -> Result<Void, any Error> {
        await running.withLock { $0 }?.result ?? .success(())
    }
}
