import Glibc
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage

/// A blob on its way into the store: written once, hashed while it is written, and named only when it is what it should be.
///
/// All calls block. An ingest that is neither committed nor abandoned leaves its file when the process dies; the next
/// clean-up of the store removes it.
public final class BlobIngest: Sendable {
    private struct State {
        var file: FileDescriptor?
        var hasher: ContentHasher
        var written: Int64 = 0
    }

    private let expected: Descriptor?
    private let algorithm: Digest.Algorithm
    private let path: FilePath
    private let layout: FilePath
    private let state: Mutex<State>

    /// Opens the temporary file.
    ///
    /// - Parameters:
    ///   - expected: what the bytes must turn out to be; nil when that is not known before.
    ///   - algorithm: of the digest, when nothing is expected.
    ///   - layout: the root of the store.
    init(expected: Descriptor?, algorithm: Digest.Algorithm = .sha256, layout: FilePath) throws {
        self.expected = expected
        self.algorithm = expected?.digest.algorithm ?? algorithm
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
        state = Mutex(State(file: file, hasher: ContentHasher(self.algorithm)))
    }

    deinit { abandon() }

    /// How many bytes were written so far.
    public var size: Int64 { state.withLock { $0.written } }

    /// Appends bytes.
    ///
    /// - Throws: `Failure` of kind `integrity` as soon as there are more bytes than expected, `system` when the disk is full.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        try state.withLock { state in
            guard let file = state.file else {
                throw Failure(.software, "a blob was written to after its end", at: path.string)
            }
            let total = state.written + Int64(bytes.count)
            if let expected, total > expected.size {
                throw Failure(.integrity, "\(expected.digest) has more than the announced \(expected.size) bytes")
            }
            try BlobFile.append(bytes, to: file, layout: layout)
            state.hasher.update(bytes)
            state.written = total
        }
    }

    /// Checks the bytes against what was expected, makes them durable and gives them their name.
    ///
    /// - Parameter mediaType: the type to put into the result; nil takes the expected one.
    /// - Returns: the blob's descriptor.
    /// - Throws: `Failure` of kind `integrity` when size or digest differ; nothing is left in the store then.
    @discardableResult
    public func commit(mediaType: String? = nil) throws -> Descriptor {
        let (digest, size) = try complete { _, hasher, size in
            let digest = hasher.digest()
            if let expected { try BlobFile.check(digest: digest, size: size, against: expected) }
            return digest
        }
        return Descriptor(
            mediaType: mediaType ?? expected?.mediaType ?? "application/octet-stream",
            digest: digest,
            size: size
        )
    }

    /// Compares the bytes with a digest that is told only now, as uploads to a registry do it. A digest of another algorithm than
    /// the one that was hashed by costs a second reading.
    ///
    /// - Throws: `Failure` of kind `integrity` when the digest differs; nothing is left in the store then.
    @discardableResult
    public func commit(as digest: Digest) throws -> Descriptor {
        let (digest, size) = try complete { file, hasher, _ in
            let actual =
                digest.algorithm == algorithm
                ? hasher.digest() : try BlobFile.digest(of: file, by: digest.algorithm)
            guard actual == digest else {
                throw Failure(.integrity, "the bytes of \(digest) have the digest \(actual)")
            }
            return digest
        }
        return Descriptor(mediaType: "application/octet-stream", digest: digest, size: size)
    }

    private func complete(
        _ check: (FileDescriptor, ContentHasher, Int64) throws -> Digest
    ) throws -> (Digest, Int64) {
        let (file, hasher, size) = try state.withLock { state in
            guard let file = state.file else {
                throw Failure(.software, "a blob was committed after its end", at: path.string)
            }
            state.file = nil
            return (file, state.hasher, state.written)
        }
        do {
            return try file.closeAfter {
                let digest = try check(file, hasher, size)
                try BlobFile.publish(file, at: path, as: digest, layout: layout)
                return (digest, size)
            }
        } catch {
            unlink(path.string)
            throw error
        }
    }

    /// Drops what was written.
    public func abandon() {
        let file = state.withLock { state in
            defer { state.file = nil }
            return state.file
        }
        guard let file else { return }
        close(file.rawValue)
        unlink(path.string)
    }
}
