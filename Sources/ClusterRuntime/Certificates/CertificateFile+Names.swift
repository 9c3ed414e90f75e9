import FoundationEssentials
import Report
import SwiftASN1
import X509

extension CertificateFile {
    /// The names and addresses that a certificate is good for.
    ///
    /// - Parameter pem: a certificate, or several, of which the first one counts.
    /// - Throws: `Failure` of kind `integrity` for what is no certificate.
    static func names(inPEM pem: Data) throws(Failure) -> Set<GeneralName> {
        do {
            guard let first = try PEMDocument.parseMultiple(pemString: String(decoding: pem, as: UTF8.self)).first
            else {
                throw Failure(.integrity, "there is no certificate")
            }
            return Set(try Certificate(pemDocument: first).extensions.subjectAlternativeNames ?? .init([]))
        } catch {
            throw (error as? Failure) ?? Failure(.integrity, "this is no certificate", causes: [error])
        }
    }
}
