import FoundationEssentials
import ImageStore
import ImageTree
import LinuxSystem
import OCI
import Report
import SystemPackage

/// Remembers what files of a rootfs hold, so that looking at a cluster does not unpack layers each time. A rootfs is named by its
/// digest, so what is remembered never gets old.
struct RootfsFileCache: Sendable {
    private struct Entry: Codable {
        /// By path; nil where the rootfs has no such file.
        var files: [String: ImageFile?]
    }

    private let folder: FilePath
    private let store: ImageStore

    /// - Parameter state: the folder that holds clusters and caches.
    init(state: FilePath, store: ImageStore) {
        folder = state.appending("cache").appending("files")
        self.store = store
    }

    /// Reads files as `ImageFiles` does.
    func read(_ paths: Set<String>, of image: ClusterImage) async throws -> [String: ImageFile] {
        let path = folder.appending("\(image.rootfs.digest.hex).json")
        let known = try await BlockingPool.shared.run { try Self.entry(at: path) }
        let missing = paths.subtracting(known.files.keys)
        guard !missing.isEmpty else { return Self.found(known, paths) }
        let read = try await ImageFiles(store).read(missing, of: image.manifest)
        var entry = known
        for name in missing { entry.files[name] = .some(read[name]) }
        let all = entry
        try await BlockingPool.shared.run {
            try Folder.make(path.removingLastComponent(), permissions: FilePermissions(rawValue: 0o700))
            try AtomicFile.write(try canonicalJSON(all), to: path, permissions: .ownerReadWrite)
        }
        return Self.found(all, paths)
    }

    private static func found(_ entry: Entry, _ paths: Set<String>) -> [String: ImageFile] {
        entry.files.filter { paths.contains($0.key) }.compactMapValues { $0 }
    }

    /// What is remembered; nothing when the file is damaged: the layers tell it again. Blocking.
    private static func entry(at path: FilePath) throws -> Entry {
        let bytes: Data
        do {
            bytes = try readFile(path, limit: 256 << 20)
        } catch let failure as Failure where failure.kind == .notFound {
            return Entry(files: [:])
        }
        do { return try JSONDecoder().decode(Entry.self, from: bytes) } catch { return Entry(files: [:]) }
    }
}
