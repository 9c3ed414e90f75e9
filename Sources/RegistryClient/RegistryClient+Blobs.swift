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
    /// - Throws: `Failure`; the store has nothing of the blob then.
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
        let path = (isDocument ? "manifests/" : "blobs/") + descriptor.digest.description
        try await over(endpoints, subject: subject) { endpoint in
            let reply = try await self.get(
                path,
                at: endpoint,
                accept: isDocument ? [descriptor.mediaType] : [],
                subject: subject
            )
            try await self.receive(descriptor, reply, into: store, subject: subject, progress: progress)
        }
    }

    private func receive(
        _ descriptor: Descriptor,
        _ reply: Reply,
        into store: ImageStore,
        subject: String,
        progress: ByteProgress?
    ) async throws {
        if let text = reply.response.headers.first(name: "content-length"), Int64(text) != descriptor.size {
            throw Failure(
                .integrity,
                "cannot get \(subject): the registry announced \(printable(text, limit: 20)) bytes instead of \(descriptor.size)",
                at: reply.origin
            )
        }
        let ingest = try await store.ingest(descriptor)
        let gathered = Mutex(ByteBuffer())
        let received = Mutex<Int64>(0)
        do {
            try await drain(
                reply.response.body,
                limits: configuration.limits,
                origin: reply.origin,
                subject: subject
            ) { chunk in
                let total = received.withLock { total in
                    total += Int64(chunk.readableBytes)
                    return total
                }
                guard total <= descriptor.size else {
                    throw Failure(
                        .integrity,
                        "cannot get \(subject): the registry sent more than the \(descriptor.size) bytes it should have",
                        at: reply.origin
                    )
                }
                progress?(Int64(chunk.readableBytes))
                let full = gathered.withLock { gathered in
                    gathered.writeImmutableBuffer(chunk)
                    guard gathered.readableBytes >= Self.batchSize else { return ByteBuffer?.none }
                    defer { gathered = ByteBuffer() }
                    return gathered
                }
                if let full { try await Self.write(full, to: ingest) }
            }
            try await Self.write(gathered.withLock { $0 }, to: ingest)
            let total = received.withLock { $0 }
            guard total == descriptor.size else {
                throw AttemptError(
                    Failure(
                        .unreachable,
                        "cannot get \(subject): the registry stopped after \(total) of \(descriptor.size) bytes",
                        at: reply.origin,
                        remedy: "try again"
                    ),
                    retry: .later(nil)
                )
            }
            _ = try await BlockingPool.shared.run { try ingest.commit() }
        } catch {
            progress?(-received.withLock { $0 })
            ingest.abandon()
            throw Self.placed(error, subject: subject, origin: reply.origin)
        }
    }

    private static func write(_ buffer: ByteBuffer, to ingest: BlobIngest) async throws {
        guard buffer.readableBytes > 0 else { return }
        try await BlockingPool.shared.run { try buffer.withUnsafeReadableBytes { try ingest.write($0) } }
    }

    /// Says where wrong bytes came from: the store only knows that they are wrong.
    private static func placed(_ error: any Error, subject: String, origin: String) -> any Error {
        guard var failure = error as? Failure, failure.kind == .integrity, failure.place == nil else { return error }
        failure.what = "cannot get \(subject): \(failure.what)"
        failure.place = origin
        failure.remedy = "the registry, or something on the way, changed the content: tell whoever runs it"
        return failure
    }
}
