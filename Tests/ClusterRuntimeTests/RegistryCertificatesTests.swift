import Clusterfile
import FoundationEssentials
import LinuxSystem
import Subprocess
import SystemPackage
import TestSupport
import Testing

@testable import ClusterRuntime

@Suite("Certificates")
struct RegistryCertificatesTests {
    @Test("openssl takes the server's certificate under the authority, for the registry's names only")
    func openssl() async throws {
        let scratch = try Scratch()
        let certificates = try RegistryCertificates(cluster: "demo", names: ["sea.hub"], addresses: ["172.18.0.2"])
        let authority = scratch.path.appending("ca.crt").string
        let server = scratch.path.appending("tls.crt").string
        try AtomicFile.write(Array(certificates.authority.utf8), to: FilePath(authority))
        try AtomicFile.write(Array(certificates.server.utf8), to: FilePath(server))
        for (option, value, isGood) in [
            ("-verify_hostname", "sea.hub", true), ("-verify_ip", "172.18.0.2", true),
            ("-verify_hostname", "docker.io", false), ("-verify_ip", "172.18.0.3", false),
        ] {
            let result = try await run(
                .name("openssl"),
                arguments: [
                    "verify", "-x509_strict", "-CAfile", authority, "-purpose", "sslserver", option, value, server,
                ],
                output: .string(limit: 4096),
                error: .string(limit: 4096)
            )
            #expect(result.terminationStatus.isSuccess == isGood, "\(option) \(value): \(result.standardError)")
        }
    }

    @Test("live as long as the Clusterfile says")
    func life() throws {
        let now = Date(timeIntervalSince1970: 1_800_000_000)
        let year: TimeInterval = 365 * 24 * 3600
        for settings in [CertificateSettings(), CertificateSettings(authorityYears: 20, leafYears: 3)] {
            let certificates = try RegistryCertificates(
                cluster: "demo", names: ["sea.hub"], addresses: [], settings: settings, now: now)
            for (pem, years) in [
                (certificates.authority, settings.authorityYears), (certificates.server, settings.leafYears),
            ] {
                let end = try CertificateExpiry(name: "registry", pem: Data(pem.utf8)).notAfter
                #expect(end == now.addingTimeInterval(TimeInterval(years) * year))
            }
        }
    }

    @Test("the hash of a CA's public key is openssl's")
    func keyHash() async throws {
        let scratch = try Scratch()
        let certificates = try RegistryCertificates(cluster: "demo", names: ["sea.hub"], addresses: [])
        let path = scratch.path.appending("ca.crt").string
        try AtomicFile.write(Array(certificates.authority.utf8), to: FilePath(path))
        let result = try await run(
            .name("sh"),
            arguments: [
                "-c", "openssl x509 -in \(path) -noout -pubkey | openssl pkey -pubin -outform der | sha256sum",
            ],
            output: .string(limit: 4096)
        )
        let hex = result.standardOutput.prefix(64)
        #expect(try publicKeyHash(ofCertificate: certificates.authority, at: "here") == "sha256:\(hex)")
    }

    @Test("what is no certificate is refused")
    func garbage() {
        #expect(throws: (any Error).self) { try publicKeyHash(ofCertificate: "hello", at: "here") }
    }
}
