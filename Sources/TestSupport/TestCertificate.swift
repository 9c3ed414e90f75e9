import LinuxSystem
import Report
import SystemPackage

/// An authority and a certificate of it for `localhost` and 127.0.0.1, made by openssl.
public struct TestCertificate: Sendable {
    /// The authority's certificate, PEM.
    public let authority: FilePath
    /// The server's certificate, PEM.
    public let certificate: FilePath
    /// The server's key, PEM.
    public let key: FilePath

    /// Makes both in a folder.
    public init(in folder: FilePath) async throws {
        guard let openssl = Program("openssl") else { throw Failure(.unavailable, "openssl is not installed") }
        authority = folder.appending("ca.pem")
        certificate = folder.appending("server.pem")
        key = folder.appending("server.key")
        let authorityKey = folder.appending("ca.key").string
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        try await openssl.run(
            ["req", "-x509"] + curve + [
                "-keyout", authorityKey, "-out", authority.string, "-subj", "/CN=test authority",
            ],
            in: folder
        )
        try await openssl.run(
            ["req", "-x509"] + curve + [
                "-CA", authority.string, "-CAkey", authorityKey, "-keyout", key.string, "-out", certificate.string,
                "-subj", "/CN=registry", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-addext", "basicConstraints=critical,CA:FALSE",
            ],
            in: folder
        )
    }

    /// The authority's certificate as text.
    public func authorityPEM() throws -> String { String(decoding: try readFile(authority), as: UTF8.self) }
}
