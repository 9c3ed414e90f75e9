import Glibc
import Report
import SystemPackage

/// Folders for work that is under way. Their names tell the process, so the next one knows what a process left that was killed.
/// All calls block.
public enum ProcessFolder {
    /// A path for a new folder of this process, which is not made yet.
    ///
    /// - Parameter prefix: what the name begins with, when other things lie in `parent` too.
    public static func path(in parent: FilePath, prefix: String = "") -> FilePath {
        parent.appending("\(prefix)\(getpid())-\(UInt32.random(in: 0...UInt32.max))")
    }

    /// Makes a new folder that nobody else can look into, also in a folder that everybody may write to.
    ///
    /// - Throws: `Failure` of kind `system`.
    public static func make(in parent: FilePath, prefix: String) throws -> FilePath {
        let path = path(in: parent, prefix: prefix)
        guard mkdir(path.string, 0o700) == 0 else {
            throw Failure(
                .system, "cannot make a temporary folder", at: path.string, causes: [Errno(rawValue: errno)])
        }
        return path
    }

    /// Deletes those of our own user whose process is gone.
    ///
    /// - Throws: `Failure` of kind `system` that names what could not be deleted.
    public static func deleteLeft(in parent: FilePath, prefix: String = "") throws {
        guard Folder.exists(parent) else { return }
        for name in try Folder.names(in: parent) where name.hasPrefix(prefix) {
            let path = parent.appending(name)
            var information = stat()
            guard let process = pid_t(name.dropFirst(prefix.count).prefix { $0 != "-" }), process > 0,
                kill(process, 0) != 0, errno == ESRCH,
                lstat(path.string, &information) == 0, information.st_uid == geteuid()
            else { continue }
            try Folder.delete(path)
        }
    }
}
