import Glibc
import Report
import Synchronization
import SystemPackage

/// An advisory lock on a file, held between processes until `release` or the end of the process.
public final class FileLock: Sendable {
    /// Who else may hold it.
    public enum Mode: Sendable {
        /// Others may hold it shared too.
        case shared
        /// Nobody else.
        case exclusive
    }

    private let descriptor: Mutex<Int32?>

    /// Waits for the lock, at most `limit`. Blocking: call it on the `BlockingPool`.
    ///
    /// - Parameters:
    ///   - path: the lock file; it is made when it is not there, and stays.
    ///   - what: what the lock guards, for the message.
    /// - Throws: `Failure` of kind `conflict` when the limit passes, `system` when the file cannot be opened.
    public init(_ path: FilePath, _ mode: Mode, limit: Duration, guarding what: String) throws {
        let descriptor = open(path.string, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw Failure(.system, "cannot open the lock file", at: path.string, causes: [Errno(rawValue: errno)])
        }
        let operation = (mode == .shared ? LOCK_SH : LOCK_EX) | LOCK_NB
        let end = ContinuousClock.now + limit
        while flock(descriptor, operation) != 0 {
            let error = Errno(rawValue: errno)
            guard error == .wouldBlock || error == .interrupted else {
                close(descriptor)
                throw Failure(.system, "cannot lock", at: path.string, causes: [error])
            }
            guard ContinuousClock.now < end else {
                close(descriptor)
                throw Failure(
                    .conflict,
                    "another sealer process holds \(what), waited \(limit.inWords)",
                    at: path.string,
                    remedy: "wait for it to end, or find it with: fuser \(path.string)"
                )
            }
            usleep(20_000)
        }
        self.descriptor = Mutex(descriptor)
    }

    deinit { release() }

    /// Gives the lock back; a second call does nothing.
    public func release() {
        descriptor.withLock { descriptor in
            if let open = descriptor { close(open) }
            descriptor = nil
        }
    }
}
