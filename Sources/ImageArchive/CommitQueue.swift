import Archive
import Dispatch
import ImageStore
import LinuxSystem
import OCI
import Synchronization

/// Makes blobs durable while the archive is read on: a commit waits for the disk, several can wait at once.
final class CommitQueue: Sendable {
    private struct State {
        var written: Set<Digest> = []
        var files: [String: ArchiveScan.PartFile] = [:]
        var failure: (any Error)?
    }

    private static let width = 4
    private let state = Mutex(State())
    private let queue = WorkQueue(width: width)
    private let permits = DispatchSemaphore(value: width)

    init() {}

    /// Commits a whole blob, and keeps what it turned out to be under `name` if there is one. Waits while four are on their way.
    ///
    /// - Throws: the failure of an earlier blob.
    func add(_ ingest: BlobIngest, name: String?, compression: Compression) throws {
        permits.wait()
        if let failure = state.withLock({ $0.failure }) {
            permits.signal()
            ingest.abandon()
            throw failure
        }
        queue.async { [self] in
            defer { permits.signal() }
            let result = Result { try ingest.commit() }
            state.withLock { state in
                switch result {
                case .success(let blob):
                    state.written.insert(blob.digest)
                    if let name {
                        state.files[name] = .init(digest: blob.digest, size: blob.size, compression: compression)
                    }
                case .failure(let error):
                    if state.failure == nil { state.failure = error }
                }
            }
        }
    }

    /// Waits until nothing is on its way.
    func drain() {
        for _ in 0..<Self.width { permits.wait() }
        for _ in 0..<Self.width { permits.signal() }
    }

    /// The files by name.
    ///
    /// - Throws: the first failure.
    func result() throws -> [String: ArchiveScan.PartFile] {
        try state.withLock { state in
            if let failure = state.failure { throw failure }
            return state.files
        }
    }

    /// The blobs that were written so far.
    var written: Set<Digest> { state.withLock { $0.written } }
}
