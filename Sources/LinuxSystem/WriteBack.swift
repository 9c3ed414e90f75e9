import CLinux
import Glibc
import SystemPackage

extension FileDescriptor {
    /// Brings a part of the file to the disk and waits for that. What the system knows of the file stays behind, so `fsync` has to
    /// come after it; then there is less to do for it. Blocking.
    ///
    /// - Returns: false where the file system cannot do it.
    /// - Throws: `Errno`, also for what went wrong with bytes that were written before: it is told only once.
    public func writeBack(from offset: Int64, count: Int64) throws -> Bool {
        while sealer_sync_file_range(rawValue, offset, count) != 0 {
            let error = Errno(rawValue: errno)
            if error == .interrupted { continue }
            if [.noFunction, .invalidArgument, .illegalSeek, .notSupported].contains(error) { return false }
            throw error
        }
        return true
    }
}
