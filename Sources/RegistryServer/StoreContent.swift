import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage

/// Serves what the named images of a store lead to, and nothing else: the ClusterImages under their own names, and every
/// contained image under its original one.
///
/// A contained image is found by the client's namespace and path, by `DOMAIN/PATH` as path, or by path alone when that is
/// Docker's or unique. New images appear at once: the list of names is read again when its file has changed.
public final class StoreContent: RegistryContent {
    /// Tells one state of `index.json` from the next: it is always replaced as a whole.
    private struct Stamp: Hashable {
        var inode: UInt64
        var seconds: Int
        var nanoseconds: Int
        var size: Int64
    }

    private struct State {
        var current: (stamp: Stamp, catalogue: Task<Catalogue, any Error>)?
        /// The last one that was read, which spares the next one most of its work.
        var last: Catalogue?
    }

    let store: ImageStore
    private let report: @Sendable (Failure) -> Void
    private let state = Mutex(State())

    /// Makes the content of a store.
    ///
    /// - Parameter report: is told of each named image that cannot be read, whenever the names are read.
    public init(store: ImageStore, report: @escaping @Sendable (Failure) -> Void = { _ in }) {
        self.store = store
        self.report = report
    }

    /// A manifest or an index, verified as it is read.
    public func manifest(
        repository: String,
        namespace: String?,
        reference: ManifestName,
        scope: RepositoryScope
    ) async throws -> ServedDocument? {
        let catalogue = try await catalogue()
        let digest: Digest? =
            switch reference {
            case .digest(let digest): digest
            case .tag(let tag):
                try catalogue.candidates(path: repository, namespace: namespace, scope: scope)
                    .lazy.compactMap { catalogue.tags[$0]?[tag] }.first
            }
        guard let digest, let descriptor = catalogue.documents[digest] else { return nil }
        return ServedDocument(descriptor: descriptor, bytes: try await store.bytes(of: descriptor))
    }

    /// A blob that a named image leads to.
    public func blob(_ digest: Digest) async throws -> ImageStore.OpenBlob? {
        guard try await catalogue().blobs.contains(digest) else { return nil }
        do {
            return try await store.openBlob(digest)
        } catch let failure as Failure where failure.kind == .notFound {
            return nil
        }
    }

    /// The tags of a repository.
    public func tags(repository fullName: String) async throws -> [String]? {
        try await catalogue().tags[fullName]?.keys.sorted()
    }

    /// The full names of all repositories.
    public func repositories() async throws -> [String] {
        try await catalogue().tags.keys.sorted()
    }

    /// The full name of the repository that the path means: one that is there, or else the likeliest.
    public func fullName(repository: String, namespace: String?, scope: RepositoryScope) async throws -> String? {
        let catalogue = try await catalogue()
        let candidates = try catalogue.candidates(path: repository, namespace: namespace, scope: scope)
        return candidates.first { catalogue.tags[$0] != nil } ?? candidates.first
    }

    /// Whether an image of the repository leads to the digest.
    public func holds(_ digest: Digest, repository fullName: String) async throws -> Bool {
        try await catalogue().holds(digest, repository: fullName)
    }

    /// The manifests of the repository whose subject is the digest.
    public func referrers(of subject: Digest, repository fullName: String) async throws -> [Descriptor] {
        try await catalogue().referrers(of: subject, repository: fullName)
    }

    /// Makes the next request read the list of names again.
    func forget() {
        state.withLock { $0.current = nil }
    }

    func catalogue() async throws -> Catalogue {
        let path = store.root.appending("index.json")
        let stamp = try await BlockingPool.shared.run {
            var information = stat()
            guard stat(path.string, &information) == 0 else {
                throw Failure(
                    .system, "cannot look at the list of images", at: path.string, causes: [Errno(rawValue: errno)])
            }
            return Stamp(
                inode: UInt64(information.st_ino),
                seconds: Int(information.st_mtim.tv_sec),
                nanoseconds: Int(information.st_mtim.tv_nsec),
                size: Int64(information.st_size)
            )
        }
        let (store, report) = (store, report)
        let task = state.withLock { state in
            if let current = state.current, current.stamp == stamp { return current.catalogue }
            let last = state.last
            let task = Task {
                let catalogue = try await Catalogue(of: store, previous: last)
                for problem in catalogue.problems { report(problem) }
                return catalogue
            }
            state.current = (stamp, task)
            return task
        }
        do {
            let catalogue = try await task.value
            state.withLock { if $0.current?.catalogue == task { $0.last = catalogue } }
            return catalogue
        } catch {
            // Whatever was wrong may be right by the next request.
            state.withLock { if $0.current?.catalogue == task { $0.current = nil } }
            throw error
        }
    }
}
