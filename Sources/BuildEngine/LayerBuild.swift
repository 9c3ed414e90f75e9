import Archive
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage

/// Turns a plan of copies into a layer of the store: read once, hashed before and after compression while it is written.
struct LayerBuild {
    /// A layer of the store.
    struct Layer: Sendable {
        /// The compressed blob.
        var descriptor: Descriptor
        /// The digest before compression.
        var diffID: Digest
    }

    /// Writes the layer, unless the cache knows it.
    ///
    /// - Parameters:
    ///   - timestamp: the time of every entry, seconds since 1970.
    ///   - advanced: gets the bytes of content written so far.
    /// - Returns: the layer, and whether it was known.
    static func run(
        _ plan: CopyPlan,
        into store: ImageStore,
        timestamp: Int64,
        cache: LayerCache?,
        advanced: @escaping @Sendable (Int64) -> Void
    ) async throws -> (layer: Layer, wasKnown: Bool) {
        let ingest = try await store.ingest()
        return try await BlockingPool.shared.run { cancellation in
            let blob = FunctionSink { try ingest.write($0) }
            var hasher = ContentHasher()
            let compressed = try Compression.zstd.encoder(into: blob)
            let tar = ObservedSink(compressed) { hasher.update($0) }
            let writer = LayerWriter(tar, timestamp: timestamp, cancellation: cancellation, progress: advanced)
            for item in plan.items { try writer.add(item.source, as: item.destination) }
            let key = LayerCache.Key(writer, packing: "zstd")
            if let known = try cache?.layer(for: key, in: store) {
                ingest.abandon()
                return (Layer(descriptor: known.descriptor, diffID: known.diffID), true)
            }
            try writer.finish()
            let layer = Layer(
                descriptor: try ingest.commit(mediaType: MediaType.layerZstd),
                diffID: hasher.digest()
            )
            try cache?.keep(.init(descriptor: layer.descriptor, diffID: layer.diffID), for: key)
            return (layer, false)
        }
    }
}
