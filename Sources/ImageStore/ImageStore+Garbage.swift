import LinuxSystem
import OCI
import Report
import SystemPackage

extension ImageStore {
    /// What no name leads to.
    public struct Garbage: Sendable, Codable, Hashable {
        /// How many whole blobs.
        public var blobs = 0
        /// How many blobs that were never finished.
        public var unfinished = 0
        /// How many bytes, of both.
        public var bytes: Int64 = 0

        /// Makes garbage of this extent.
        public init(blobs: Int = 0, unfinished: Int = 0, bytes: Int64 = 0) {
            self.blobs = blobs
            self.unfinished = unfinished
            self.bytes = bytes
        }
    }

    /// Deletes the blobs that no name leads to, and unfinished ones. Nothing is deleted while anybody holds a `StoreSession`.
    ///
    /// - Parameter dryRun: only says what would be deleted.
    /// - Throws: `Failure` of kind `conflict` when another process is adding blobs for longer than `limit`, `integrity` when a
    ///   named image is damaged, so that nobody knows what it leads to; nothing is deleted then.
    @discardableResult
    public func collectGarbage(dryRun: Bool = false, limit: Duration = .seconds(10)) async throws -> Garbage {
        let root = root
        let lock = try await BlockingPool.shared.run {
            try StoreSession(path: root.appending("blobs.lock"), exclusive: true, limit: limit)
        }
        defer { lock.end() }
        let kept = try await reachable()
        return try await BlockingPool.shared.run {
            var garbage = Garbage()
            func take(_ path: FilePath) throws {
                garbage.bytes += try Self.size(at: path) ?? 0
                if !dryRun { try Folder.delete(path) }
            }
            for algorithm in Digest.Algorithm.allCases {
                let folder = root.appending("blobs").appending(algorithm.rawValue)
                for name in try Folder.names(in: folder) {
                    // What is no blob is nobody's garbage: the check of the store names it.
                    guard let digest = Digest(algorithm: algorithm, hex: name), !kept.contains(digest) else { continue }
                    try take(folder.appending(name))
                    garbage.blobs += 1
                }
            }
            for name in try Folder.names(in: root.appending("ingest")) {
                try take(root.appending("ingest").appending(name))
                garbage.unfinished += 1
            }
            // Nobody writes the list of images now, so what lies beside it was left by somebody who died.
            let names = try FileLock(
                root.appending("index.lock"), .exclusive, limit: limit, guarding: "the list of images")
            defer { names.release() }
            for name in try Folder.names(in: root) where Self.isUnfinished(name) {
                try take(root.appending(name))
                garbage.unfinished += 1
            }
            return garbage
        }
    }

    /// Every digest that some name leads to.
    func reachable() async throws -> Set<Digest> {
        var result: Set<Digest> = []
        for (reference, descriptor) in try await names() {
            do {
                result.formUnion(try await closure(of: descriptor).map(\.digest))
            } catch let failure as Failure where failure.kind == .notFound || failure.kind == .integrity {
                throw Failure(
                    .integrity,
                    "the image \(reference.familiar) is damaged, so nobody knows what belongs to it; nothing was deleted",
                    at: root.string,
                    remedy: "sealer fsck --repair, or remove the image: sealer rmi \(reference.familiar)",
                    causes: [failure]
                )
            }
        }
        return result
    }
}
