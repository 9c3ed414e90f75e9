import Glibc
import Report
import SystemPackage

/// Writing whole files so that a reader, or a power cut, sees the old content or the new, never a part.
public enum AtomicFile {
    /// Writes `bytes` to `path` by temporary file, fsync and rename, and syncs the folder. Blocking.
    ///
    /// - Parameters:
    ///   - permissions: of the new file; secrets take `.ownerReadWrite`.
    /// - Throws: `Failure` of kind `system`.
    public static func write(
        _ bytes: some Sequence<UInt8>,
        to path: FilePath,
        permissions: FilePermissions = [.ownerReadWrite, .groupRead, .otherRead]
    ) throws {
        let folder = path.removingLastComponent()
        let name = path.lastComponent?.string ?? "file"
        let temporary = folder.appending(".\(name).\(getpid()).\(UInt32.random(in: 0...UInt32.max))")
        do {
            let file = try FileDescriptor.open(
                temporary,
                .writeOnly,
                options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: permissions
            )
            try file.closeAfter {
                // The umask may have taken bits away that the caller asked for.
                guard fchmod(file.rawValue, permissions.rawValue) == 0 else { throw Errno(rawValue: errno) }
                try file.writeAll(bytes)
                guard fsync(file.rawValue) == 0 else { throw Errno(rawValue: errno) }
            }
            guard rename(temporary.string, path.string) == 0 else { throw Errno(rawValue: errno) }
            try syncFolder(folder)
        } catch {
            unlink(temporary.string)
            throw Failure(.system, "cannot write the file", at: path.string, causes: [error])
        }
    }

    /// Makes the names in a folder durable. Blocking.
    public static func syncFolder(_ folder: FilePath) throws {
        let descriptor = try FileDescriptor.open(
            folder.isEmpty ? "." : folder, .readOnly, options: [.directory, .closeOnExec])
        try descriptor.closeAfter {
            guard fsync(descriptor.rawValue) == 0 else { throw Errno(rawValue: errno) }
        }
    }
}
