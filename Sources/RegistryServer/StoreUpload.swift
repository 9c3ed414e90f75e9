import ImageStore
import LinuxSystem
import NIOCore
import OCI

/// A blob on its way into the store.
final class StoreUpload: BlobUpload {
    private let blob: BlobIngest
    private let session: StoreSession
    private let pending: PendingBlobs
    private let repository: String

    init(blob: BlobIngest, session: StoreSession, pending: PendingBlobs, repository: String) {
        self.blob = blob
        self.session = session
        self.pending = pending
        self.repository = repository
    }

    var size: Int64 { blob.size }

    func write(_ bytes: ByteBuffer) async throws {
        let blob = blob
        try await BlockingPool.shared.run { try bytes.withUnsafeReadableBytes { try blob.write($0) } }
        pending.renew(repository)
    }

    func finish(as digest: Digest) async throws {
        let blob = blob
        do {
            try await BlockingPool.shared.run { _ = try blob.commit(as: digest) }
        } catch {
            session.end()
            throw error
        }
        pending.add(digest, to: repository, holding: session)
    }

    func abandon() async throws {
        let blob = blob
        defer { session.end() }
        try await BlockingPool.shared.run { blob.abandon() }
    }
}
