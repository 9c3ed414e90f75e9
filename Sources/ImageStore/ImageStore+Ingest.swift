import LinuxSystem
import OCI
import Report
import SystemPackage

extension ImageStore {
    /// Starts a blob from work that blocks already, on the `BlockingPool`: the form of `ingest` for long passes over many blobs.
    ///
    /// - Parameter expected: what the bytes must turn out to be; nil when that is not known before.
    public func beginBlob(_ expected: Descriptor? = nil) throws -> BlobIngest {
        try BlobIngest(expected: expected, layout: root)
    }

    /// Starts a blob whose digest is told only at its end, as uploads to a registry do it. Hold a `StoreSession` until
    /// something named refers to it.
    ///
    /// - Parameter algorithm: the one that the digest will likely have; another one costs a second reading.
    public func receive(_ algorithm: Digest.Algorithm = .sha256) async throws -> BlobIngest {
        let root = root
        return try await BlockingPool.shared.run { try BlobIngest(expected: nil, algorithm: algorithm, layout: root) }
    }

    /// Deletes those of the given blobs that no name leads to, unless somebody holds a `StoreSession`: what a failed piece of
    /// work leaves behind need not wait for garbage collection.
    ///
    /// - Returns: whether they were looked at; false when the store is in use, or when a damaged image hides what it needs.
    @discardableResult
    public func discard(_ blobs: Set<Digest>) async throws -> Bool {
        let root = root
        let lock: StoreSession
        do {
            lock = try await BlockingPool.shared.run {
                // Not zero: a process that is just being started holds copies of our locks for a moment.
                try StoreSession(path: root.appending("blobs.lock"), exclusive: true, limit: .milliseconds(500))
            }
        } catch let failure as Failure where failure.kind == .conflict {
            return false
        }
        defer { lock.end() }
        let kept: Set<Digest>
        do {
            kept = try await reachable()
        } catch let failure as Failure where failure.kind == .integrity {
            return false
        }
        try await BlockingPool.shared.run {
            for digest in blobs.subtracting(kept) { try Folder.delete(root.appending(digest.layoutPath)) }
        }
        return true
    }
}
