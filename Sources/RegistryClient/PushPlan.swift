import FoundationEssentials
import ImageStore
import OCI
import Report
import SystemPackage

/// What a push must bring to a repository, read from the store.
struct PushPlan: Sendable {
    /// A manifest or an index.
    struct Item: Sendable {
        var descriptor: Descriptor
        var bytes: Data
    }

    /// The documents below the top, whoever is referred to before who refers.
    var levels: [[Item]] = []
    /// The document that gets the name.
    var top: Item
    /// The content that documents refer to, each once, large ones first.
    var blobs: [Descriptor] = []
    /// The repositories (`HOST/PATH`) that may have a blob, the likeliest first.
    var sources: [Digest: [String]] = [:]

    /// All bytes of blobs and documents.
    var total: Int64 {
        (levels.joined().map(\.descriptor) + [top.descriptor] + blobs).reduce(0) { sum, item in
            let (result, isTooMuch) = sum.addingReportingOverflow(item.size)
            return isTooMuch ? .max : result
        }
    }

    /// How deep indexes may lie in each other.
    private static let depthLimit = 4

    /// Follows a descriptor to all that it needs.
    ///
    /// - Throws: `Failure` of kind `notFound` or `integrity` when the store lacks something: nothing was sent then.
    init(_ root: Descriptor, in store: ImageStore) async throws {
        top = Item(descriptor: root, bytes: try await store.bytes(of: root))
        var sizes: [Digest: Int64] = [:]
        // The longest way to a document counts: it must be there before all who refer to it.
        var depths: [Digest: Int] = [root.digest: 0]
        var items: [Digest: Item] = [root.digest: top]
        var level = [(item: top, source: String?.none)]
        var depth = 0
        while !level.isEmpty {
            guard depth < Self.depthLimit else {
                throw Failure(
                    .integrity, "indexes lie more than \(Self.depthLimit) deep in each other", at: store.root.string)
            }
            depth += 1
            var next: [(item: Item, source: String?)] = []
            for (item, source) in level {
                let document = try Document(
                    item.bytes, mediaType: item.descriptor.mediaType, at: store.path(of: item.descriptor.digest).string)
                switch document {
                case .index(let index):
                    for entry in index.manifests where depths.updateValue(depth, forKey: entry.digest) != depth {
                        let name = entry.annotations?[AnnotationKey.imageName]
                        let own = try name.map { try Reference($0).repository } ?? source
                        let child = Item(descriptor: entry, bytes: try await store.bytes(of: entry))
                        items[entry.digest] = child
                        next.append((child, own))
                    }
                case .manifest: try note(document.references, from: source, &sizes, store)
                }
            }
            level = next
        }
        levels = (1..<max(depth, 1)).reversed().map { depth in
            items.values.filter { depths[$0.descriptor.digest] == depth }
                .sorted { $0.descriptor.digest.hex < $1.descriptor.digest.hex }
        }
        blobs.sort { ($0.size, $0.digest.hex) > ($1.size, $1.digest.hex) }
        let missing = try await store.missing(blobs)
        guard missing.isEmpty else {
            throw Failure(
                .notFound,
                "the store lacks \(missing.count) of \(blobs.count) blobs of the image, or has them in another size",
                at: store.root.string,
                remedy: "sealer fsck --repair",
                causes: missing.prefix(20).map { Failure(.notFound, "\($0.digest), \($0.size) bytes") }
            )
        }
    }

    /// Notes what a manifest refers to. It is only bytes, even when it has an index's type (upstream indexes).
    private mutating func note(
        _ references: [Descriptor],
        from source: String?,
        _ sizes: inout [Digest: Int64],
        _ store: ImageStore
    ) throws {
        for blob in references {
            if let source { note(source, for: blob.digest) }
            guard let size = sizes[blob.digest] else {
                sizes[blob.digest] = blob.size
                blobs.append(blob)
                continue
            }
            guard size == blob.size else {
                throw Failure(
                    .integrity, "the manifests give \(blob.digest) both \(blob.size) and \(size) bytes",
                    at: store.root.string)
            }
        }
    }

    private mutating func note(_ source: String, for digest: Digest) {
        if sources[digest]?.contains(source) != true { sources[digest, default: []].append(source) }
    }
}
