import Glibc
import LinuxSystem
import Report
import SystemPackage

/// The part of the new layers that names images, laid out as in the rootfs in a folder of its own, so that discovery sees
/// what the cluster will see. Big things (binaries) are not copied.
struct DiscoveryStage {
    /// The folder.
    let root: FilePath

    private static let roots: [FilePath] = ["manifests", "charts", "application/apps"]

    /// Copies what the plan brings below the folders that discovery reads. Blocking.
    func add(_ plan: CopyPlan) throws {
        for item in plan.items { try add(item.source, at: item.destination) }
    }

    private func add(_ source: FilePath, at destination: FilePath) throws {
        // Either the place is within a root of discovery, or a root may come further down.
        let isWithin = Self.roots.contains { destination.starts(with: $0) }
        let mayLeadThere = destination.isEmpty || Self.roots.contains { $0.starts(with: destination) }
        guard isWithin || mayLeadThere else { return }
        var information = stat()
        guard lstat(source.string, &information) == 0 else {
            throw Failure(.system, "cannot read", at: source.string, causes: [Errno(rawValue: errno)])
        }
        let target = destination.isEmpty ? root : root.appending(destination.components)
        switch information.st_mode & S_IFMT {
        case S_IFDIR:
            if isWithin { try Folder.make(target) }
            for name in try Folder.names(in: source) {
                try add(source.appending(name), at: destination.isEmpty ? FilePath(name) : destination.appending(name))
            }
        case S_IFREG where isWithin:
            try Folder.make(target.removingLastComponent())
            try AtomicFile.write(readFile(source, limit: 64 << 20), to: target)
        case S_IFLNK where isWithin:
            try Folder.make(target.removingLastComponent())
            var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
            let count = readlink(source.string, &buffer, buffer.count - 1)
            guard count >= 0 else {
                throw Failure(.system, "cannot read the link", at: source.string, causes: [Errno(rawValue: errno)])
            }
            unlink(target.string)
            guard symlink(buffer, target.string) == 0 else {
                throw Failure(.system, "cannot make a link", at: target.string, causes: [Errno(rawValue: errno)])
            }
        default: break
        }
    }
}
