import Crypto
import FoundationEssentials
import Report
import SwiftASN1
import X509

/// The certificates of the embedded registry: an authority of the cluster's own and a server certificate under it.
public struct RegistryCertificates: Sendable {
    /// The authority's certificate, PEM: what the nodes trust.
    public let authority: String
    /// The authority's private key, PEM; it stays on the operator's side.
    public let authorityKey: String
    /// The server's certificate, PEM.
    public let server: String
    /// The server's private key, PEM.
    public let serverKey: String

    /// Makes an authority for ten years and a server certificate for one, with ECDSA keys on P-256.
    ///
    /// - Parameters:
    ///   - names: the server's DNS names.
    ///   - addresses: the server's IPv4 addresses.
    public init(cluster: String, names: [String], addresses: [String], now: Date = .now) throws {
        let authorityKey = P256.Signing.PrivateKey()
        let authorityIdentifier = SubjectKeyIdentifier(hash: Certificate.PublicKey(authorityKey.publicKey))
        let authorityName = try DistinguishedName { CommonName("sealer registry authority of \(cluster)") }
        let year: TimeInterval = 365 * 24 * 3600
        // A node's clock may be a little behind.
        let start = now.addingTimeInterval(-300)
        let authority = try Certificate(
            version: .v3,
            serialNumber: Certificate.SerialNumber(),
            publicKey: .init(authorityKey.publicKey),
            notValidBefore: start,
            notValidAfter: now.addingTimeInterval(10 * year),
            issuer: authorityName,
            subject: authorityName,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true))
                authorityIdentifier
            },
            issuerPrivateKey: .init(authorityKey)
        )
        let serverKey = P256.Signing.PrivateKey()
        let alternatives =
            names.map { GeneralName.dnsName($0) }
            + (try addresses.map { GeneralName.ipAddress(try Self.octets(ofIPv4: $0)) })
        let server = try Certificate(
            version: .v3,
            serialNumber: Certificate.SerialNumber(),
            publicKey: .init(serverKey.publicKey),
            notValidBefore: start,
            notValidAfter: now.addingTimeInterval(year),
            issuer: authorityName,
            subject: try DistinguishedName { CommonName(names.first ?? cluster) },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth])
                SubjectAlternativeNames(alternatives)
                SubjectKeyIdentifier(hash: Certificate.PublicKey(serverKey.publicKey))
                AuthorityKeyIdentifier(keyIdentifier: authorityIdentifier.keyIdentifier)
            },
            issuerPrivateKey: .init(authorityKey)
        )
        self.authority = try authority.serializeAsPEM().pemString + "\n"
        self.authorityKey = authorityKey.pemRepresentation + "\n"
        self.server = try server.serializeAsPEM().pemString + "\n"
        self.serverKey = serverKey.pemRepresentation + "\n"
    }

    private static func octets(ofIPv4 text: String) throws -> ASN1OctetString {
        let octets = text.split(separator: ".", omittingEmptySubsequences: false).compactMap { UInt8($0) }
        guard octets.count == 4 else { throw Failure(.software, "\"\(text)\" is not an IPv4 address") }
        return ASN1OctetString(contentBytes: octets[...])
    }
}

/// What kubeadm calls a CA certificate hash: SHA-256 over the certificate's public key (SubjectPublicKeyInfo, DER).
///
/// - Parameter certificate: PEM, as in `/etc/kubernetes/pki/ca.crt`.
/// - Returns: `sha256:` and 64 hexadecimal characters.
/// - Throws: `Failure` of kind `integrity`.
func publicKeyHash(ofCertificate certificate: String, at place: String) throws -> String {
    let parsed: Certificate
    do {
        parsed = try Certificate(pemEncoded: certificate)
    } catch {
        throw Failure(.integrity, "the cluster's CA certificate cannot be read", at: place, causes: [error])
    }
    var serializer = DER.Serializer()
    try parsed.publicKey.serialize(into: &serializer)
    let alphabet = Array("0123456789abcdef")
    return SHA256.hash(data: serializer.serializedBytes).reduce(into: "sha256:") { text, byte in
        text.append(alphabet[Int(byte >> 4)])
        text.append(alphabet[Int(byte & 15)])
    }
}
