import Crypto
import OCI
import Report
import SystemPackage

/// The SHA-256 digest of a file. Blocking.
public func fileDigest(of path: FilePath) throws -> OCI.Digest {
    do {
        let file = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec])
        return try file.closeAfter {
            var hash = SHA256()
            var buffer = [UInt8](repeating: 0, count: 1 << 20)
            while true {
                let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0) }
                guard count > 0 else { break }
                buffer.withUnsafeBytes { hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            }
            guard let digest = OCI.Digest(algorithm: .sha256, bytes: hash.finalize()) else {
                throw Failure(.software, "a SHA-256 has another length than it must have")
            }
            return digest
        }
    } catch let error as Errno {
        throw Failure(.system, "cannot read the file", at: path.string, causes: [error])
    }
}
