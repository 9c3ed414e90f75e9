import Glibc
import LinuxSystem
import SystemPackage

/// A folder that a test may fill; it is deleted, with all that is in it, when the test ends.
public struct Scratch: ~Copyable {
    /// The folder.
    public let path: FilePath

    /// Makes a new folder below the system's temporary one.
    public init() throws {
        var template = Array("/tmp/sealer-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
        path = FilePath(platformString: template)
    }

    deinit {
        do {
            try Folder.delete(path)
        } catch {
            print("a test left \(path) behind: \(error)")
        }
    }
}
