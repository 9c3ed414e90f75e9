import Glibc
import LinuxSystem
import OCI
import Report
import SystemPackage

/// What every way into the store does with a blob's file. All calls block.
enum BlobFile {
    /// Appends bytes.
    ///
    /// - Throws: `Failure` of kind `system`, for instance when the disk is full.
    static func append(_ bytes: UnsafeRawBufferPointer, to file: FileDescriptor, layout: FilePath) throws {
        do {
            try file.writeAll(bytes)
        } catch {
            throw Failure(
                .system,
                "cannot write to the store",
                at: layout.string,
                remedy: error as? Errno == .noSpace ? "free some space, or name another folder with --root" : nil,
                causes: [error]
            )
        }
    }

    /// Compares what was received with what was expected.
    ///
    /// - Throws: `Failure` of kind `integrity`, without a place: the store does not know where the bytes came from.
    static func check(digest: Digest, size: Int64, against expected: Descriptor) throws {
        guard size == expected.size else {
            throw Failure(.integrity, "\(expected.digest) has \(size) bytes, announced were \(expected.size)")
        }
        guard digest == expected.digest else {
            throw Failure(.integrity, "the bytes of \(expected.digest) have the digest \(digest)")
        }
    }

    /// Makes the bytes durable and gives them their name.
    static func publish(_ file: FileDescriptor, at path: FilePath, as digest: Digest, layout: FilePath) throws {
        do {
            guard fsync(file.rawValue) == 0 else { throw Errno(rawValue: errno) }
            let target = layout.appending(digest.layoutPath)
            guard rename(path.string, target.string) == 0 else { throw Errno(rawValue: errno) }
            try AtomicFile.syncFolder(target.removingLastComponent())
        } catch let error as Errno {
            throw Failure(.system, "cannot complete a blob of the store", at: layout.string, causes: [error])
        }
    }

    /// Hashes a file from its beginning, wherever it stands.
    static func digest(of file: FileDescriptor, by algorithm: Digest.Algorithm) throws -> Digest {
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
