import ImageStore
import ImageTree
import Remote
import SystemPackage

/// Unpacks images of the node's own store.
public struct LayerUnpacker: ImageUnpacker {
    private let unpacker: TreeUnpacker

    /// Names the store.
    public init(_ store: ImageStore) {
        unpacker = TreeUnpacker(store)
    }

    /// Unpacks the image into the folder; a failure leaves what was there.
    public func unpack(_ request: UnpackRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws {
        try await unpacker.unpack(request.manifest, to: FilePath(request.destination), advanced: advanced)
    }
}
