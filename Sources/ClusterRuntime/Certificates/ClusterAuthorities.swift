import CryptoExtras
import FoundationEssentials
import LinuxSystem
import Remote
import Report
import SwiftASN1
import SystemPackage
import X509

/// What all trust in a cluster hangs on: kubeadm's three authorities, and the key that service accounts' tokens are signed
/// with. Every master gets all of it, nobody else a key of it.
public struct ClusterAuthorities: Sendable {
    /// The files in kubeadm's layout, below its folder (`/etc/kubernetes/pki`).
    public let files: [CertificateFile]

    let kubernetes: CertificatePair
    let etcd: CertificatePair
    let frontProxy: CertificatePair

    /// kubeadm's names: file, and subject.
    private enum Authority: String, CaseIterable {
        case kubernetes = "ca"
        case etcd = "etcd/ca"
        case frontProxy = "front-proxy-ca"

        var commonName: String {
            switch self {
            case .kubernetes: "kubernetes"
            case .etcd: "etcd-ca"
            case .frontProxy: "front-proxy-ca"
            }
        }
    }

    /// The paths that `init(files:)` takes notice of.
    public static let paths: [String] =
        Authority.allCases.flatMap { ["\($0.rawValue).crt", "\($0.rawValue).key"] } + ["sa.key", "sa.pub"]

    /// Makes new authorities with ECDSA keys on P-256, and an RSA key of 2048 bits for service accounts: tokens signed with
    /// it (RS256) are what every reader of such tokens knows.
    ///
    /// - Parameter years: how long the authorities are valid, at least 1.
    public init(years: Int = 10, now: Date = .now) throws {
        try self.init(files: [], years: years, now: now, at: "")
    }

    /// Takes authorities from files in kubeadm's layout, those of the user or those that were made before. An authority that
    /// has no file there is made.
    ///
    /// Other files are left out. A certificate may be followed by those of the authorities above it.
    ///
    /// - Parameters:
    ///   - place: the folder, for messages.
    /// - Throws: `Failure` of kind `invalidInput` that names the file: a key or certificate without the other, what is no
    ///   authority, has ended or not begun, or does not fit its key.
    public init(files: [CertificateFile], years: Int = 10, now: Date = .now, at place: String) throws {
        let texts = Dictionary(files.map { ($0.path, String(decoding: $0.bytes, as: UTF8.self)) }) { $1 }
        let reader = Reader(texts: texts, place: place, now: now)
        var result: [CertificateFile] = []
        func take(_ authority: Authority) throws -> CertificatePair {
            if let pair = try reader.authority(authority.rawValue) {
                result += [
                    .certificate(authority.rawValue, texts["\(authority.rawValue).crt"] ?? ""),
                    .key(authority.rawValue, texts["\(authority.rawValue).key"] ?? ""),
                ]
                return pair
            }
            let pair = try CertificateBuilder(now: now).authority(name: authority.commonName, years: years)
            result += try CertificateFile.pair(authority.rawValue, pair)
            return pair
        }
        kubernetes = try take(.kubernetes)
        etcd = try take(.etcd)
        frontProxy = try take(.frontProxy)
        let (key, publicKey): (String, String)
        if let given = try reader.serviceAccountKey() {
            (key, publicKey) = given
        } else {
            let made = try _RSA.Signing.PrivateKey(keySize: .bits2048)
            (key, publicKey) = (made.pemRepresentation + "\n", made.publicKey.pemRepresentation + "\n")
        }
        result += [.key("sa", key), CertificateFile(path: "sa.pub", bytes: Data(publicKey.utf8), mode: 0o644)]
        self.files = result
    }

    /// Reads those of a running cluster from one of its masters.
    ///
    /// - Throws: what `init(files:)` throws; `Failure` of kind `notFound` when the host lacks one of the files.
    public static func read(from master: any Host, now: Date = .now) async throws -> ClusterAuthorities {
        let folder = CertificateFile.kubeadmFolder
        var files: [CertificateFile] = []
        for path in paths {
            let file = folder.appending(FilePath(path).components)
            guard let bytes = try await master.readFile(file, limit: 1 << 20) else {
                throw Failure(
                    .notFound, "the master is a member of the cluster and lacks \(file)", at: master.name,
                    remedy: "sealer needs the cluster's authorities with their keys: put it back from another master")
            }
            files.append(CertificateFile(path: path, bytes: bytes, mode: path.hasSuffix(".key") ? 0o600 : 0o644))
        }
        return try ClusterAuthorities(files: files, now: now, at: "\(master.name):\(folder)")
    }

    /// Reads authorities from a folder in kubeadm's layout (`ca.crt`, `ca.key`, `etcd/ca.crt` and so on).
    ///
    /// - Throws: what `init(files:)` throws; `Failure` of kind `notFound` when there is no `ca.crt`.
    public static func read(folder: FilePath, years: Int = 10, now: Date = .now) async throws -> ClusterAuthorities {
        try await BlockingPool.shared.run {
            let files = try paths.compactMap { path -> CertificateFile? in
                do {
                    let bytes = try readFile(folder.appending(path), limit: 1 << 20)
                    return CertificateFile(path: path, bytes: bytes, mode: path.hasSuffix(".key") ? 0o600 : 0o644)
                } catch let failure as Failure where failure.kind == .notFound {
                    return nil
                }
            }
            guard files.contains(where: { $0.path == "ca.crt" }) else {
                throw Failure(
                    .notFound, "the folder holds no ca.crt", at: folder.string,
                    remedy: "lay it out as kubeadm does: ca.crt, ca.key, etcd/ca.crt, etcd/ca.key, front-proxy-ca.crt, "
                        + "front-proxy-ca.key, sa.key; what is missing besides ca is made")
            }
            return try ClusterAuthorities(files: files, years: years, now: now, at: folder.string)
        }
    }
}

/// Reads and checks what stands in files.
private struct Reader {
    let texts: [String: String]
    let place: String
    let now: Date

    private func failure(_ path: String, _ what: String, remedy: String? = nil, causes: [any Error] = []) -> Failure {
        Failure(.invalidInput, what, at: place.isEmpty ? path : "\(place)/\(path)", remedy: remedy, causes: causes)
    }

    /// An authority; nil when there is neither its certificate nor its key.
    func authority(_ name: String) throws -> CertificatePair? {
        let (certificatePath, keyPath) = ("\(name).crt", "\(name).key")
        switch (texts[certificatePath], texts[keyPath]) {
        case (nil, nil): return nil
        case (_?, nil):
            throw failure(
                keyPath, "the key of \(certificatePath) is missing",
                remedy: "put it beside: sealer signs the masters' certificates with it")
        case (nil, _?): throw failure(certificatePath, "the certificate of \(keyPath) is missing")
        case (let certificate?, let key?):
            let pair = CertificatePair(
                certificate: try self.certificate(certificate, certificatePath), key: try self.key(key, keyPath))
            try check(pair, certificatePath, keyPath)
            return pair
        }
    }

    private func certificate(_ text: String, _ path: String) throws -> Certificate {
        do {
            guard let first = try PEMDocument.parseMultiple(pemString: text).first else {
                throw Failure(.invalidInput, "it is empty")
            }
            return try Certificate(pemDocument: first)
        } catch {
            throw failure(path, "this is no certificate (PEM)", causes: [error])
        }
    }

    private func key(_ text: String, _ path: String) throws -> Certificate.PrivateKey {
        do {
            // openssl writes the curve before an EC key; it is in the key too.
            let documents = try PEMDocument.parseMultiple(pemString: text)
            guard let key = documents.first(where: { $0.discriminator != "EC PARAMETERS" }) else {
                throw Failure(.invalidInput, "it is empty")
            }
            return try Certificate.PrivateKey(pemDocument: key)
        } catch {
            // The cause is left out: it could repeat what the file holds.
            throw failure(
                path, "this is no private key that can be used",
                remedy: "RSA of 2048 bits and more or ECDSA on P-256, P-384 or P-521, PEM, without a passphrase")
        }
    }

    private func check(_ pair: CertificatePair, _ certificatePath: String, _ keyPath: String) throws {
        let certificate = pair.certificate
        guard case .isCertificateAuthority = try certificate.extensions.basicConstraints else {
            throw failure(certificatePath, "the certificate is not that of an authority (CA:TRUE)")
        }
        if let usage = try certificate.extensions.keyUsage, !usage.keyCertSign {
            throw failure(certificatePath, "the authority may not sign certificates (its key usage lacks keyCertSign)")
        }
        guard certificate.publicKey == pair.key.publicKey else {
            throw failure(keyPath, "the key does not fit \(certificatePath)")
        }
        guard certificate.notValidBefore <= now else {
            throw failure(
                certificatePath, "the certificate is valid from \(certificate.notValidBefore.ISO8601Format()) on only",
                remedy: "look at this machine's clock")
        }
        guard certificate.notValidAfter > now else {
            throw failure(
                certificatePath, "the certificate has ended at \(certificate.notValidAfter.ISO8601Format())",
                remedy: "renew it, or leave the authority out: sealer makes one")
        }
    }

    /// The service accounts' key and its public half; nil when there is none. kubeadm can make the public half itself, so it
    /// need not be there.
    func serviceAccountKey() throws -> (key: String, publicKey: String)? {
        guard let text = texts["sa.key"] else {
            guard texts["sa.pub"] == nil else { throw failure("sa.key", "the key of sa.pub is missing") }
            return nil
        }
        let key = try key(text, "sa.key")
        let derived = try key.publicKey.serializeAsPEM().pemString + "\n"
        guard let given = texts["sa.pub"] else { return (text, derived) }
        do {
            guard try Certificate.PublicKey(pemEncoded: given) == key.publicKey else {
                throw failure("sa.pub", "the public key is not that of sa.key")
            }
        } catch let failure as Failure {
            throw failure
        } catch {
            throw failure("sa.pub", "this is no public key (PEM)", causes: [error])
        }
        return (text, given)
    }
}
