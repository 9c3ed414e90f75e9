import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage

/// A large blob on its way into the store, in a file that outlives the process: the next attempt goes on where this one ended.
///
/// Its file is `ingest/ALGORITHM-HEX.partial`. Whoever has it open holds a lock on it, so no two write the same one; that the
/// work gets on shows in the file's size or its time. The bytes get their name only when all of them have the digest. All calls
/// block, except those of `ImageStore`.
public final class PartialBlob: Sendable {
    private struct State {
        var file: FileDescriptor?
        var hasher: ContentHasher
        var count: Int64 = 0
    }

    /// How much is brought to the disk in one go when the blob is whole, in bytes.
    private static let flushedPiece: Int64 = 32 << 20

    /// What the bytes must turn out to be.
    public let expected: Descriptor
    private let path: FilePath
    private let layout: FilePath
    private let state: Mutex<State>

    private init(_ expected: Descriptor, _ file: FileDescriptor, path: FilePath, layout: FilePath) {
        self.expected = expected
        self.path = path
        self.layout = layout
        state = Mutex(State(file: file, hasher: ContentHasher(expected.digest.algorithm)))
    }

    deinit { close() }

    static func path(of digest: Digest, layout: FilePath) -> FilePath {
        layout.appending("ingest").appending("\(digest.algorithm.rawValue)-\(digest.hex).partial")
    }

    /// Opens the file, making it when there is none, and hashes what is in it.
    ///
    /// - Parameter hashed: called after each piece of what is in it.
    /// - Returns: nil when somebody else has it open.
    static func open(
        _ expected: Descriptor,
        layout: FilePath,
        _ cancellation: CancellationFlag,
        hashed: () throws -> Void = {}
    ) throws -> PartialBlob? {
        let path = path(of: expected.digest, layout: layout)
        do {
            while true {
                try cancellation.check()
                let file = try FileDescriptor.open(
                    path,
                    .readWrite,
                    options: [.create, .closeOnExec, .noFollow],
                    permissions: [.ownerReadWrite, .groupRead, .otherRead]
                )
                let blob = PartialBlob(expected, file, path: path, layout: layout)
                guard flock(file.rawValue, LOCK_EX | LOCK_NB) == 0 else {
                    let error = Errno(rawValue: errno)
                    blob.forget()
                    guard error == .wouldBlock || error == .interrupted else { throw error }
                    return nil
                }
                do {
                    // Between our opening and locking it the other one may have named it a blob, or deleted it.
                    if try isStill(file, at: path) {
                        try blob.load(cancellation, hashed)
                        return blob
                    }
                    blob.forget()
                } catch {
                    blob.forget()
                    throw error
                }
            }
        } catch let error as Errno {
            throw Failure(.system, "cannot write to the store", at: path.string, causes: [error])
        }
    }

    /// Whether the open file is still the one at the path.
    static func isStill(_ file: FileDescriptor, at path: FilePath) throws -> Bool {
        var (ours, named) = (stat(), stat())
        guard fstat(file.rawValue, &ours) == 0 else { throw Errno(rawValue: errno) }
        guard ours.st_mode & S_IFMT == S_IFREG else {
            throw Failure(.integrity, "an unfinished blob of the store is not a file", at: path.string)
        }
        guard lstat(path.string, &named) == 0 else {
            guard errno == ENOENT else { throw Errno(rawValue: errno) }
            return false
        }
        return ours.st_ino == named.st_ino && ours.st_dev == named.st_dev
    }

    /// Hashes the bytes that are there.
    private func load(_ cancellation: CancellationFlag, _ hashed: () throws -> Void) throws {
        try state.withLock { state in
            guard let file = state.file else { return }
            posix_fadvise(file.rawValue, 0, 0, POSIX_FADV_SEQUENTIAL)
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
            defer { buffer.deallocate() }
            while true {
                try cancellation.check()
                let count = try file.read(into: buffer)
                guard count > 0 else { break }
                state.hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                state.count += Int64(count)
                Self.showLife(file)
                try hashed()
            }
            // Longer than the whole: whatever wrote that was not us.
            if state.count > expected.size { try Self.empty(&state, expected) }
        }
    }

    /// Shows those who wait for the blob that something goes on that does not change its size: they look at the file's time. Where
    /// it cannot be set they lose patience sooner, no more.
    private static func showLife(_ file: FileDescriptor) {
        _ = futimens(file.rawValue, nil)
    }

    /// Brings the bytes to the disk piece by piece: to do it in one may take minutes on a slow one, and nobody would see that it
    /// goes on.
    private static func flush(_ file: FileDescriptor, _ size: Int64) throws {
        for offset in stride(from: 0, to: size, by: Int(flushedPiece)) where size > flushedPiece {
            // Where that cannot be done, all is brought there in the end.
            guard try file.writeBack(from: offset, count: flushedPiece) else { return }
            showLife(file)
        }
    }

    /// How many bytes there are.
    public var count: Int64 { state.withLock { $0.count } }

    /// Appends bytes.
    ///
    /// - Throws: `Failure` of kind `integrity` as soon as there are more bytes than expected, `system` when the disk is full.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        try state.withLock { state in
            guard let file = state.file else {
                throw Failure(.software, "a blob was written to after its end", at: path.string)
            }
            guard state.count + Int64(bytes.count) <= expected.size else {
                throw Failure(.integrity, "\(expected.digest) has more than the announced \(expected.size) bytes")
            }
            do {
                try BlobFile.append(bytes, to: file, layout: layout)
            } catch {
                // A part may have been written: what is in the file must be what was hashed.
                _ = ftruncate(file.rawValue, off_t(state.count))
                _ = lseek(file.rawValue, off_t(state.count), SEEK_SET)
                throw error
            }
            state.hasher.update(bytes)
            state.count += Int64(bytes.count)
        }
    }

    /// Drops the bytes and begins anew, still holding the file.
    public func restart() throws {
        do {
            try state.withLock { try Self.empty(&$0, expected) }
        } catch let error as Errno {
            throw Failure(.system, "cannot write to the store", at: path.string, causes: [error])
        }
    }

    private static func empty(_ state: inout State, _ expected: Descriptor) throws {
        guard let file = state.file else { return }
        guard ftruncate(file.rawValue, 0) == 0, lseek(file.rawValue, 0, SEEK_SET) == 0 else {
            throw Errno(rawValue: errno)
        }
        state.hasher = ContentHasher(expected.digest.algorithm)
        state.count = 0
    }

    /// Checks the bytes, makes them durable and gives them their name.
    ///
    /// - Throws: `Failure` of kind `integrity` when size or digest differ; the bytes are gone then, and it can be begun anew.
    public func commit() throws {
        try state.withLock { state in
            guard let file = state.file else {
                throw Failure(.software, "a blob was committed after its end", at: path.string)
            }
            do {
                try BlobFile.check(digest: state.hasher.digest(), size: state.count, against: expected)
            } catch {
                try Self.empty(&state, expected)
                throw error
            }
            do {
                try Self.flush(file, state.count)
            } catch {
                throw Failure(.system, "cannot complete a blob of the store", at: layout.string, causes: [error])
            }
            try BlobFile.publish(file, at: path, as: expected.digest, layout: layout)
            state.file = nil
            Glibc.close(file.rawValue)
        }
    }

    /// Lets go of the file. What is in it stays for the next attempt; an empty one is deleted.
    public func close() {
        state.withLock { state in
            guard let file = state.file else { return }
            state.file = nil
            if state.count == 0 { unlink(path.string) }
            // A child that is being started may have a copy of it for a moment.
            flock(file.rawValue, LOCK_UN)
            Glibc.close(file.rawValue)
        }
    }

    /// Lets go of a file that is not ours to change.
    private func forget() {
        state.withLock { state in
            if let file = state.file { Glibc.close(file.rawValue) }
            state.file = nil
        }
    }
}

extension ImageStore {
    /// Takes up a large blob where an earlier attempt left it, or begins it. Hold a `StoreSession`.
    ///
    /// When another task or process is receiving it, this one waits for as long as that one gets on.
    ///
    /// - Parameters:
    ///   - expected: what the bytes must turn out to be.
    ///   - patience: how long the other one may neither receive nor hash nor write anything.
    /// - Returns: nil when the other one has brought it into the store meanwhile.
    /// - Throws: `Failure` of kind `conflict` when the other one does not get on.
    public func partialBlob(_ expected: Descriptor, patience: Duration) async throws -> PartialBlob? {
        try await partialBlob(expected, patience: patience) { .now }
    }

    /// - Parameter now: the clock.
    func partialBlob(
        _ expected: Descriptor, patience: Duration, now clock: @Sendable () throws -> ContinuousClock.Instant
    ) async throws -> PartialBlob? {
        let (root, target) = (root, path(of: expected.digest))
        let path = PartialBlob.path(of: expected.digest, layout: root)
        let before = try await BlockingPool.shared.run { FileMark(target) }
        var seen = FileMark?.none
        var end = try clock() + patience
        while true {
            let blob = try await BlockingPool.shared.run { try PartialBlob.open(expected, layout: root, $0) }
            let (now, growing) = try await BlockingPool.shared.run { (FileMark(target), FileMark(path)) }
            // Only one that came while we waited: whoever repairs a store replaces the one that is there.
            if let now, !now.isSameFile(as: before), now.size == expected.size {
                try await BlockingPool.shared.run {
                    try blob?.restart()
                    blob?.close()
                }
                return nil
            }
            if let blob { return blob }
            if growing != seen {
                seen = growing
                end = try clock() + patience
            }
            guard try clock() < end else {
                throw Failure(
                    .conflict,
                    "another sealer process is receiving \(expected.digest), and did not get on for \(patience.inWords)",
                    at: path.string,
                    remedy: "wait for it to end, or find it with: fuser \(path.string)"
                )
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }
}

/// Tells a file from another one of the same name, and from itself after somebody has done something with it.
private struct FileMark: Hashable, Sendable {
    var device: UInt
    var inode: UInt
    var size: Int64
    var seconds: Int
    var nanoseconds: Int

    /// Blocks; nil when there is no file.
    init?(_ path: FilePath) {
        var information = stat()
        guard lstat(path.string, &information) == 0 else { return nil }
        device = UInt(information.st_dev)
        inode = UInt(information.st_ino)
        size = Int64(information.st_size)
        seconds = Int(information.st_mtim.tv_sec)
        nanoseconds = Int(information.st_mtim.tv_nsec)
    }

    func isSameFile(as other: FileMark?) -> Bool {
        device == other?.device && inode == other?.inode && size == other?.size
    }
}
