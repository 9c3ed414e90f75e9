import ClusterRuntime
import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import SystemPackage

/// A user's kubeconfig, with clusters of whatever origin.
public struct KubeconfigFile: Sendable {
    /// Where it is, links followed.
    public let path: FilePath

    /// The most bytes that are read of one.
    private static let limit = 16 << 20
    /// How long another program may hold it.
    private static let patience = Duration.seconds(5)

    /// Names the file. Blocking: a link is followed, so that it is its target that gets replaced.
    public init(_ path: FilePath) {
        guard let real = realpath(path.string, nil) else {
            self.path = path
            return
        }
        defer { free(real) }
        self.path = FilePath(String(cString: real))
    }

    /// Where the earlier content is kept.
    public var backup: FilePath {
        path.removingLastComponent().appending("\(path.lastComponent?.string ?? "config").before-sealer")
    }

    /// Lays a cluster into it. Blocking.
    ///
    /// The file is replaced whole, only its owner may read it, and what it was before is kept as `backup`. kubectl's own lock is
    /// taken meanwhile.
    ///
    /// - Returns: whether anything had to be changed.
    /// - Throws: `InvalidText` when there is something else than a kubeconfig, `Failure` when it cannot be read or written.
    public func add(_ merge: KubeconfigMerge, setsCurrent: Bool) throws -> Bool {
        let folder = path.removingLastComponent()
        if !folder.isEmpty { try Folder.make(folder, permissions: FilePermissions(rawValue: 0o700)) }
        return try locked {
            var information = stat()
            let exists = stat(path.string, &information) == 0
            guard !exists || information.st_mode & S_IFMT == S_IFREG else {
                throw Failure(.invalidInput, "this is no file", at: path.string)
            }
            let before = exists ? try readFile(path, limit: Self.limit) : nil
            let text = before.map { String(decoding: $0, as: UTF8.self) }
            guard let after = try merge.merged(into: text, file: path.string, setsCurrent: setsCurrent) else {
                return false
            }
            let owner = exists ? information : nil
            if let before { try write(before, to: backup, owner: owner) }
            try write(after.utf8, to: path, owner: owner)
            return true
        }
    }

    /// Writes a file that stays its owner's, also when root does it.
    private func write(_ bytes: some Sequence<UInt8>, to path: FilePath, owner: stat?) throws {
        try AtomicFile.write(bytes, to: path, permissions: .ownerReadWrite)
        guard let owner, geteuid() == 0, owner.st_uid != 0 || owner.st_gid != 0 else { return }
        guard chown(path.string, owner.st_uid, owner.st_gid) == 0 else {
            throw Failure(
                .system, "cannot give the file back to its owner", at: path.string, causes: [Errno(rawValue: errno)])
        }
    }

    /// Runs `body` under kubectl's lock: a file beside it that only one can make.
    private func locked<Result>(_ body: () throws -> Result) throws -> Result {
        let lock = "\(path.string).lock"
        let end = ContinuousClock.now + Self.patience
        while true {
            let descriptor = open(lock, O_CREAT | O_EXCL | O_CLOEXEC | O_WRONLY, 0o600)
            if descriptor >= 0 {
                close(descriptor)
                break
            }
            let error = Errno(rawValue: errno)
            guard error == .fileExists || error == .interrupted else {
                throw Failure(
                    error == .permissionDenied ? .denied : .system, "cannot lock the kubeconfig", at: path.string,
                    causes: [error])
            }
            guard ContinuousClock.now < end else {
                throw Failure(
                    .conflict, "another program is changing the kubeconfig, waited \(Self.patience.inWords)",
                    at: path.string, remedy: "if none is, delete what it left: rm \(lock)")
            }
            usleep(20_000)
        }
        defer { unlink(lock) }
        return try body()
    }
}
