import FoundationEssentials
import LinuxSystem
import NIOSSL
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@testable import RegistryClient

/// What `certs.d` says about a host.
@Suite(.enabled(if: Program("openssl") != nil, "openssl is not installed"))
struct HostCertificatesTests {
    /// A registry that only speaks with who has a certificate of the authority.
    private func context(_ certificate: TestCertificate, wantsIdentity: Bool) throws -> NIOSSLContext {
        let chain = try NIOSSLCertificate.fromPEMFile(certificate.certificate.string).map {
            NIOSSLCertificateSource.certificate($0)
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain,
            privateKey: .privateKey(try NIOSSLPrivateKey(file: certificate.key.string, format: .pem)))
        if wantsIdentity {
            configuration.certificateVerification = .noHostnameVerification
            configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(certificate.authority.string))
        }
        return try NIOSSLContext(configuration: configuration)
    }

    private func resolve(_ configuration: RegistryConfiguration, _ host: String) async throws {
        let client = RegistryClient(configuration: configuration)
        let result = await Result.catching { _ = try await client.resolve(Reference("\(host)/a/b:v1")) }
        await client.close()
        try result.get()
    }

    private func copy(_ file: FilePath, to target: FilePath) throws {
        try AtomicFile.write(readFile(file), to: target)
    }

    @Test func anAuthorityOfTheHostIsTrustedForIt() async throws {
        let scratch = try Scratch()
        let certificate = try await TestCertificate(in: scratch.path)
        let image = try SmallImage(layers: ["one"])
        let registry = try await FakeRegistry.start(tls: context(certificate, wantsIdentity: false)) {
            image.answer($0.path) ?? unknown
        }
        let folder = scratch.path.appending("certs.d/\(registry.host)")
        try Folder.make(folder)
        try copy(certificate.authority, to: folder.appending("ca.crt"))
        var configuration = quickConfiguration()
        configuration.certificates = try HostCertificates.find(in: [scratch.path.appending("certs.d")])
        // This machine is not spoken to without verification when somebody has said whom to trust.
        #expect(try configuration.endpoints(for: Reference("\(registry.host)/a/b")).first?.security == .verified)
        try await resolve(configuration, registry.host)
        #expect(!registry.requests.isEmpty)

        // Another authority does not do.
        let other = scratch.path.appending("other")
        try Folder.make(other)
        try copy(try await TestCertificate(in: other).authority, to: folder.appending("ca.crt"))
        let error = await #expect(throws: Failure.self) { try await resolve(configuration, registry.host) }
        #expect(error?.what.contains("certificate cannot be verified") == true, "\(error?.description ?? "")")
        try await registry.stop()
    }

    @Test func whoWeAreIsShownToTheHostThatWantsIt() async throws {
        let scratch = try Scratch()
        let certificate = try await TestCertificate(in: scratch.path)
        let image = try SmallImage(layers: ["one"])
        let registry = try await FakeRegistry.start(tls: context(certificate, wantsIdentity: true)) {
            image.answer($0.path) ?? unknown
        }
        let folder = scratch.path.appending("certs.d/\(registry.host)")
        try Folder.make(folder)
        try copy(certificate.authority, to: folder.appending("ca.crt"))
        var configuration = quickConfiguration()
        let certificates = [scratch.path.appending("certs.d")]
        configuration.limits.attempts = 1
        configuration.certificates = try HostCertificates.find(in: certificates)
        await #expect(throws: Failure.self) { try await resolve(configuration, registry.host) }
        #expect(registry.requests.isEmpty)

        try copy(certificate.certificate, to: folder.appending("client.cert"))
        configuration.certificates = try HostCertificates.find(in: certificates)
        let missing = await #expect(throws: Failure.self) { try await resolve(configuration, registry.host) }
        #expect(missing?.kind == .notFound)
        #expect(missing?.place?.hasSuffix("client.key") == true)

        try copy(certificate.key, to: folder.appending("client.key"))
        try await resolve(configuration, registry.host)
        #expect(!registry.requests.isEmpty)

        try AtomicFile.write(Array("no key".utf8), to: folder.appending("client.key"))
        let broken = await #expect(throws: Failure.self) { try await resolve(configuration, registry.host) }
        #expect(broken?.kind == .invalidInput)
        #expect(broken?.description.contains("no key") == false || broken?.what.contains("is no key in PEM") == true)
        try await registry.stop()
    }

    @Test func foldersAreFoundInOrder() throws {
        let scratch = try Scratch()
        let (first, second) = (scratch.path.appending("first"), scratch.path.appending("second"))
        for (folder, name) in [(first, "r.test"), (second, "r.test"), (second, "s.test:443"), (second, "t.test:5000")] {
            try Folder.make(folder.appending(name))
            try AtomicFile.write([], to: folder.appending(name).appending("ca.crt"))
            try AtomicFile.write([], to: folder.appending(name).appending("a.cert"))
            try AtomicFile.write([], to: folder.appending(name).appending("readme.txt"))
        }
        try AtomicFile.write([], to: second.appending("stray.crt"))
        let found = try HostCertificates.find(in: [first, scratch.path.appending("absent"), second])
        #expect(Set(found.keys) == ["r.test", "s.test", "t.test:5000"])
        let place = first.appending("r.test")
        #expect(
            found["r.test"]
                == HostCertificates(
                    authorities: [place.appending("ca.crt")],
                    identities: [.init(certificate: place.appending("a.cert"), key: place.appending("a.key"))]))
    }
}
