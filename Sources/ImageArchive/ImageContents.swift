import ImageStore
import OCI
import Report

/// Everything that some images lead to, each digest once: documents in the order in which they are referred to, then blobs.
struct ImageContents: Sendable {
    /// Manifests and indexes, each before those that it leads to.
    private(set) var documents: [(descriptor: Descriptor, document: Document)] = []
    /// Configurations, layers, and whatever else manifests refer to.
    private(set) var blobs: [Descriptor] = []
    /// What the store lacks. What a missing document leads to is not known.
    private(set) var missing: [Descriptor] = []

    private var sizes: [Digest: Int64] = [:]
    private var references = 0

    /// How deep documents may be nested: an index in an index, and a manifest in that. Garbage collection follows as far.
    static let depth = 3

    /// All descriptors, in the order in which an archive has them.
    var all: [Descriptor] { documents.map(\.descriptor) + blobs }

    /// Follows the images through the store.
    ///
    /// - Throws: `Failure` of kind `integrity` when a document is damaged or malformed, when documents are nested too deep, when two
    ///   references disagree on the size of a blob, or when a bound is passed.
    init(of roots: [Descriptor], in store: ImageStore, limits: ArchiveLimits) async throws {
        var queue: [(descriptor: Descriptor, depth: Int)] = []
        for root in roots {
            guard MediaType.isIndex(root.mediaType) || MediaType.isManifest(root.mediaType) else {
                throw Failure(.integrity, "\(root.digest) is of type \(root.mediaType.prefix(100)), which is no image")
            }
            try note(root, limits)
            queue.append((root, 0))
        }
        var followed: Set<Digest> = []
        var bytes: [Descriptor] = []
        var next = 0
        while next < queue.count {
            let (descriptor, depth) = queue[next]
            next += 1
            guard MediaType.isIndex(descriptor.mediaType) || MediaType.isManifest(descriptor.mediaType) else {
                bytes.append(descriptor)
                continue
            }
            guard followed.insert(descriptor.digest).inserted else { continue }
            guard depth < Self.depth else {
                throw Failure(.integrity, "\(descriptor.digest) is nested deeper than \(Self.depth) documents")
            }
            guard documents.count < limits.documents else {
                throw Failure(.integrity, "the images lead to more than \(limits.documents) documents")
            }
            guard try await store.size(of: descriptor.digest) == descriptor.size else {
                missing.append(descriptor)
                continue
            }
            let document = try await store.document(descriptor)
            documents.append((descriptor, document))
            for reference in document.references {
                try note(reference, limits)
                // What a manifest refers to is only bytes, even when it has an index's type (upstream indexes).
                if case .manifest = document { bytes.append(reference) } else { queue.append((reference, depth + 1)) }
            }
        }
        var seen = followed
        blobs = bytes.filter { seen.insert($0.digest).inserted }
        missing += try await store.missing(blobs)
    }

    private mutating func note(_ reference: Descriptor, _ limits: ArchiveLimits) throws {
        references += 1
        guard references <= limits.references else {
            throw Failure(.integrity, "the images hold more than \(limits.references) references")
        }
        guard reference.size >= 0, sizes[reference.digest, default: reference.size] == reference.size else {
            throw Failure(.integrity, "two references to \(reference.digest) disagree on its size")
        }
        sizes[reference.digest] = reference.size
    }

    /// The digests of some blobs for a message, not too many of them.
    static func list(_ digests: [Digest]) -> String {
        let shown = digests.prefix(20).map(\.description).joined(separator: ", ")
        return digests.count > 20 ? "\(shown) and \(digests.count - 20) more" : shown
    }
}
