import Crypto
import FoundationEssentials
import Report
import SwiftASN1
import X509

/// A key with its certificate.
struct CertificatePair: Sendable {
    var certificate: Certificate
    var key: Certificate.PrivateKey

    /// The certificate, PEM.
    func certificatePEM() throws -> String { try certificate.serializeAsPEM().pemString + "\n" }
    /// The key, PEM (PKCS #8 for those made here).
    func keyPEM() throws -> String { try key.serializeAsPEM().pemString + "\n" }
}

/// Makes authorities and the certificates under them, all with ECDSA keys on P-256.
struct CertificateBuilder: Sendable {
    /// When certificates begin to be valid.
    var start: Date
    /// Now: lives are counted from here.
    var now: Date

    /// Makes a builder.
    init(now: Date = .now) {
        self.now = now
        // A node's clock may be a little behind.
        start = now.addingTimeInterval(-300)
    }

    /// The end of a life that begins now.
    func end(years: Int) -> Date { now.addingTimeInterval(TimeInterval(years) * 365 * 24 * 3600) }

    /// Makes an authority that signs itself.
    ///
    /// - Parameters:
    ///   - usage: what its key may do; as kubeadm has it unless told otherwise.
    ///   - maxPathLength: how many authorities may stand below it; nil for any number.
    func authority(
        name: String, years: Int,
        usage: KeyUsage = KeyUsage(digitalSignature: true, keyEncipherment: true, keyCertSign: true),
        maxPathLength: Int? = nil
    ) throws -> CertificatePair {
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let name = try DistinguishedName { CommonName(name) }
        let certificate = try Certificate(
            version: .v3,
            serialNumber: Certificate.SerialNumber(),
            publicKey: key.publicKey,
            notValidBefore: start,
            notValidAfter: end(years: years),
            issuer: name,
            subject: name,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: maxPathLength))
                Critical(usage)
                SubjectKeyIdentifier(hash: key.publicKey)
            },
            issuerPrivateKey: key
        )
        return CertificatePair(certificate: certificate, key: key)
    }

    /// What a certificate under an authority is for.
    struct Leaf {
        var commonName: String
        var organization: String?
        var usages: [ExtendedKeyUsage.Usage]
        var keyUsage = KeyUsage(digitalSignature: true, keyEncipherment: true)
        var alternatives: [GeneralName] = []
    }

    /// Makes a certificate under an authority. It ends with the authority at the latest.
    func leaf(_ leaf: Leaf, under authority: CertificatePair, years: Int) throws -> CertificatePair {
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let subject = try DistinguishedName {
            if let organization = leaf.organization { OrganizationName(organization) }
            CommonName(leaf.commonName)
        }
        let issuer = authority.certificate
        let identifier =
            try issuer.extensions.subjectKeyIdentifier ?? SubjectKeyIdentifier(hash: issuer.publicKey)
        let certificate = try Certificate(
            version: .v3,
            serialNumber: Certificate.SerialNumber(),
            publicKey: key.publicKey,
            notValidBefore: max(start, issuer.notValidBefore),
            notValidAfter: min(end(years: years), issuer.notValidAfter),
            issuer: issuer.subject,
            subject: subject,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(leaf.keyUsage)
                try ExtendedKeyUsage(leaf.usages)
                if !leaf.alternatives.isEmpty { SubjectAlternativeNames(leaf.alternatives) }
                SubjectKeyIdentifier(hash: key.publicKey)
                AuthorityKeyIdentifier(keyIdentifier: identifier.keyIdentifier)
            },
            issuerPrivateKey: authority.key
        )
        return CertificatePair(certificate: certificate, key: key)
    }

    /// Names and addresses as a certificate holds them, each once, in the order given.
    static func alternatives(_ names: [String]) -> [GeneralName] {
        var seen: Set<AnyHashable> = []
        return names.compactMap { name in
            if let address = AddressOctets(name) {
                guard seen.insert(address).inserted else { return nil }
                return .ipAddress(ASN1OctetString(contentBytes: address.bytes[...]))
            }
            return seen.insert(name).inserted ? .dnsName(name) : nil
        }
    }
}
