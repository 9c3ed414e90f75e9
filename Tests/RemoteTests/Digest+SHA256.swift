import Crypto
import FoundationEssentials
import OCI

extension OCI.Digest {
    /// The digest of some bytes.
    init(sha256Of bytes: Data) {
        guard let digest = OCI.Digest(algorithm: .sha256, bytes: SHA256.hash(data: bytes)) else {
            fatalError("a SHA-256 has another length than it must have")
        }
        self = digest
    }
}
