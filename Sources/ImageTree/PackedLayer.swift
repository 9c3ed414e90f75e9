import Archive
import ImageStore
import OCI
import Report
import SystemPackage

/// A layer as it lies in the store.
public struct PackedLayer: Sendable {
    /// Where it lies.
    public let path: FilePath
    /// Its digest as it is packed.
    public let digest: Digest
    private let compression: Compression

    /// Names a layer.
    ///
    /// - Throws: `Failure` of kind `invalidInput` when its type is not known.
    public init(_ layer: Descriptor, in store: ImageStore) throws {
        guard let compression = Compression(mediaType: layer.mediaType) else {
            throw Failure(
                .invalidInput, "a layer of the type \(layer.mediaType) cannot be unpacked", at: layer.digest.description
            )
        }
        self.compression = compression
        path = store.path(of: layer.digest)
        digest = layer.digest
    }

    /// What it is, for messages.
    public var place: String { digest.description }

    /// The archive, unpacked while it is read. Blocks.
    public func open() throws -> any ByteSource {
        try decoder(try FileSource(path))
    }

    /// The blob's bytes as they are packed, each chunk shown to an observer.
    func file(_ observe: @escaping (UnsafeRawBufferPointer) throws -> Void) throws -> ObservedSource {
        ObservedSource(try FileSource(path), observe: observe)
    }

    /// Unpacks the blob's bytes.
    func decoder(_ packed: any ByteSource) throws -> any ByteSource { try compression.decoder(packed, place: place) }
}
