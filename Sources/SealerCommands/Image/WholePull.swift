import ImageStore
import OCI
import OlderImages
import RegistryClient
import Report

/// Pulls images with all that they have, and makes ClusterImages of those of older releases.
struct WholePull {
    private let puller: ImagePuller
    private let older: OlderImages

    init(client: RegistryClient, store: ImageStore, progress: any ProgressSink) {
        puller = ImagePuller(client: client, store: store, progress: progress)
        older = OlderImages(store, progress: progress)
    }

    /// Pulls for all platforms.
    func pull(_ name: Reference) async throws -> Descriptor {
        var known: Descriptor?
        let pulled = try await puller.pullAll(name) { descriptor in
            known = try await older.adopted(descriptor.digest, under: name)
            return known != nil
        }
        if let known { return known }
        return try await older.adopt(pulled.descriptor, named: name.familiar)
    }

    /// Pulls for one platform.
    func pull(_ name: Reference, platform: Platform) async throws -> Descriptor {
        let pulled = try await puller.pull(name, platform: platform)
        if case .index(let index) = pulled.top.document, index.artifactType == MediaType.clusterImage {
            throw Failure(.usage, "a ClusterImage is pulled whole: leave --platform out", at: name.familiar)
        }
        return try await older.adopt(pulled.manifest.descriptor, named: name.familiar)
    }
}
