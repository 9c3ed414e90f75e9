import FoundationEssentials
import OCI

/// Where a build gets images from: a registry client, in the tool; the engine knows no more of it than this. It reports its
/// own progress.
public protocol ImageSource: Sendable {
    /// Brings a container image for one platform into the store, blobs and documents.
    ///
    /// Several calls at once share their blobs and their limits.
    func pull(_ reference: Reference, platform: Platform) async throws -> PulledImageRecord

    /// Brings a ClusterImage into the store.
    ///
    /// - Returns: the descriptor of its index.
    func pullClusterImage(_ reference: Reference) async throws -> Descriptor
}

/// What a pull brought.
public struct PulledImageRecord: Sendable {
    /// The manifest of the platform, as upstream has it, with its platform.
    public var manifest: Descriptor
    /// The upstream index that led to it, when there is one; a blob of the store.
    public var upstreamIndex: Descriptor?

    /// Makes a record.
    public init(manifest: Descriptor, upstreamIndex: Descriptor?) {
        self.manifest = manifest
        self.upstreamIndex = upstreamIndex
    }
}
