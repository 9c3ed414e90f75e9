import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage

/// Images as folders: the layers of an image are unpacked once, and every mount shows that tree, writable without changing it,
/// by an overlay. Where overlays are not to be had (no root, a file system that cannot), a mount is a tree of its own.
///
/// What is mounted is recorded below the folder given, so that it is found and removed after a crash and by another process.
public struct ImageMounts: Sendable {
    /// How an image came to be a folder.
    public enum Kind: String, Sendable, Codable {
        /// By an overlay file system.
        case overlay
        /// As files of its own.
        case plain
    }

    /// One image as a folder.
    public struct Mount: Sendable, Codable, Hashable {
        /// The image, as it was asked for.
        public var image: String
        /// The manifest of its rootfs.
        public var manifest: Digest
        /// The folder.
        public var folder: String
        /// How it came to be.
        public var kind: Kind
    }

    private let root: FilePath
    private let store: ImageStore

    /// Names the folder that keeps the trees and the records, and the store that the images are in.
    public init(_ root: FilePath, store: ImageStore) {
        self.root = root
        self.store = store
    }

    private var trees: FilePath { root.appending("trees") }
    private var records: FilePath { root.appending("records") }
    private func tree(_ manifest: Digest) -> FilePath { trees.appending(manifest.hex) }

    // MARK: - Mount

    /// Shows the rootfs of an image at a folder.
    ///
    /// - Parameters:
    ///   - folder: where to; it must be empty or absent. nil takes one below the root.
    ///   - plain: unpack files of its own even where an overlay could be had.
    /// - Throws: `Failure` of kind `conflict` when the folder holds something.
    public func mount(
        _ image: ClusterImage,
        named name: String,
        at folder: FilePath?,
        plain: Bool = false,
        advanced: @escaping @Sendable (Int64) -> Void = { _ in }
    ) async throws -> Mount {
        let lock = try await lock()
        defer { lock.release() }
        let identifier = String(UInt64.random(in: 0...UInt64.max), radix: 36)
        let target = try await prepare(folder ?? root.appending("merged").appending(identifier))
        var mount = Mount(
            image: name, manifest: image.rootfs.digest, folder: target.string, kind: plain ? .plain : .overlay)
        // Recorded first: whatever happens from here on, umount finds it.
        try await record(mount, identifier)
        do {
            if mount.kind == .overlay, try await !overlay(image.rootfs, identifier, target, advanced) {
                mount.kind = .plain
                try await record(mount, identifier)
                try await removeUnusedTrees()
            }
            if mount.kind == .plain {
                try await TreeUnpacker(store).unpack(image.rootfs, to: target, advanced: advanced)
            }
        } catch {
            // In a task of its own: this one may be cancelled, and what was begun must go all the same.
            let (begun, record) = (mount, records.appending("\(identifier).json"))
            do {
                try await Task { try await forget(begun, record) }.value
            } catch let second {
                throw Failure.several("the image could not be mounted, and what was begun is left", [error, second])
            }
            throw error
        }
        return mount
    }

    private func record(_ mount: Mount, _ identifier: String) async throws {
        try await BlockingPool.shared.run { [records] in
            try Folder.make(records)
            try AtomicFile.write(canonicalJSON(mount), to: records.appending("\(identifier).json"))
        }
    }

    /// Shows the image's tree, unpacked when it is the first time; false when this machine does not let us.
    private func overlay(
        _ manifest: Descriptor,
        _ identifier: String,
        _ target: FilePath,
        _ advanced: @escaping @Sendable (Int64) -> Void
    ) async throws -> Bool {
        let tree = tree(manifest.digest)
        if !Folder.exists(tree) { try await TreeUnpacker(store).unpack(manifest, to: tree, advanced: advanced) }
        let work = root.appending("work").appending(identifier)
        return try await BlockingPool.shared.run {
            if try Self.overlay(tree, work, target) { return true }
            try Folder.delete(work)
            return false
        }
    }

    private func prepare(_ folder: FilePath) async throws -> FilePath {
        try await BlockingPool.shared.run {
            try Folder.make(folder)
            let path = Self.resolved(folder)
            guard try Folder.names(in: path).isEmpty else {
                throw Failure(
                    .conflict, "the folder is not empty", at: folder.string, remedy: "name one that is empty or absent")
            }
            return path
        }
    }

    /// Mounts an overlay; false when this machine does not let us. Blocks.
    private static func overlay(_ tree: FilePath, _ work: FilePath, _ target: FilePath) throws -> Bool {
        let (upper, inner) = (work.appending("upper"), work.appending("work"))
        try Folder.make(upper)
        try Folder.make(inner)
        // The characters that the option's own syntax takes.
        guard ![tree, upper, inner].contains(where: { $0.string.contains { ",:\\".contains($0) } }) else {
            return false
        }
        let options = "lowerdir=\(tree),upperdir=\(upper),workdir=\(inner)"
        return Glibc.mount("sealer", target.string, "overlay", 0, options) == 0
    }

    // MARK: - Unmount

    /// Every image that is a folder now.
    public func all() async throws -> [Mount] {
        try await recorded().map(\.mount)
    }

    private func recorded() async throws -> [(record: FilePath, mount: Mount)] {
        try await BlockingPool.shared.run { [records] in
            guard Folder.exists(records) else { return [] }
            return try Folder.names(in: records).filter { $0.hasSuffix(".json") }.map { name in
                let path = records.appending(name)
                do {
                    return (path, try JSONDecoder().decode(Mount.self, from: readFile(path, limit: 1 << 16)))
                } catch let error as DecodingError {
                    throw Failure(
                        .integrity, "the record of a mount cannot be read", at: path.string,
                        remedy: "look at it, unmount what it names, and delete it", causes: [error])
                }
            }
        }
    }

    /// Ends a mount: what was written there since is gone.
    ///
    /// - Returns: what was unmounted; nil when no image is mounted there.
    public func unmount(_ folder: FilePath) async throws -> Mount? {
        let lock = try await lock()
        defer { lock.release() }
        let text = try await BlockingPool.shared.run { Self.resolved(folder).string }
        guard let (record, mount) = try await recorded().first(where: { $0.mount.folder == text }) else { return nil }
        try await forget(mount, record)
        return mount
    }

    /// Ends what a record tells of, as far as it came, and deletes the record.
    private func forget(_ mount: Mount, _ record: FilePath) async throws {
        try await BlockingPool.shared.run { [root] in
            let target = FilePath(mount.folder)
            switch mount.kind {
            case .overlay:
                // EINVAL: it is no mount, or no more, after a reboot for instance.
                guard umount2(mount.folder, 0) == 0 || errno == EINVAL || errno == ENOENT else {
                    let error = Errno(rawValue: errno)
                    throw Failure(
                        .system,
                        "cannot unmount the image",
                        at: mount.folder,
                        remedy: error == .resourceBusy ? "end what uses it: fuser -vm \(mount.folder)" : nil,
                        causes: [error]
                    )
                }
                if let identifier = record.stem {
                    try Folder.delete(root.appending("work").appending(identifier))
                }
            case .plain:
                for name in try Folder.exists(target) ? Folder.names(in: target) : [] {
                    try Folder.delete(target.appending(name))
                }
            }
            // Ours alone; a folder of the user's stays, empty as it was.
            let parent = target.removingLastComponent()
            if parent == Self.resolved(root.appending("merged")) { try Folder.delete(target) }
            try Folder.delete(record)
        }
        try await removeUnusedTrees()
    }

    /// The path without links in it; as it is where it leads nowhere. Blocks.
    private static func resolved(_ path: FilePath) -> FilePath {
        guard let resolved = realpath(path.string, nil) else { return path }
        defer { free(resolved) }
        return FilePath(String(cString: resolved))
    }

    /// Deletes the unpacked trees that no mount shows.
    private func removeUnusedTrees() async throws {
        let used = Set(try await all().filter { $0.kind == .overlay }.map(\.manifest.hex))
        try await BlockingPool.shared.run { [trees] in
            guard Folder.exists(trees) else { return }
            for name in try Folder.names(in: trees) where !used.contains(name) {
                try Folder.delete(trees.appending(name))
            }
        }
    }

    private func lock() async throws -> FileLock {
        try await BlockingPool.shared.run { [root] in
            try Folder.make(root)
            return try FileLock(
                root.appending("mounts.lock"), .exclusive, limit: .seconds(60), guarding: "the mounted images")
        }
    }
}
