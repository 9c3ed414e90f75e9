import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import Synchronization
import SystemPackage

/// A few words about work that is not finished, in a file of `ingest/` that outlives the process: the next attempt reads how far
/// this one got.
///
/// Whoever has it open holds a lock on it, so no two go on with the same work. Garbage collection takes it with all that is in
/// `ingest/`. It is for the user alone, because it may hold what a registry lets nobody else know. All calls block, for a moment
/// only, except those of `ImageStore`.
public final class IngestNote: Sendable {
    /// The most bytes that a note may have.
    public static let sizeLimit = 64 << 10

    private let path: FilePath
    private let file: Mutex<FileDescriptor?>

    private init(_ file: FileDescriptor, at path: FilePath) {
        self.path = path
        self.file = Mutex(file)
    }

    deinit { close(keeping: true) }

    static func path(_ name: String, layout: FilePath) -> FilePath { layout.appending("ingest").appending(name) }

    /// Opens the file, making it when there is none.
    ///
    /// - Returns: nil when somebody else has it open.
    static func open(_ name: String, layout: FilePath) throws -> IngestNote? {
        let path = path(name, layout: layout)
        do {
            while true {
                let file = try FileDescriptor.open(
                    path, .readWrite, options: [.create, .closeOnExec, .noFollow], permissions: .ownerReadWrite)
                do {
                    guard flock(file.rawValue, LOCK_EX | LOCK_NB) == 0 else {
                        let error = Errno(rawValue: errno)
                        guard error == .wouldBlock || error == .interrupted else { throw error }
                        try file.close()
                        return nil
                    }
                    // Between our opening and locking it the other one may have deleted it.
                    if try PartialBlob.isStill(file, at: path) { return IngestNote(file, at: path) }
                } catch {
                    try file.close()
                    throw error
                }
                try file.close()
            }
        } catch let error as Errno {
            throw Failure(.system, "cannot write to the store", at: path.string, causes: [error])
        }
    }

    /// What was written last; empty in a new one.
    ///
    /// - Throws: `Failure` of kind `integrity` when it is larger than any note is.
    public func read() throws -> Data {
        try withFile { file in
            var bytes = [UInt8](repeating: 0, count: Self.sizeLimit + 1)
            var count = 0
            while count < bytes.count {
                let (got, offset) = (count, Int64(count))
                let more = try bytes.withUnsafeMutableBytes { all in
                    try file.read(
                        fromAbsoluteOffset: offset, into: UnsafeMutableRawBufferPointer(rebasing: all[got...]))
                }
                guard more > 0 else { break }
                count += more
            }
            // A line: whoever was killed while it wrote a shorter one left the end of the longer one behind it.
            let line = bytes[..<count].prefix { $0 != UInt8(ascii: "\n") }
            guard line.count <= Self.sizeLimit else {
                throw Failure(.integrity, "a note of the store is larger than \(Self.sizeLimit) bytes", at: path.string)
            }
            return Data(line)
        }
    }

    /// Replaces what is there.
    ///
    /// - Parameter line: text without a line break, at most `sizeLimit` bytes.
    public func write(_ line: Data) throws {
        guard line.count <= Self.sizeLimit, !line.contains(UInt8(ascii: "\n")) else {
            throw Failure(.software, "a note is one line of at most \(Self.sizeLimit) bytes", at: path.string)
        }
        try withFile { file in
            let bytes = Array(line) + [UInt8(ascii: "\n")]
            try file.writeAll(toAbsoluteOffset: 0, bytes)
            guard ftruncate(file.rawValue, off_t(bytes.count)) == 0 else { throw Errno(rawValue: errno) }
        }
    }

    /// Lets go of the file; a second call does nothing.
    ///
    /// - Parameter keeping: whether it stays for the next attempt; an empty one is deleted in any case.
    public func close(keeping: Bool) {
        file.withLock { file in
            guard let open = file else { return }
            file = nil
            var information = stat()
            let isEmpty = fstat(open.rawValue, &information) == 0 && information.st_size == 0
            if !keeping || isEmpty { unlink(path.string) }
            // A child that is being started may have a copy of it for a moment.
            flock(open.rawValue, LOCK_UN)
            Glibc.close(open.rawValue)
        }
    }

    private func withFile<Result>(_ body: (FileDescriptor) throws -> Result) throws -> Result {
        try file.withLock { file in
            guard let file else { throw Failure(.software, "a note was used after its end", at: path.string) }
            do {
                return try body(file)
            } catch let error as Errno {
                throw Failure(
                    .system, "cannot note in the store how far something is", at: path.string, causes: [error])
            }
        }
    }
}

extension ImageStore {
    /// Opens a note, making an empty one when there is none. Hold a `StoreSession`.
    ///
    /// - Parameter name: a file name that no other work uses.
    /// - Returns: nil when another task or process has it open.
    public func note(_ name: String) async throws -> IngestNote? {
        let root = root
        return try await BlockingPool.shared.run { try IngestNote.open(name, layout: root) }
    }

    /// Deletes a note, if there is one; who has it open does not notice.
    public func deleteNote(_ name: String) async throws {
        let path = IngestNote.path(name, layout: root)
        try await BlockingPool.shared.run { try Folder.delete(path) }
    }
}
