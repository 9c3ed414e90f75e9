import ImageStore
import OCI
import Synchronization

/// The blobs that were uploaded or mounted and that no manifest refers to yet. While there are some, nobody deletes blobs of
/// the store. Those of a repository are forgotten together, when nothing was done there for a while: a push may take as long
/// as it needs, and one that was given up does not hold up garbage collection for ever.
final class PendingBlobs: Sendable {
    private struct State {
        /// The repositories in which each blob waits.
        var blobs: [Digest: Set<String>] = [:]
        /// When something was last done in each repository that has had a blob waiting.
        var uses: [String: ContinuousClock.Instant] = [:]
        var session: StoreSession?

        mutating func takeUnusedSession() -> StoreSession? {
            guard blobs.isEmpty else { return nil }
            defer { session = nil }
            return session
        }
    }

    private let limit: Duration
    private let now: @Sendable () -> ContinuousClock.Instant
    private let state = Mutex(State())

    /// - Parameter limit: how long nothing may be done in a repository before its blobs are forgotten.
    init(limit: Duration, now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }) {
        self.limit = limit
        self.now = now
    }

    /// Takes a blob in.
    ///
    /// - Parameter session: one that has been held since before the blob was in the store.
    func add(_ digest: Digest, to repository: String, holding session: StoreSession) {
        let spare = state.withLock { state in
            state.blobs[digest, default: []].insert(repository)
            state.uses[repository] = now()
            guard state.session != nil else {
                state.session = session
                return nil as StoreSession?
            }
            return session
        }
        spare?.end()
    }

    /// The push to the repository goes on: what waits there waits from now on.
    func renew(_ repository: String) {
        state.withLock { state in
            if state.uses[repository] != nil { state.uses[repository] = now() }
        }
    }

    /// Whether the blob waits. Who asks for it in a repository uses that.
    ///
    /// - Parameter repository: nil asks for any.
    func contains(_ digest: Digest, in repository: String? = nil) -> Bool {
        state.withLock { state in
            guard let repositories = state.blobs[digest] else { return false }
            guard let repository else { return true }
            guard repositories.contains(repository) else { return false }
            state.uses[repository] = now()
            return true
        }
    }

    /// - Returns: whether it was there.
    @discardableResult
    func remove(_ digests: [Digest], from repository: String) -> Bool {
        let (found, session) = state.withLock { state in
            var found = false
            for digest in digests where state.blobs[digest]?.remove(repository) != nil {
                found = true
                if state.blobs[digest]?.isEmpty == true { state.blobs[digest] = nil }
            }
            return (found, state.takeUnusedSession())
        }
        session?.end()
        return found
    }

    /// Forgets the blobs of the repositories in which nothing was done for too long.
    func tidy() {
        let oldest = now() - limit
        let session = state.withLock { state in
            state.uses = state.uses.filter { $0.value > oldest }
            let uses = state.uses
            state.blobs = state.blobs.compactMapValues { repositories in
                let rest = repositories.filter { uses[$0] != nil }
                return rest.isEmpty ? nil : rest
            }
            return state.takeUnusedSession()
        }
        session?.end()
    }
}
