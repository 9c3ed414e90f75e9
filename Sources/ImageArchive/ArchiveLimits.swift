import Archive
import OCI

/// The bounds of what is read out of an image archive, which may be a stranger's.
public struct ArchiveLimits: Sendable, Hashable {
    /// The most entries that an archive may have.
    public var entries: Int
    /// The most bytes of all unpacked content. What the store's disk has free is a bound of its own, looked at for each blob.
    public var size: Int64
    /// The most bytes of `manifest.json` and `sealer-delta.json`, which are lists, and are kept in memory.
    public var listSize: Int
    /// The most manifests and indexes that the images of an archive may lead to.
    public var documents: Int
    /// The most references that all these documents may hold together.
    public var references: Int
    /// The most unpacked bytes for each packed byte, when the archive or a layer of a docker-archive is compressed.
    public var ratio: Int64
    /// Up to so many unpacked bytes any ratio is fine.
    public var ratioAppliesAbove: Int64

    /// Makes bounds; the defaults are 200,000 entries, 1 TiB, lists of 32 MiB, 20,000 documents with 400,000 references, and a
    /// thousandfold beyond the first 64 MiB.
    public init(
        entries: Int = 200_000,
        size: Int64 = 1 << 40,
        listSize: Int = 32 << 20,
        documents: Int = 20_000,
        references: Int = 400_000,
        ratio: Int64 = 1000,
        ratioAppliesAbove: Int64 = 64 << 20
    ) {
        self.entries = entries
        self.size = size
        self.listSize = listSize
        self.documents = documents
        self.references = references
        self.ratio = ratio
        self.ratioAppliesAbove = ratioAppliesAbove
    }

    /// What a packed stream may unpack to.
    var decompression: DecompressionLimits {
        DecompressionLimits(maximumSize: size, maximumRatio: ratio, ratioAppliesAbove: ratioAppliesAbove)
    }

    var tar: TarLimits { TarLimits(maximumEntries: entries, sparse: decompression) }
}
