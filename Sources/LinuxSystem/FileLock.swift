import Glibc
import Report
import Synchronization
import SystemPackage

/// An advisory lock on a file or a folder, held between processes until `release` or the end of the process.
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
        try Self.take(descriptor, path, mode, limit: limit, guarding: what)
        self.descriptor = Mutex(descriptor)
    }

    /// Waits for a lock on a folder itself, so that no lock file stays in it. Blocking.
    ///
    /// - Throws: `Failure` of kind `notFound` when there is no such folder, else as for a file.
    public init(folder: FilePath, _ mode: Mode, limit: Duration, guarding what: String) throws {
        let descriptor = open(folder.string, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            let error = Errno(rawValue: errno)
            throw Failure(
                error == .noSuchFileOrDirectory ? .notFound : .system, "cannot open the folder to lock it",
                at: folder.string, causes: [error])
        }
        try Self.take(descriptor, folder, mode, limit: limit, guarding: what)
        self.descriptor = Mutex(descriptor)
    }

    /// Locks what is open; closes it when that fails.
    private static func take(
        _ descriptor: Int32, _ path: FilePath, _ mode: Mode, limit: Duration, guarding what: String
    ) throws {
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
    }

    deinit { release() }

    /// Gives the lock back; a second call does nothing.
    public func release() {
        descriptor.withLock { descriptor in
            if let open = descriptor {
                // A child that is being started may have a copy for a moment: closing alone would leave the lock with it.
                flock(open, LOCK_UN)
                close(open)
            }
            descriptor = nil
        }
    }
}
