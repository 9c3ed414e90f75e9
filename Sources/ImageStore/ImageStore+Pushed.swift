import Glibc
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage

extension ImageStore {
    /// Starts a blob whose digest is told only at its end, as uploads to a registry do it. Hold a `StoreSession` until
    /// something named refers to it.
    ///
    /// - Parameter algorithm: the one that the digest will likely have; another one costs a second reading.
    public func receive(_ algorithm: Digest.Algorithm = .sha256) async throws -> PushedBlob {
        let root = root
        return try await BlockingPool.shared.run { try PushedBlob(algorithm: algorithm, layout: root) }
    }
}

extension ImageStore.OpenBlob {
    /// Takes a file that was opened elsewhere, for content that does not lie in a store.
    ///
    /// - Parameter size: in bytes.
    public init(opened file: FileDescriptor, size: Int64) {
        self.init(file: file, size: size)
    }
}

/// A blob on its way into the store that gets its digest at the end: written once, hashed while it is written, and named only
/// when it is what it should be.
///
/// All calls block. One that is neither committed nor abandoned leaves its file when the process dies; the next clean-up of
/// the store removes it.
public final class PushedBlob: Sendable {
    private struct State {
        var file: FileDescriptor?
        var hasher: ContentHasher
        var written: Int64 = 0
    }

    private let algorithm: Digest.Algorithm
    private let path: FilePath
    private let layout: FilePath
    private let state: Mutex<State>

    init(algorithm: Digest.Algorithm, layout: FilePath) throws {
        self.algorithm = algorithm
        self.layout = layout
        let name = "\(getpid())-\(String(UInt64.random(in: 0...UInt64.max), radix: 36))"
        path = layout.appending("ingest").appending(name)
        let file: FileDescriptor
        do {
            file = try FileDescriptor.open(
                path,
                .readWrite,
                options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead]
            )
        } catch {
            throw Failure(.system, "cannot write to the store", at: layout.string, causes: [error])
        }
        state = Mutex(State(file: file, hasher: ContentHasher(algorithm)))
    }

    deinit { abandon() }

    /// How many bytes were written so far.
    public var size: Int64 { state.withLock { $0.written } }

    /// Appends bytes.
    ///
    /// - Throws: `Failure` of kind `system`, for instance when the disk is full; the blob can only be abandoned then.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        try state.withLock { state in
            guard let file = state.file else {
                throw Failure(.software, "a blob was written to after its end", at: path.string)
            }
            do {
                try file.writeAll(bytes)
            } catch {
                throw Failure(.system, "cannot write to the store", at: layout.string, causes: [error])
            }
            state.hasher.update(bytes)
            state.written += Int64(bytes.count)
        }
    }

    /// Compares the bytes with their digest, makes them durable and gives them their name.
    ///
    /// - Throws: `Failure` of kind `integrity` when the digest differs; nothing is left in the store then.
    @discardableResult
    public func commit(as digest: Digest) throws -> Descriptor {
        let (file, hasher, size) = try state.withLock { state in
            guard let file = state.file else {
                throw Failure(.software, "a blob was committed after its end", at: path.string)
            }
            state.file = nil
            return (file, state.hasher, state.written)
        }
        do {
            try file.closeAfter {
                let actual =
                    digest.algorithm == algorithm ? hasher.digest() : try Self.read(file, hashing: digest.algorithm)
                guard actual == digest else {
                    throw Failure(.integrity, "the bytes of \(digest) have the digest \(actual)")
                }
                guard fsync(file.rawValue) == 0 else { throw Errno(rawValue: errno) }
            }
            let target = layout.appending(digest.layoutPath)
            guard rename(path.string, target.string) == 0 else { throw Errno(rawValue: errno) }
            try AtomicFile.syncFolder(target.removingLastComponent())
        } catch let error as Errno {
            unlink(path.string)
            throw Failure(.system, "cannot complete a blob of the store", at: layout.string, causes: [error])
        } catch {
            unlink(path.string)
            throw error
        }
        return Descriptor(mediaType: "application/octet-stream", digest: digest, size: size)
    }

    /// Drops what was written; a second call does nothing.
    public func abandon() {
        let file = state.withLock { state in
            defer { state.file = nil }
            return state.file
        }
        guard let file else { return }
        close(file.rawValue)
        unlink(path.string)
    }

    private static func read(_ file: FileDescriptor, hashing algorithm: Digest.Algorithm) throws -> Digest {
        var hasher = ContentHasher(algorithm)
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        var position: Int64 = 0
        while true {
            let count = try buffer.withUnsafeMutableBytes { bytes in
                let count = try file.read(fromAbsoluteOffset: position, into: bytes)
                hasher.update(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
                return count
            }
            guard count > 0 else { return hasher.digest() }
            position += Int64(count)
        }
    }
}
