import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Report
import SystemPackage

/// Keeps the blobs of a store from being deleted while it is held: whoever pulls, builds or receives holds one.
public final class StoreSession: Sendable {
    private let lock: FileLock

    init(path: FilePath, exclusive: Bool, limit: Duration) throws {
        lock = try FileLock(
            path,
            exclusive ? .exclusive : .shared,
            limit: limit,
            guarding: exclusive ? "the image store (a build, a pull or a run is using it)" : "the image store"
        )
    }

    /// Ends the session; a second call does nothing, and the end of the object does it too.
    public func end() { lock.release() }
}

extension ImageStore {
    /// Begins to add blobs, at most `limit` after another process stops deleting some.
    public func session(limit: Duration = .seconds(60)) async throws -> StoreSession {
        let path = root.appending("blobs.lock")
        return try await BlockingPool.shared.run { try StoreSession(path: path, exclusive: false, limit: limit) }
    }

    // MARK: - Names

    /// Reads `index.json`: every named image of the store.
    public func names() async throws -> [(reference: Reference, descriptor: Descriptor)] {
        let root = root
        return try await BlockingPool.shared.run {
            try Self.readIndex(root).manifests.compactMap { descriptor in
                guard let name = descriptor.annotations?[AnnotationKey.refName] else { return nil }
                guard let reference = try? Reference(name) else {
                    throw Failure(
                        .integrity,
                        "the store has an image under a name that is none: \(name)",
                        at: root.appending("index.json").string
                    )
                }
                return (reference, descriptor)
            }
        }
    }

    /// What a name stands for; nil when the store does not know it.
    ///
    /// A digest in the reference must fit: the image of that name must have it.
    public func resolve(_ reference: Reference) async throws -> Descriptor? {
        try await names().first { entry in
            guard entry.reference.repository == reference.repository else { return false }
            if let digest = reference.digest {
                return entry.descriptor.digest == digest
                    && (reference.tag == nil || entry.reference.tag == reference.tag)
            }
            return entry.reference.tag == reference.tag
        }?.descriptor
    }

    /// Gives content of the store a name, taking the name from whatever had it.
    ///
    /// - Returns: the descriptor that had the name before, if another one did.
    @discardableResult
    public func tag(_ descriptor: Descriptor, as reference: Reference) async throws -> Descriptor? {
        try await tag([(descriptor, reference)]).first?.previous
    }

    /// Gives several pieces of content their names in one step: whoever reads the list sees all of the new names or none.
    ///
    /// - Returns: the names that stood for something else before, with what that was.
    @discardableResult
    public func tag(
        _ images: [(descriptor: Descriptor, reference: Reference)]
    ) async throws -> [(reference: Reference, previous: Descriptor)] {
        for (descriptor, reference) in images { try await check(descriptor, for: reference) }
        return try await changeIndex { index in
            let replaced = images.compactMap { descriptor, reference in
                Self.put(descriptor, as: reference, into: &index).map { (reference: reference, previous: $0) }
            }
            index.manifests.sort { Self.sortKey($0) < Self.sortKey($1) }
            return replaced
        }
    }

    private func check(_ descriptor: Descriptor, for reference: Reference) async throws {
        guard try await size(of: descriptor.digest) == descriptor.size else {
            throw Failure(
                .software, "cannot name \(descriptor.digest) \(reference): it is not in the store", at: root.string)
        }
        if let digest = reference.digest, digest != descriptor.digest {
            throw Failure(
                .integrity, "\(descriptor.digest) cannot be named \(reference): the name has another digest",
                at: root.string)
        }
    }

    /// Gives content of the store a name. What had the name gets one by its digest, unless it has another one in the repository:
    /// in one step, so that it is never without.
    public func move(_ reference: Reference, to descriptor: Descriptor) async throws {
        try await check(descriptor, for: reference)
        try await changeIndex { index in
            if let previous = Self.put(descriptor, as: reference, into: &index) {
                try Self.keep(previous, of: reference, in: &index)
            }
            index.manifests.sort { Self.sortKey($0) < Self.sortKey($1) }
        }
    }

    /// Takes a name away, if it stands for what somebody saw. What had it gets one by its digest, unless it has another one in the
    /// repository: in one step, so that it is never without.
    public func release(_ reference: Reference, ifStandsFor digest: Digest) async throws {
        try await changeIndex { index in
            guard let previous = Self.remove(reference, ifStandsFor: digest, from: &index) else { return }
            try Self.keep(previous, of: reference, in: &index)
            index.manifests.sort { Self.sortKey($0) < Self.sortKey($1) }
        }
    }

    private static func keep(_ descriptor: Descriptor, of reference: Reference, in index: inout ImageIndex) throws {
        let isNamed = index.manifests.contains { entry in
            guard entry.digest == descriptor.digest, let name = entry.annotations?[AnnotationKey.refName],
                let other = try? Reference(name)
            else { return false }
            return other.repository == reference.repository
        }
        guard !isNamed else { return }
        let name = try Reference(
            domain: reference.domain, path: reference.path, tag: nil, digest: descriptor.digest)
        _ = put(descriptor, as: name, into: &index)
    }

    private static func put(_ descriptor: Descriptor, as reference: Reference, into index: inout ImageIndex)
        -> Descriptor?
    {
        var entry = descriptor
        entry.annotations = [
            AnnotationKey.refName: reference.description,
            AnnotationKey.storedAt: Date.now.ISO8601Format(),
        ]
        let old = index.manifests.firstIndex { $0.annotations?[AnnotationKey.refName] == reference.description }
        guard let old else {
            index.manifests.append(entry)
            return nil
        }
        let previous = index.manifests[old]
        guard previous.digest != entry.digest else { return nil }
        index.manifests[old] = entry
        return previous
    }

    /// Takes a name away; the content stays until the next `collectGarbage`.
    ///
    /// - Parameter digest: take it away only if it stands for this, for it may have moved since somebody looked; nil takes it
    ///   away whatever it stands for.
    /// - Returns: what the name stood for, nil when there was no such name.
    @discardableResult
    public func untag(_ reference: Reference, ifStandsFor digest: Digest? = nil) async throws -> Descriptor? {
        try await changeIndex { Self.remove(reference, ifStandsFor: digest, from: &$0) }
    }

    private static func remove(_ reference: Reference, ifStandsFor digest: Digest?, from index: inout ImageIndex)
        -> Descriptor?
    {
        guard
            let position = index.manifests.firstIndex(where: {
                $0.annotations?[AnnotationKey.refName] == reference.description
            }), digest == nil || index.manifests[position].digest == digest
        else { return nil }
        return index.manifests.remove(at: position)
    }

    private static func sortKey(_ descriptor: Descriptor) -> String {
        descriptor.annotations?[AnnotationKey.refName] ?? descriptor.digest.description
    }

    private static func readIndex(_ root: FilePath) throws -> ImageIndex {
        let path = root.appending("index.json")
        let bytes = try readFile(path, limit: 64 << 20)
        do {
            return try JSONDecoder().decode(ImageIndex.self, from: bytes)
        } catch {
            throw Failure(.integrity, "the store's list of images cannot be read", at: path.string, causes: [error])
        }
    }

    private func changeIndex<Result: Sendable>(
        _ change: @escaping @Sendable (inout ImageIndex) throws -> Result
    ) async throws -> Result {
        let root = root
        return try await BlockingPool.shared.run {
            let lock = try FileLock(
                root.appending("index.lock"),
                .exclusive,
                limit: .seconds(30),
                guarding: "the list of images"
            )
            defer { lock.release() }
            var index = try Self.readIndex(root)
            let before = index
            let result = try change(&index)
            if index != before { try AtomicFile.write(canonicalJSON(index), to: root.appending("index.json")) }
            return result
        }
    }

    // MARK: - What belongs together

    /// Everything that a descriptor leads to, itself first, each digest once.
    ///
    /// Upstream indexes list manifests that are not carried; only what the ClusterImage's own documents refer to counts.
    public func closure(of root: Descriptor) async throws -> [Descriptor] {
        var result: [Descriptor] = []
        var listed: Set<Digest> = []
        // What was only listed as the bytes of a manifest may still come as a document of its own.
        var followed: Set<Digest> = []
        var queue: [(descriptor: Descriptor, depth: Int)] = [(root, 0)]
        var next = 0
        while next < queue.count {
            let (descriptor, depth) = queue[next]
            next += 1
            if listed.insert(descriptor.digest).inserted { result.append(descriptor) }
            let isDocument = MediaType.isIndex(descriptor.mediaType) || MediaType.isManifest(descriptor.mediaType)
            guard isDocument, depth < 3, followed.insert(descriptor.digest).inserted else { continue }
            let document = try await document(descriptor)
            for reference in document.references {
                // What a manifest refers to is only bytes, even when it has an index's type (upstream indexes).
                if case .manifest = document {
                    if listed.insert(reference.digest).inserted { result.append(reference) }
                } else {
                    queue.append((reference, depth + 1))
                }
            }
        }
        return result
    }
}
