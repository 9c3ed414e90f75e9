import OCI
import Remote
import Report

/// The store of a node, as far as the agent needs it.
public protocol NodeStore: Sendable {
    /// Which of the blobs are not there, in the given order.
    func missing(_ blobs: [Descriptor]) async throws -> [Descriptor]

    /// Begins to take a blob.
    func ingest(_ blob: Descriptor) async throws -> any NodeIngest

    /// Gives an image its name; all its blobs must be there.
    ///
    /// - Throws: `Failure` of kind `notFound` that names what is not.
    func name(_ image: Descriptor, as reference: Reference) async throws
}

/// A blob on its way into a node's store. All calls block.
public protocol NodeIngest: Sendable {
    /// Appends bytes.
    func write(_ bytes: UnsafeRawBufferPointer) throws
    /// Verifies what was written and gives it its name.
    func complete() throws
    /// Drops what was written; does nothing after `complete`.
    func abandon()
}

/// Gets blobs from a registry into the node's store.
public protocol BlobFetcher: Sendable {
    /// Fetches what is missing, several at once, each verified.
    ///
    /// - Parameter advanced: gets the number of bytes fetched so far.
    func fetch(_ request: FetchRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws
}

/// Makes a folder of an image in the node's store.
public protocol ImageUnpacker: Sendable {
    /// Unpacks the layers, base first, and puts the result in the place of what was there.
    ///
    /// - Parameter advanced: gets the number of bytes written so far.
    func unpack(_ request: UnpackRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws
}

/// What an agent works with.
public struct NodeServices: Sendable {
    /// The store.
    public var store: any NodeStore
    /// Gets blobs.
    public var fetcher: any BlobFetcher
    /// Unpacks images.
    public var unpacker: any ImageUnpacker

    /// Puts the services together.
    public init(store: any NodeStore, fetcher: any BlobFetcher, unpacker: any ImageUnpacker) {
        self.store = store
        self.fetcher = fetcher
        self.unpacker = unpacker
    }
}
