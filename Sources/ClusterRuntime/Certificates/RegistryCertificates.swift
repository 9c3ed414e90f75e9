import Clusterfile
import Crypto
import FoundationEssentials
import Report
import SwiftASN1
import X509

/// The certificates of the embedded registry: an authority of the cluster's own and a server certificate under it.
public struct RegistryCertificates: Sendable {
    /// The authority's certificate, PEM: what the nodes trust.
    public let authority: String
    /// The authority's private key, PEM; it stays on the operator's side. Nil on a machine that did not make it.
    public let authorityKey: String?
    /// The server's certificate, PEM.
    public let server: String
    /// The server's private key, PEM.
    public let serverKey: String

    /// Takes over what was made before.
    public init(authority: String, authorityKey: String?, server: String, serverKey: String) {
        self.authority = authority
        self.authorityKey = authorityKey
        self.server = server
        self.serverKey = serverKey
    }

    /// Whether the server's certificate is for the names and addresses that another one is for.
    ///
    /// - Throws: `Failure` of kind `integrity` when one of them is no certificate.
    public func hasNames(of other: RegistryCertificates) throws -> Bool {
        try CertificateFile.names(inPEM: Data(server.utf8)) == CertificateFile.names(inPEM: Data(other.server.utf8))
    }

    /// Makes an authority and a server certificate, with ECDSA keys on P-256.
    ///
    /// - Parameters:
    ///   - names: the server's DNS names.
    ///   - addresses: the server's addresses, IPv4 or IPv6.
    ///   - settings: how long they are valid.
    public init(
        cluster: String, names: [String], addresses: [String], settings: CertificateSettings = CertificateSettings(),
        now: Date = .now
    ) throws {
        for address in addresses where AddressOctets(address) == nil {
            throw Failure(.software, "\"\(address)\" is not an IP address")
        }
        let builder = CertificateBuilder(now: now)
        let authority = try builder.authority(
            name: "sealer registry authority of \(cluster)", years: settings.authorityYears,
            usage: KeyUsage(keyCertSign: true), maxPathLength: 0)
        let server = try builder.leaf(
            .init(
                commonName: names.first ?? cluster, usages: [.serverAuth], keyUsage: KeyUsage(digitalSignature: true),
                alternatives: CertificateBuilder.alternatives(names + addresses)),
            under: authority, years: settings.leafYears)
        self.authority = try authority.certificatePEM()
        authorityKey = try authority.keyPEM()
        self.server = try server.certificatePEM()
        serverKey = try server.keyPEM()
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
