import FoundationEssentials

/// A file of a folder of certificates. Its content has no description: it may be a key.
public struct CertificateFile: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    /// The path below the folder, `etcd/ca.crt`.
    public let path: String
    /// The content, PEM.
    public let bytes: Data
    /// The permissions: 0600 for keys, 0644 for what everybody may read.
    public let mode: UInt32

    /// Makes a file.
    public init(path: String, bytes: Data, mode: UInt32) {
        self.path = path
        self.bytes = bytes
        self.mode = mode
    }

    /// Whether it is a private key, which only masters get.
    public var isKey: Bool { path.hasSuffix(".key") }
    /// The path.
    public var description: String { path }
    /// The path.
    public var debugDescription: String { path }

    static func certificate(_ name: String, _ text: String) -> CertificateFile {
        CertificateFile(path: "\(name).crt", bytes: Data(text.utf8), mode: 0o644)
    }

    static func key(_ name: String, _ text: String) -> CertificateFile {
        CertificateFile(path: "\(name).key", bytes: Data(text.utf8), mode: 0o600)
    }

    /// A certificate and its key.
    static func pair(_ name: String, _ pair: CertificatePair) throws -> [CertificateFile] {
        [certificate(name, try pair.certificatePEM()), key(name, try pair.keyPEM())]
    }
}
