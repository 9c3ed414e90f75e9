import Report
import Synchronization

/// The uploads that are open: each belongs to the account that began it, and to one request at a time.
final class UploadSessions: Sendable {
    private struct Session {
        var owner: String?
        var repository: String
        var upload: any BlobUpload
        var isBusy = false
        var since: ContinuousClock.Instant
    }

    private let maximum: Int
    private let idleLimit: Duration
    private let sessions = Mutex<[String: Session]>([:])

    init(maximum: Int, idleLimit: Duration) {
        self.maximum = maximum
        self.idleLimit = idleLimit
    }

    /// How many are open.
    var count: Int { sessions.withLock { $0.count } }

    /// Whether no further one is taken.
    var isFull: Bool { count >= maximum }

    /// Takes a new upload in.
    ///
    /// - Returns: the name of its session, which nobody can guess; nil when there are too many.
    func open(_ upload: any BlobUpload, owner: String?, repository: String) -> String? {
        var random = SystemRandomNumberGenerator()
        let id = (0..<2).map { _ in String(random.next() as UInt64, radix: 36) }.joined(separator: "-")
        return sessions.withLock { sessions in
            guard sessions.count < maximum else { return nil }
            sessions[id] = Session(owner: owner, repository: repository, upload: upload, since: .now)
            return id
        }
    }

    /// Takes an upload for one request, which gives it back or ends it.
    ///
    /// - Throws: `RegistryError`, the same for one that does not exist and one of somebody else.
    func take(_ id: String, owner: String?, repository: String) throws(RegistryError) -> any BlobUpload {
        let result: Result<any BlobUpload, RegistryError> = sessions.withLock { sessions in
            guard let session = sessions[id], session.owner == owner, session.repository == repository else {
                return .failure(.noUpload)
            }
            guard !session.isBusy else { return .failure(.busyUpload) }
            sessions[id]?.isBusy = true
            return .success(session.upload)
        }
        return try result.get()
    }

    /// The upload waits for its next request.
    func giveBack(_ id: String) {
        sessions.withLock { sessions in
            sessions[id]?.isBusy = false
            sessions[id]?.since = .now
        }
    }

    /// The upload has ended.
    func end(_ id: String) {
        sessions.withLock { $0[id] = nil }
    }

    /// Drops the uploads that have waited too long.
    func tidy() async {
        let oldest = ContinuousClock.now - idleLimit
        await drop { !$0.isBusy && $0.since < oldest }
    }

    /// Drops all.
    func endAll() async {
        await drop { _ in true }
    }

    private func drop(_ condition: (Session) -> Bool) async {
        let dropped = sessions.withLock { sessions in
            let dropped = sessions.filter { condition($0.value) }
            for id in dropped.keys { sessions[id] = nil }
            return dropped.values.map(\.upload)
        }
        for upload in dropped {
            do {
                try await upload.abandon()
            } catch {
                // Its file goes with the object, at the latest with the next garbage collection.
                continue
            }
        }
    }
}
