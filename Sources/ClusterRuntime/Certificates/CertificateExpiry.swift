import FoundationEssentials
import Report
import SwiftASN1
import X509

/// When a certificate ends.
public struct CertificateExpiry: Hashable, Sendable {
    /// What people know it by, its path below the folder of certificates without the suffix: `etcd/server`.
    public let name: String
    /// The last moment that it is valid.
    public let notAfter: Date

    /// Makes a value.
    public init(name: String, notAfter: Date) {
        self.name = name
        self.notAfter = notAfter
    }

    /// Reads the first certificate of a PEM text, which may have a key beside it.
    ///
    /// - Throws: `Failure` of kind `integrity`.
    public init(name: String, pem: Data) throws {
        do {
            let documents = try PEMDocument.parseMultiple(pemString: String(decoding: pem, as: UTF8.self))
            guard let first = documents.first(where: { $0.discriminator == Certificate.defaultPEMDiscriminator }) else {
                throw Failure(.integrity, "there is none in it")
            }
            self.init(name: name, notAfter: try Certificate(pemDocument: first).notValidAfter)
        } catch {
            throw Failure(.integrity, "this is no certificate (PEM)", at: name, causes: [error])
        }
    }

    /// Reads all certificates among files, in the files' order.
    ///
    /// - Throws: `Failure` of kind `integrity` for a file that ends in `.crt` and is no certificate.
    public static func list(of files: [CertificateFile]) throws -> [CertificateExpiry] {
        try files.filter { $0.path.hasSuffix(".crt") }.map {
            try CertificateExpiry(name: String($0.path.dropLast(4)), pem: $0.bytes)
        }
    }
}
