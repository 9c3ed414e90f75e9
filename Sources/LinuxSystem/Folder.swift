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
            throw Failure(.system, "cannot make the folder", at: path.string, causes: [Errno(rawValue: errno)])
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
        guard let stream = opendir(path.string) else {
            let error = Errno(rawValue: errno)
            let kind: Failure.Kind = error == .noSuchFileOrDirectory ? .notFound : .system
            throw Failure(kind, "cannot read the folder", at: path.string, causes: [error])
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Deletes whatever is at the path, folders with all that is in them, never following a link; nothing there is fine.
    ///
    /// - Throws: `Failure` of kind `system` that names what could not be deleted.
    public static func delete(_ path: FilePath) throws {
        var information = stat()
        guard lstat(path.string, &information) == 0 else {
            if errno == ENOENT { return }
            throw Failure(.system, "cannot delete", at: path.string, causes: [Errno(rawValue: errno)])
        }
        if information.st_mode & S_IFMT == S_IFDIR {
            for name in try names(in: path) { try delete(path.appending(name)) }
            guard rmdir(path.string) == 0 || errno == ENOENT else {
                throw Failure(.system, "cannot delete the folder", at: path.string, causes: [Errno(rawValue: errno)])
            }
        } else {
            guard unlink(path.string) == 0 || errno == ENOENT else {
                throw Failure(.system, "cannot delete the file", at: path.string, causes: [Errno(rawValue: errno)])
            }
        }
    }
}
