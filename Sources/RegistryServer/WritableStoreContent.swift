import FoundationEssentials
import ImageStore
import LinuxSystem
import NIOHTTP1
import OCI
import Report
import Synchronization

/// Serves a store as `StoreContent` does, and takes pushes in.
///
/// A pushed manifest has a name in the store's `index.json`: `REPOSITORY:TAG`, or `REPOSITORY@DIGEST` as long as no tag leads to
/// it. So the store stays a plain OCI image layout, other tools see what was pushed, and garbage collection keeps it, referrers
/// included. A manifest stays until it is deleted by its digest: a tag that moves or is deleted leaves its digest behind. A
/// repository without a registry in its name is one of `docker.io`, as everywhere in sealer.
///
/// An index is only taken in when all its members are there (the specification leaves that to the registry): what the store
/// names is complete.
public final class WritableStoreContent: WritableRegistryContent {
    private let store: ImageStore
    private let reader: StoreContent
    private let pending: PendingBlobs
    /// Repositories whose last manifest was deleted: they have no tags, which is not the same as never having been.
    private let emptied = Mutex<Set<String>>([])

    /// Makes the content of a store.
    ///
    /// - Parameters:
    ///   - pendingLimit: how long uploaded blobs wait for a manifest that refers to them, counted from the last time that
    ///     something was done for a push to their repository; so long they keep the store from being cleaned up.
    ///   - report: is told of each named image that cannot be read, whenever the names are read.
    public convenience init(
        store: ImageStore,
        pendingLimit: Duration = .seconds(600),
        report: @escaping @Sendable (Failure) -> Void = { _ in }
    ) {
        self.init(store: store, pending: PendingBlobs(limit: pendingLimit), report: report)
    }

    init(store: ImageStore, pending: PendingBlobs, report: @escaping @Sendable (Failure) -> Void = { _ in }) {
        self.store = store
        self.pending = pending
        reader = StoreContent(store: store, report: report)
    }

    // MARK: - Reading

    /// A manifest or an index, verified as it is read.
    public func manifest(
        repository: String, namespace: String?, reference: ManifestName, scope: RepositoryScope
    ) async throws -> ServedDocument? {
        try await reader.manifest(repository: repository, namespace: namespace, reference: reference, scope: scope)
    }

    /// A blob that a named image leads to, or that waits for its manifest.
    public func blob(_ digest: Digest) async throws -> ImageStore.OpenBlob? {
        // In this order: what stops waiting in between has a name by then.
        if pending.contains(digest) { return try await store.openBlob(digest) }
        return try await reader.blob(digest)
    }

    /// The tags of a repository.
    public func tags(repository fullName: String) async throws -> [String]? {
        if let tags = try await reader.tags(repository: fullName) { return tags }
        return emptied.withLock { $0.contains(fullName) } ? [] : nil
    }

    /// The full names of all repositories.
    public func repositories() async throws -> [String] {
        try await reader.repositories()
    }

    /// The full name of the repository that the path means: one that is there, or else where a push would go.
    public func fullName(repository: String, namespace: String?, scope: RepositoryScope) async throws -> String? {
        let catalogue = try await reader.catalogue()
        let candidates = try catalogue.candidates(path: repository, namespace: namespace, scope: scope)
        if let known = candidates.first(where: { catalogue.tags[$0] != nil }) { return known }
        let name = try pushName(repository: repository, namespace: namespace)
        return scope.contains(name) ? name : nil
    }

    /// Whether the repository leads to the digest, or has it waiting.
    public func holds(_ digest: Digest, repository fullName: String) async throws -> Bool {
        if pending.contains(digest, in: fullName) { return true }
        return try await reader.holds(digest, repository: fullName)
    }

    /// The manifests of the repository whose subject is the digest.
    public func referrers(of subject: Digest, repository fullName: String) async throws -> [Descriptor] {
        try await reader.referrers(of: subject, repository: fullName)
    }

    // MARK: - Blobs

    /// The path with its registry; without one it is `docker.io`.
    public func pushName(repository: String, namespace: String?) throws -> String {
        // A registry is written first, so that `ns=host` is one even without a dot.
        guard let namespace else { return try Reference(repository).repository }
        let domain = ["registry-1.docker.io", "index.docker.io"].contains(namespace) ? "docker.io" : namespace
        let path = domain == "docker.io" && !repository.contains("/") ? "library/\(repository)" : repository
        return try Reference(domain: domain, path: path, tag: nil).repository
    }

    /// Starts a blob in the store.
    public func upload(to repository: String, algorithm: Digest.Algorithm) async throws -> any BlobUpload {
        let session = try await session()
        do {
            let blob = try await store.receive(algorithm)
            pending.renew(repository)
            return StoreUpload(blob: blob, session: session, pending: pending, repository: repository)
        } catch {
            session.end()
            throw error
        }
    }

    /// Lets the blob wait for a manifest of the repository.
    public func mount(_ digest: Digest, to repository: String) async throws -> Bool {
        let session = try await session()
        // What no name leads to is nobody's.
        let isServed: Bool
        do {
            let isWaiting = pending.contains(digest)
            let catalogue = try await reader.catalogue()
            isServed =
                try await store.size(of: digest) != nil && (isWaiting || catalogue.blobs.contains(digest))
        } catch {
            session.end()
            throw error
        }
        guard isServed else {
            session.end()
            return false
        }
        pending.add(digest, to: repository, holding: session)
        return true
    }

    /// Forgets the blobs of pushes that do not go on.
    public func tidy() async {
        pending.tidy()
    }

    /// Garbage collection is short; a client that comes in its midst tries again.
    private func session() async throws -> StoreSession {
        try await store.session(limit: .seconds(2))
    }

    // MARK: - Manifests

    /// Stores and names a manifest.
    public func put(
        _ bytes: Data, mediaType: String?, to repository: String, as name: ManifestName, isConfined: Bool
    ) async throws -> PushedManifest {
        pending.renew(repository)
        let pushed = try await BlockingPool.shared.run {
            try PushedDocument(bytes, mediaType: mediaType, name: name)
        }
        guard !(isConfined && pushed.isClusterImage) else {
            throw RegistryError(
                .forbidden, .denied, "a ClusterImage brings images of other repositories, which this account may not")
        }
        let session = try await session()
        defer { session.end() }
        try await check(pushed, in: repository, isConfined: isConfined)
        let ingest = try await store.ingest(pushed.descriptor)
        try await BlockingPool.shared.run {
            try bytes.withUnsafeBytes { try ingest.write($0) }
            try ingest.commit()
        }
        try await self.name(pushed.descriptor, name, in: repository)
        reader.forget()
        pending.remove(pushed.document.references.map(\.digest) + [pushed.descriptor.digest], from: repository)
        return PushedManifest(digest: pushed.descriptor.digest, subject: pushed.subject)
    }

    /// All that the document refers to must be here, be visible to the client and have the size that the document says:
    /// anything else would make the store's names lead nowhere.
    private func check(_ pushed: PushedDocument, in repository: String, isConfined: Bool) async throws {
        let needed = pushed.needed
        // Before the catalogue: what stops waiting in between has a name by then.
        let waiting = Set(
            needed.map(\.digest).filter { pending.contains($0, in: isConfined ? repository : nil) })
        let catalogue = try await reader.catalogue()
        let unknown = needed.filter { reference in
            let digest = reference.digest
            let isVisible =
                isConfined ? catalogue.holds(digest, repository: repository) : catalogue.blobs.contains(digest)
            if pushed.isDocument(reference) { return catalogue.documents[digest] == nil || !isVisible }
            return !isVisible && !waiting.contains(digest)
        }
        guard unknown.isEmpty else { throw Self.lacks(unknown) }
        for reference in needed where pushed.isDocument(reference) {
            guard let known = catalogue.documents[reference.digest], known.mediaType == reference.mediaType else {
                throw RegistryError(
                    .badRequest, .manifestInvalid,
                    "the index calls \(reference.digest) \(reference.mediaType), which it is not")
            }
        }
        guard let wrong = try await store.missing(needed).first else { return }
        guard let size = try await store.size(of: wrong.digest) else { throw Self.lacks([wrong]) }
        throw RegistryError(
            .badRequest, .manifestInvalid,
            "\(wrong.digest) has \(size) bytes, the manifest says \(wrong.size)")
    }

    private static func lacks(_ references: [Descriptor]) -> RegistryError {
        let shown = references.prefix(5).map(\.digest.description).joined(separator: ", ")
        let more = references.count > 5 ? " and \(references.count - 5) more" : ""
        return RegistryError(
            .badRequest, .manifestBlobUnknown, "the manifest refers to what is not here: \(shown)\(more)")
    }

    private func name(_ descriptor: Descriptor, _ name: ManifestName, in repository: String) async throws {
        switch name {
        case .tag(let tag): try await store.move(try reference(repository, tag: tag), to: descriptor)
        case .digest: try await keep(descriptor, in: repository)
        }
    }

    /// Names a manifest by its digest, unless it has a name in the repository.
    private func keep(_ descriptor: Descriptor, in repository: String) async throws {
        let isNamed = try await store.names().contains {
            $0.reference.repository == repository && $0.descriptor.digest == descriptor.digest
        }
        if !isNamed { try await store.tag(descriptor, as: try reference(repository, digest: descriptor.digest)) }
    }

    private func reference(_ repository: String, tag: String? = nil, digest: Digest? = nil) throws -> Reference {
        let parts = repository.split(separator: "/", maxSplits: 1).map(String.init)
        guard parts.count == 2 else {
            throw Failure(.software, "the name of the repository has no registry", at: repository)
        }
        return try Reference(domain: parts[0], path: parts[1], tag: tag, digest: digest)
    }

    // MARK: - Deletion

    /// Takes a tag away, or a manifest with all its names in the repository.
    public func delete(_ name: ManifestName, from repository: String) async throws -> Bool {
        let names = try await store.names().filter { $0.reference.repository == repository }
        let catalogue = try await reader.catalogue()
        switch name {
        case .tag(let tag):
            let wanted = try reference(repository, tag: tag)
            guard let entry = names.first(where: { $0.reference == wanted }) else {
                guard catalogue.tags[repository]?[tag] == nil else { throw Self.isMember }
                return false
            }
            let session = try await session()
            defer { session.end() }
            // A push may have moved it meanwhile: then it is the push's.
            try await store.release(wanted, ifStandsFor: entry.descriptor.digest)
        case .digest(let digest):
            guard !catalogue.isPart(digest, repository: repository) else { throw Self.isMember }
            let entries = names.filter { $0.descriptor.digest == digest }
            guard !entries.isEmpty else { return false }
            for entry in entries { try await store.untag(entry.reference, ifStandsFor: digest) }
            if entries.count == names.count { emptied.withLock { if $0.count < 10_000 { $0.insert(repository) } } }
        }
        reader.forget()
        return true
    }

    /// Takes a blob away that waits for a manifest; its bytes go with the next garbage collection.
    public func delete(_ digest: Digest, from repository: String) async throws -> Bool {
        guard try await !reader.holds(digest, repository: repository) else {
            throw RegistryError(
                .methodNotAllowed, .unsupported, "a manifest of the repository refers to the blob: delete that first")
        }
        return pending.remove([digest], from: repository)
    }

    private static let isMember = RegistryError(
        .badRequest, .unsupported, "an index or a ClusterImage contains it: delete that first")
}
