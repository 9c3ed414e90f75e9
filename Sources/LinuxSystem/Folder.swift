import Glibc
import Report
import SystemPackage

/// Folders as wholes: making them with their parents, listing, deleting with all that is in them. All calls block.
public enum Folder {
    /// Makes the folder and the parents that it lacks; one that is there is fine.
    ///
    /// - Throws: `Failure` of kind `system`, also when a file is in the way.
    public static func make(_ path: FilePath, permissions: FilePermissions = FilePermissions(rawValue: 0o755)) throws {
        if exists(path) { return }
        let parent = path.removingLastComponent()
        if !parent.isEmpty, parent != path { try make(parent) }
        guard mkdir(path.string, permissions.rawValue) == 0 || errno == EEXIST else {
            let error = Errno(rawValue: errno)
            let kind: Failure.Kind = error == .permissionDenied ? .denied : .system
            throw Failure(kind, "cannot make the folder", at: path.string, causes: [error])
        }
        guard exists(path) else {
            throw Failure(.system, "cannot make the folder: a file of that name is there", at: path.string)
        }
    }

    /// Whether there is a folder at the path (through links).
    public static func exists(_ path: FilePath) -> Bool {
        var information = stat()
        return stat(path.string, &information) == 0 && information.st_mode & S_IFMT == S_IFDIR
    }

    /// The names in a folder, sorted by their bytes, without `.` and `..`.
    ///
    /// - Throws: `Failure` of kind `notFound` or `system`.
    public static func names(in path: FilePath) throws -> [String] {
        try entries(in: path).map(\.string)
    }

    /// The names as they are: file names are bytes, and need not be text.
    private static func entries(in path: FilePath) throws -> [FilePath] {
        guard let stream = path.withPlatformString({ opendir($0) }) else {
            let error = Errno(rawValue: errno)
            let kind: Failure.Kind = error == .noSuchFileOrDirectory ? .notFound : .system
            throw Failure(kind, "cannot read the folder", at: path.string, causes: [error])
        }
        defer { closedir(stream) }
        var names: [[CChar]] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { $0.prefix { $0 != 0 }.map(CChar.init(bitPattern:)) }
            if name != [0x2e], name != [0x2e, 0x2e] { names.append(name) }
        }
        return names.sorted { $0.lexicographicallyPrecedes($1) { UInt8(bitPattern: $0) < UInt8(bitPattern: $1) } }
            .map { FilePath(platformString: $0 + [0]) }
    }

    /// Deletes whatever is at the path, folders with all that is in them, never following a link; nothing there is fine.
    ///
    /// - Throws: `Failure` of kind `system` that names what could not be deleted.
    public static func delete(_ path: FilePath) throws {
        var information = stat()
        guard path.withPlatformString({ lstat($0, &information) }) == 0 else {
            if errno == ENOENT { return }
            throw Failure(.system, "cannot delete", at: path.string, causes: [Errno(rawValue: errno)])
        }
        if information.st_mode & S_IFMT == S_IFDIR {
            for name in try entries(in: path) { try delete(path.pushing(name)) }
            guard path.withPlatformString({ rmdir($0) }) == 0 || errno == ENOENT else {
                throw Failure(.system, "cannot delete the folder", at: path.string, causes: [Errno(rawValue: errno)])
            }
        } else {
            guard path.withPlatformString({ unlink($0) }) == 0 || errno == ENOENT else {
                throw Failure(.system, "cannot delete the file", at: path.string, causes: [Errno(rawValue: errno)])
            }
        }
    }
}
