import CLinux
import Glibc
import SystemPackage

/// An open folder. All work in it goes by single names relative to its descriptor and follows no link, so that nothing that
/// happens to the path meanwhile can lead elsewhere.
final class FolderHandle {
    let descriptor: Int32

    init(owning descriptor: Int32) {
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Opens a folder by a path that is trusted, through links.
    static func open(_ path: FilePath) throws(Errno) -> FolderHandle {
        FolderHandle(owning: try check(Glibc.open(path.string, O_RDONLY | O_DIRECTORY | O_CLOEXEC)))
    }

    /// Opens a folder in this one. A link is an error (`tooManySymbolicLinkLevels` or `notDirectory`).
    func folder(_ name: CName) throws(Errno) -> FolderHandle {
        FolderHandle(owning: try check(openat(descriptor, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)))
    }

    /// Opens a file in this folder for reading.
    func readFile(_ name: CName) throws(Errno) -> FileDescriptor {
        // Not blocking: somebody may have put a pipe there since it was looked at.
        FileDescriptor(rawValue: try check(openat(descriptor, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)))
    }

    /// Makes a file that must not be there yet, open for writing, readable to its owner only.
    func makeFile(_ name: CName) throws(Errno) -> FileDescriptor {
        FileDescriptor(
            rawValue: try check(openat(descriptor, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600))
        )
    }

    func makeFolder(_ name: CName, permissions: mode_t) throws(Errno) {
        try check(mkdirat(descriptor, name, permissions))
    }

    func makeSymbolicLink(_ name: CName, to target: CName) throws(Errno) {
        try check(symlinkat(target, descriptor, name))
    }

    func makeHardLink(_ name: CName, to target: CName, in folder: FolderHandle) throws(Errno) {
        try check(linkat(folder.descriptor, target, descriptor, name, 0))
    }

    func makeNode(_ name: CName, mode: mode_t, device: dev_t) throws(Errno) {
        try check(mknodat(descriptor, name, mode, device))
    }

    /// What a name stands for, without following a link; nil when there is nothing.
    func status(_ name: CName) throws(Errno) -> stat? {
        var information = stat()
        guard fstatat(descriptor, name, &information, AT_SYMLINK_NOFOLLOW) == 0 else {
            if errno == ENOENT { return nil }
            throw Errno(rawValue: errno)
        }
        return information
    }

    /// The target of a link.
    func linkTarget(_ name: CName) throws(Errno) -> [UInt8] {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlinkat(descriptor, name, &buffer, buffer.count)
        guard count >= 0 else { throw Errno(rawValue: errno) }
        return buffer[..<count].map(UInt8.init(bitPattern:))
    }

    /// The names in the folder, without `.` and `..`, sorted by their bytes.
    func names() throws(Errno) -> [[UInt8]] {
        // A descriptor of its own, because closedir closes it.
        let own = try check(openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC))
        guard let stream = fdopendir(own) else {
            let error = Errno(rawValue: errno)
            close(own)
            throw error
        }
        defer { closedir(stream) }
        var names: [[UInt8]] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw Errno(rawValue: errno) }
                break
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            if name != [0x2e], name != [0x2e, 0x2e] { names.append(name) }
        }
        return names.sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// Removes whatever a name stands for, a folder with all that is in it; nothing there is fine.
    func remove(_ name: CName) throws(Errno) {
        if unlinkat(descriptor, name, 0) == 0 || errno == ENOENT { return }
        let error = Errno(rawValue: errno)
        guard error == .isDirectory || error == .notPermitted else { throw error }
        let folder = try folder(name)
        for child in try folder.names() { try folder.remove(child.cName) }
        try check(unlinkat(descriptor, name, AT_REMOVEDIR))
    }
}

/// Gives the result of a system call, or throws what errno says when it is negative.
@discardableResult
func check(_ result: Int32) throws(Errno) -> Int32 {
    guard result >= 0 else { throw Errno(rawValue: errno) }
    return result
}

extension stat {
    var isFolder: Bool { st_mode & S_IFMT == S_IFDIR }
    var isFile: Bool { st_mode & S_IFMT == S_IFREG }
    var isSymbolicLink: Bool { st_mode & S_IFMT == S_IFLNK }
}
