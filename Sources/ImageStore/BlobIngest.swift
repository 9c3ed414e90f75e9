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
    private let path: FilePath
    private let layout: FilePath
    private let state: Mutex<State>

    /// Opens the temporary file.
    ///
    /// - Parameters:
    ///   - expected: what the bytes must turn out to be; nil when that is not known before.
    ///   - layout: the root of the store.
    init(expected: Descriptor?, layout: FilePath) throws {
        self.expected = expected
        self.layout = layout
        let name = "\(getpid())-\(String(UInt64.random(in: 0...UInt64.max), radix: 36))"
        path = layout.appending("ingest").appending(name)
        let file: FileDescriptor
        do {
            file = try FileDescriptor.open(
                path,
                .writeOnly,
                options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead]
            )
        } catch {
            throw Failure(.system, "cannot write to the store", at: layout.string, causes: [error])
        }
        state = Mutex(State(file: file, hasher: ContentHasher(expected?.digest.algorithm ?? .sha256)))
    }

    deinit { abandon() }

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
        let (file, digest, size) = try state.withLock { state in
            guard let file = state.file else {
                throw Failure(.software, "a blob was committed after its end", at: path.string)
            }
            state.file = nil
            return (file, state.hasher.digest(), state.written)
        }
        do {
            try file.closeAfter {
                if let expected { try BlobFile.check(digest: digest, size: size, against: expected) }
                try BlobFile.publish(file, at: path, as: digest, layout: layout)
            }
        } catch {
            unlink(path.string)
            throw error
        }
        return Descriptor(
            mediaType: mediaType ?? expected?.mediaType ?? "application/octet-stream",
            digest: digest,
            size: size
        )
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
