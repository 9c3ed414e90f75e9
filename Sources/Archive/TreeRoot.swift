import CLinux
import Glibc
import Report
import SystemPackage

/// The folder that a tree lies in, and the way to the folders below it that never leads out of it.
///
/// Links inside the tree that stay inside are followed, as a layer may put a file below a link of a lower one (`lib/x` with
/// `lib -> usr/lib`). Absolute links and those that lead above the root are refused.
final class TreeRoot {
    /// How a folder is found below the root.
    enum Resolution {
        /// By openat2(2), in one call.
        case kernel
        /// Name by name, where the kernel has no openat2(2).
        case stepwise
    }

    let handle: FolderHandle
    private let resolution: Resolution

    /// Opens the root, whose own path is trusted.
    init(_ path: FilePath, resolution: Resolution? = nil) throws {
        do {
            handle = try FolderHandle.open(path)
        } catch {
            let kind: Failure.Kind = error == .noSuchFileOrDirectory ? .notFound : .system
            throw Failure(kind, "cannot open the folder", at: path.string, causes: [error])
        }
        self.resolution = resolution ?? Self.probe(handle)
    }

    /// Old kernels answer ENOSYS, sandboxes that do not know the call EPERM.
    private static func probe(_ handle: FolderHandle) -> Resolution {
        let flags = UInt64(O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        let descriptor = sealer_openat2(handle.descriptor, ".", flags, 0, sealer_resolve_beneath)
        guard descriptor >= 0 else { return .stepwise }
        close(descriptor)
        return .kernel
    }

    /// Opens a folder of the tree.
    ///
    /// - Throws: `noSuchFileOrDirectory`, `notDirectory`, or `improperLink` when the way leads out of the tree.
    func folder(_ path: ArchivePath) throws(Errno) -> FolderHandle {
        if path.isRoot { return handle }
        switch resolution {
        case .kernel: return try kernelFolder(path.bytes.cName)
        case .stepwise: return try stepwiseFolder(path)
        }
    }

    private func kernelFolder(_ path: CName) throws(Errno) -> FolderHandle {
        let flags = UInt64(O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        // EAGAIN: something was renamed while the kernel looked, and it could not be sure.
        for _ in 0..<100 {
            let descriptor = sealer_openat2(handle.descriptor, path, flags, 0, sealer_resolve_beneath)
            if descriptor >= 0 { return FolderHandle(owning: descriptor) }
            if errno != EAGAIN && errno != EINTR { throw Errno(rawValue: errno) }
        }
        throw .resourceTemporarilyUnavailable
    }

    private func stepwiseFolder(_ path: ArchivePath) throws(Errno) -> FolderHandle {
        // The folders from the root to where we are: `..` of a link goes back along them, not along the file system's.
        var way = [handle]
        var rest = Array(path.components.reversed())
        var links = 0
        while let component = rest.popLast() {
            if component.elementsEqual([UInt8(ascii: ".")]) { continue }
            if component.elementsEqual(Array("..".utf8)) {
                guard way.count > 1 else { throw .improperLink }
                way.removeLast()
                continue
            }
            let name = component.cName
            let here = way[way.count - 1]
            do {
                way.append(try here.folder(name))
            } catch {
                guard let status = try here.status(name) else { throw .noSuchFileOrDirectory }
                guard status.isSymbolicLink else { throw error }
                links += 1
                guard links <= 40 else { throw .tooManySymbolicLinkLevels }
                let target = try here.linkTarget(name)
                guard target.first != UInt8(ascii: "/") else { throw .improperLink }
                rest += target.split(separator: UInt8(ascii: "/")).reversed()
            }
        }
        return way[way.count - 1]
    }

    /// Opens a folder of the tree, and makes those on the way that are missing.
    func folder(making path: ArchivePath) throws(Errno) -> FolderHandle {
        do {
            return try folder(path)
        } catch Errno.noSuchFileOrDirectory {
            let parent = try folder(making: path.parent)
            try parent.makeFolder(path.name.cName, permissions: 0o755)
            return try folder(path)
        }
    }
}
