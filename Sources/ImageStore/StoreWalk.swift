import OCI
import Report

/// Follows names to all that they need, over blobs whose state is known, and notes what is wrong instead of stopping there.
struct StoreWalk {
    let store: ImageStore
    let states: [Digest: BlobState]
    /// What is wrong that belongs to no image.
    var damages: [StoreDamage] = []

    private var found: [Digest: StoreDamage] = [:]
    private var isNeeded: Set<Digest> = []

    init(store: ImageStore, states: [Digest: BlobState]) {
        self.store = store
        self.states = states
    }

    /// One thing to look at: the image that needs it, and the names a registry may know it by.
    private struct Item {
        var descriptor: Descriptor
        var sources: [String]
        var depth: Int
    }

    /// Looks at everything that a named descriptor leads to.
    mutating func follow(_ descriptor: Descriptor, named name: Reference) async throws {
        var seen: Set<Digest> = []
        // What was only listed as the bytes of a manifest may still come as a document of its own.
        var followed: Set<Digest> = []
        var queue = [Item(descriptor: descriptor, sources: [name.description], depth: 0)]
        var next = 0
        while next < queue.count {
            let item = queue[next]
            next += 1
            let isNew = seen.insert(item.descriptor.digest).inserted
            isNeeded.insert(item.descriptor.digest)
            if let (kind, detail) = problem(with: item.descriptor) {
                if isNew { note(kind, detail, item, image: name) }
                continue
            }
            let type = item.descriptor.mediaType
            guard MediaType.isIndex(type) || MediaType.isManifest(type), item.depth < 3,
                followed.insert(item.descriptor.digest).inserted
            else { continue }
            let document: Document
            do {
                document = try await store.document(item.descriptor)
            } catch let failure as Failure {
                note(.malformed, failure.what, item, image: name)
                continue
            }
            for reference in document.references {
                // A contained image is in its own registry too, under its own name; that is where it came from.
                let own = reference.annotations?[AnnotationKey.imageName]
                let sources = [own].compactMap(\.self) + item.sources
                // What a manifest refers to is only bytes, even when it has an index's type (upstream indexes).
                let depth = if case .manifest = document { 3 } else { item.depth + 1 }
                queue.append(Item(descriptor: reference, sources: sources, depth: depth))
            }
        }
    }

    private func problem(with blob: Descriptor) -> (StoreDamage.Kind, String)? {
        switch states[blob.digest] {
        case nil: (.missing, "it is not there")
        case .unreadable(let error): (.unreadable, error)
        case .changed(let size, let digest):
            size == blob.size
                ? (.changed, "its bytes have the digest \(digest)")
                : (.truncated, "it has \(size) of \(blob.size) bytes")
        case .good(let size) where size != blob.size:
            (.malformed, "it has \(size) bytes, what refers to it says \(blob.size)")
        case .good: nil
        }
    }

    private mutating func note(_ kind: StoreDamage.Kind, _ detail: String, _ item: Item, image: Reference) {
        let digest = item.descriptor.digest
        var damage =
            found[digest]
            ?? StoreDamage(
                kind: kind, path: digest.layoutPath, detail: detail, blob: item.descriptor, images: [], sources: [])
        damage.images.append(image.familiar)
        damage.sources += item.sources.filter { !damage.sources.contains($0) }
        found[digest] = damage
    }

    /// All that is wrong, blobs that no image needs included, sorted by path.
    ///
    /// - Parameter isComplete: whether all names were followed; if not, nobody knows what is needed.
    func result(isComplete: Bool) -> [StoreDamage] {
        var result = damages + Array(found.values)
        for (digest, state) in states where !isNeeded.contains(digest) {
            let (kind, detail): (StoreDamage.Kind, String)
            switch state {
            case .good: continue
            case .changed(_, let actual): (kind, detail) = (.changed, "its bytes have the digest \(actual)")
            case .unreadable(let error): (kind, detail) = (.unreadable, error)
            }
            result.append(
                StoreDamage(
                    kind: kind, path: digest.layoutPath, detail: isComplete ? "\(detail); no image needs it" : detail,
                    blob: nil, unneeded: isComplete ? digest : nil, images: [], sources: []))
        }
        return result.sorted { ($0.path, $0.kind.rawValue) < ($1.path, $1.kind.rawValue) }
    }
}
