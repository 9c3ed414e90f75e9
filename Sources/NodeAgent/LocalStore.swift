import Archive
import FoundationEssentials
import ImageStore
import OCI
import RegistryClient
import Remote
import Report
import Synchronization
import SystemPackage

/// A node's store over the project's own image store.
///
/// From the first blob it takes until it ends, it keeps others from deleting blobs that have no name yet.
public final class LocalStore: NodeStore {
    /// The image store underneath.
    public let store: ImageStore
    private let session = Mutex<StoreSession?>(nil)

    /// Takes a store.
    public init(_ store: ImageStore) {
        self.store = store
    }

    /// Which of the blobs are not there, in the given order.
    public func missing(_ blobs: [Descriptor]) async throws -> [Descriptor] {
        try await store.missing(blobs)
    }

    /// Begins to take a blob.
    public func ingest(_ blob: Descriptor) async throws -> any NodeIngest {
        try await keep()
        return StoreIngest(ingest: try await store.ingest(blob))
    }

    /// Gives an image its name; all its blobs must be there.
    public func name(_ image: Descriptor, as reference: Reference) async throws {
        guard try await store.missing([image]).isEmpty else {
            throw Failure(
                .notFound, "cannot name \(reference.familiar): the store lacks \(image.digest)", at: store.root.string)
        }
        let parts = try await store.closure(of: image)
        if let lacking = try await store.missing(parts).first {
            throw Failure(
                .notFound, "cannot name \(reference.familiar): the store lacks \(lacking.digest)", at: store.root.string
            )
        }
        try await store.tag(image, as: reference)
    }

    /// Holds the store's blobs, if that is not done yet.
    func keep() async throws {
        guard session.withLock({ $0 == nil }) else { return }
        let new = try await store.session()
        session.withLock { if $0 == nil { $0 = new } }
    }
}

private struct StoreIngest: NodeIngest {
    let ingest: BlobIngest

    func write(_ bytes: UnsafeRawBufferPointer) throws { try ingest.write(bytes) }
    func complete() throws { try ingest.commit() }
    func abandon() { ingest.abandon() }
}

/// Fetches blobs with the project's registry client.
public struct RegistryFetcher: BlobFetcher {
    /// How many blobs are under way at once.
    static let concurrency = 4
    private let local: LocalStore

    /// Names the store that the blobs go to.
    public init(into local: LocalStore) {
        self.local = local
    }

    /// Fetches what is missing.
    public func fetch(_ request: FetchRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws {
        try await local.keep()
        var configuration = RegistryConfiguration()
        if let address = request.address {
            guard let host = URL(string: request.registry)?.host(percentEncoded: false) else {
                throw Failure(.invalidInput, "the registry's address is none: \(request.registry)")
            }
            configuration.addresses = [host: address]
        }
        let client = RegistryClient(configuration: configuration)
        do {
            try await client.fetch(
                blobs: request.blobs,
                repository: request.repository,
                registry: request.registry,
                authority: request.authority,
                into: local.store,
                concurrency: Self.concurrency,
                progress: advanced
            )
        } catch {
            await client.close()
            throw error
        }
        await client.close()
    }
}
