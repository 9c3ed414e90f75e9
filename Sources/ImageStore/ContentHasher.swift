import FoundationEssentials
import OCI

import struct Crypto.SHA256
import struct Crypto.SHA512

/// Hashes bytes as they pass by, with the algorithm of a digest.
public struct ContentHasher: Sendable {
    private enum Function: Sendable {
        case sha256(SHA256)
        case sha512(SHA512)
    }
    private var function: Function

    /// Starts a hash.
    public init(_ algorithm: Digest.Algorithm = .sha256) {
        switch algorithm {
        case .sha256: function = .sha256(SHA256())
        case .sha512: function = .sha512(SHA512())
        }
    }

    /// The digest of bytes that are there as a whole.
    public static func digest(of bytes: some ContiguousBytes, _ algorithm: Digest.Algorithm = .sha256) -> Digest {
        var hasher = ContentHasher(algorithm)
        bytes.withUnsafeBytes { hasher.update($0) }
        return hasher.digest()
    }

    /// Takes more bytes.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        switch function {
        case .sha256(var hash):
            hash.update(bufferPointer: bytes)
            function = .sha256(hash)
        case .sha512(var hash):
            hash.update(bufferPointer: bytes)
            function = .sha512(hash)
        }
    }

    /// The digest of all bytes so far.
    public func digest() -> Digest {
        let digest: Digest? =
            switch function {
            case .sha256(let hash): Digest(algorithm: .sha256, bytes: hash.finalize())
            case .sha512(let hash): Digest(algorithm: .sha512, bytes: hash.finalize())
            }
        guard let digest else { preconditionFailure("a hash function returned a hash of another length") }
        return digest
    }
}

extension Digest {
    /// The digest of some bytes in memory.
    public static func of(_ bytes: Data, _ algorithm: Algorithm = .sha256) -> Digest {
        var hasher = ContentHasher(algorithm)
        bytes.withUnsafeBytes { hasher.update($0) }
        return hasher.digest()
    }
}
