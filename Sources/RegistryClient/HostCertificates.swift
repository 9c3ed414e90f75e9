import FoundationEssentials
import Glibc
import LinuxSystem
import NIOSSL
import Report
import SystemPackage

/// What a folder `certs.d/HOST[:PORT]` of docker or containers holds: `*.crt` are authorities to trust for that host besides the
/// system's, `NAME.cert` with `NAME.key` is who we are there. The files are read when the host is spoken to.
public struct HostCertificates: Hashable, Sendable {
    /// A certificate of ours and its key.
    public struct Identity: Hashable, Sendable {
        /// The certificate with its chain, PEM.
        public var certificate: FilePath
        /// Its key, PEM.
        public var key: FilePath

        /// Names the files.
        public init(certificate: FilePath, key: FilePath) {
            self.certificate = certificate
            self.key = key
        }
    }

    /// The authorities, PEM.
    public var authorities: [FilePath]
    /// Who we are; the first counts.
    public var identities: [Identity]

    /// Names the files.
    public init(authorities: [FilePath] = [], identities: [Identity] = []) {
        self.authorities = authorities
        self.identities = identities
    }

    /// Lists the hosts of some `certs.d` folders; those that are not there, or may not be read, are skipped. Blocks.
    static func find(in folders: [FilePath]) throws -> [String: HostCertificates] {
        var result: [String: HostCertificates] = [:]
        for folder in folders where access(folder.string, R_OK | X_OK) == 0 && Folder.exists(folder) {
            for host in try Folder.names(in: folder) {
                let place = folder.appending(host)
                guard access(place.string, R_OK | X_OK) == 0, Folder.exists(place) else { continue }
                // Names of images leave the usual port out.
                let domain = host.hasSuffix(":443") ? String(host.dropLast(4)) : host
                if result[domain] == nil { result[domain] = try read(place) }
            }
        }
        return result
    }

    private static func read(_ folder: FilePath) throws -> HostCertificates {
        var result = HostCertificates()
        for name in try Folder.names(in: folder) {
            let path = folder.appending(name)
            switch path.extension {
            case "crt": result.authorities.append(path)
            case "cert":
                var key = path
                key.extension = "key"
                result.identities.append(Identity(certificate: path, key: key))
            default: break
            }
        }
        return result
    }

    /// Puts them into a TLS configuration.
    ///
    /// - Throws: `Failure` of kind `invalidInput`, `notFound` or `denied` that names the file.
    func add(to configuration: inout TLSConfiguration, trust: Trust) async throws {
        let identities = identities
        let authorities = trust == .system ? authorities : []
        let (roots, chain, key) = try await BlockingPool.shared.run {
            let roots = try authorities.flatMap { try Self.certificates(in: $0) }
            guard let identity = identities.first else { return (roots, [NIOSSLCertificate](), NIOSSLPrivateKey?.none) }
            let chain = try Self.certificates(in: identity.certificate)
            let bytes = try Self.bytes(of: identity.key, "the key of \(identity.certificate)")
            do {
                return (roots, chain, try NIOSSLPrivateKey(bytes: Array(bytes), format: .pem))
            } catch {
                // The error's own text is left out: nothing of a key belongs into a message.
                throw Failure(.invalidInput, "the file is no key in PEM without a pass phrase", at: identity.key.string)
            }
        }
        if !roots.isEmpty { configuration.additionalTrustRoots.append(.certificates(roots)) }
        if let key {
            configuration.certificateChain = chain.map { .certificate($0) }
            configuration.privateKey = .privateKey(key)
        }
    }

    private static func certificates(in file: FilePath) throws -> [NIOSSLCertificate] {
        let bytes = try bytes(of: file, "the certificate")
        do {
            return try NIOSSLCertificate.fromPEMBytes(Array(bytes))
        } catch {
            throw Failure(.invalidInput, "the file is no certificate in PEM", at: file.string, causes: [error])
        }
    }

    private static func bytes(of file: FilePath, _ what: String) throws -> Data {
        do {
            return try readFile(file, limit: 1 << 20)
        } catch var failure as Failure {
            failure.what = "cannot read \(what): \(failure.what)"
            throw failure
        }
    }
}
