import ImageStore
import OCI
import Synchronization

/// The blobs that were uploaded or mounted and that no manifest refers to yet. While there are some, nobody deletes blobs of
/// the store; each has a limit on its time, so that a push that was given up does not hold up garbage collection for ever.
final class PendingBlobs: Sendable {
    private struct State {
        /// When the blob came to each repository.
        var blobs: [Digest: [String: ContinuousClock.Instant]] = [:]
        var session: StoreSession?

        mutating func takeUnusedSession() -> StoreSession? {
            guard blobs.isEmpty else { return nil }
            defer { session = nil }
            return session
        }
    }

    private let limit: Duration
    private let state = Mutex(State())

    init(limit: Duration) {
        self.limit = limit
    }

    /// Takes a blob in.
    ///
    /// - Parameter session: one that has been held since before the blob was in the store.
    func add(_ digest: Digest, to repository: String, holding session: StoreSession) {
        let spare = state.withLock { state in
            state.blobs[digest, default: [:]][repository] = .now
            guard state.session != nil else {
                state.session = session
                return nil as StoreSession?
            }
            return session
        }
        spare?.end()
    }

    /// - Parameter repository: nil asks for any.
    func contains(_ digest: Digest, in repository: String? = nil) -> Bool {
        state.withLock { state in
            guard let repositories = state.blobs[digest] else { return false }
            return repository.map { repositories[$0] != nil } ?? true
        }
    }

    /// - Returns: whether it was there.
    @discardableResult
    func remove(_ digests: [Digest], from repository: String) -> Bool {
        let (found, session) = state.withLock { state in
            var found = false
            for digest in digests where state.blobs[digest]?.removeValue(forKey: repository) != nil {
                found = true
                if state.blobs[digest]?.isEmpty == true { state.blobs[digest] = nil }
            }
            return (found, state.takeUnusedSession())
        }
        session?.end()
        return found
    }

    /// Forgets the blobs whose time is over.
    func tidy() {
        let oldest = ContinuousClock.now - limit
        let session = state.withLock { state in
            state.blobs = state.blobs.compactMapValues { repositories in
                let rest = repositories.filter { $0.value > oldest }
                return rest.isEmpty ? nil : rest
            }
            return state.takeUnusedSession()
        }
        session?.end()
    }
}
