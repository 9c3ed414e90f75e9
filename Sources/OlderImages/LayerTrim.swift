import Archive
import ImageStore
import ImageTree
import LinuxSystem
import OCI
import Report

/// Packs a layer again without the files of the registry that it carried: format 1 keeps images beside the layers, not in them.
struct LayerTrim {
    /// A layer of the rootfs as format 1 has it.
    struct Layer: Sendable {
        var descriptor: Descriptor
        var diffID: Digest
    }

    /// Writes what else the layer holds. Blocks. Hold a `StoreSession`.
    ///
    /// - Returns: nil when there is nothing else.
    /// - Throws: `Failure` of kind `integrity`, also for a hard link to a file that goes.
    static func run(_ layer: PackedLayer, into store: ImageStore, _ cancellation: CancellationFlag) throws -> Layer? {
        let root = try ArchivePath(Array(CarriedRegistry.folder.utf8))
        let ingest = try store.beginBlob()
        var hasher = ContentHasher()
        let blob = FunctionSink { try ingest.write($0) }
        let sink = ObservedSink(try Compression.zstd.encoder(into: blob)) { hasher.update($0) }
        let reader = TarReader(try layer.open(), place: layer.place)
        let writer = TarWriter(sink)
        var isWorthKeeping = false
        while let entry = try reader.next() {
            try cancellation.check()
            let path = try ArchivePath(entry.name)
            guard !path.isWithin(root), !path.isRoot else { continue }
            if entry.kind == .hardLink, try ArchivePath(entry.linkName).isWithin(root) {
                throw Failure(
                    .integrity, "is a hard link into the registry that the image carries", at: "\(layer.place): \(path)"
                )
            }
            // The folders that only lead to the tree are no reason for a layer.
            if entry.kind != .folder || !root.isWithin(path) { isWorthKeeping = true }
            try writer.begin(entry)
            while try reader.withContent({ try writer.write($0) }) != nil { try cancellation.check() }
        }
        try writer.finish()
        guard isWorthKeeping else {
            ingest.abandon()
            return nil
        }
        return Layer(descriptor: try ingest.commit(mediaType: MediaType.layerZstd), diffID: hasher.digest())
    }
}
