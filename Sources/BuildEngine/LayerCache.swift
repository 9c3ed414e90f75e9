import Archive
import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage

/// Remembers which layer came of which files, so that a build of what did not change reads no file.
///
/// Files are told by what the kernel says of them (which file, size, times of change), as git does it. Records are small files
/// named after the key; one that cannot be read is no record. The layers themselves are blobs of the store, and one that is gone
/// from there is made again.
public struct LayerCache: Sendable {
    private let folder: FilePath
    /// How long a file must have been left alone before its times can be trusted: more than a tick of the kernel's clock.
    private let settled: Duration

    /// Names the folder of the records; it is made when the first is written.
    public init(_ folder: FilePath) {
        self.init(folder, settled: .milliseconds(100))
    }

    init(_ folder: FilePath, settled: Duration) {
        self.folder = folder
        self.settled = settled
    }

    /// What is remembered of a layer.
    struct Record: Codable {
        var descriptor: Descriptor
        var diffID: Digest
    }

    /// The name under which a layer is remembered.
    struct Key {
        fileprivate var digest: Digest
        /// How long the youngest file has been left alone; nil without files.
        fileprivate var age: Duration?

        /// - Parameter packing: everything but the archive that the blob's bytes depend on.
        init(_ writer: LayerWriter, packing: String) {
            let now = ChangeTime.now()
            var hasher = ContentHasher()
            Array("sealer layer 1 \(packing)".utf8).withUnsafeBytes { hasher.update($0) }
            let newest = writer.fingerprint { hasher.update($0) }
            digest = hasher.digest()
            age = newest?.duration(until: now)
        }
    }

    private func path(of key: Key) -> FilePath { folder.appending(key.digest.hex) }

    /// The layer that came of the same files, when the store still has it. Blocks.
    func layer(for key: Key, in store: ImageStore) throws -> Record? {
        let bytes: Data
        do {
            bytes = try readFile(path(of: key), limit: 1 << 16)
        } catch let failure as Failure where failure.kind == .notFound {
            return nil
        }
        guard let record = try? JSONDecoder().decode(Record.self, from: bytes),
            try store.has(record.descriptor)
        else { return nil }
        return record
    }

    /// Remembers a layer, unless its files were changed only just now. Blocks.
    func keep(_ record: Record, for key: Key) throws {
        if let age = key.age, age <= settled { return }
        try Folder.make(folder)
        try AtomicFile.write(canonicalJSON(record), to: path(of: key))
    }

    /// Forgets layers that the store no longer has.
    public func forgetMissing(in store: ImageStore) async throws {
        try await BlockingPool.shared.run {
            guard Folder.exists(folder) else { return }
            for name in try Folder.names(in: folder) {
                let path = folder.appending(name)
                let record = try? JSONDecoder().decode(Record.self, from: readFile(path, limit: 1 << 16))
                if let record, try store.has(record.descriptor) { continue }
                try Folder.delete(path)
            }
        }
    }
}
