import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import SwiftASN1
import SystemPackage
import TestSupport
import Testing
import X509

@testable import ClusterRuntime

/// A real kubeadm: `SEALER_TEST_KUBEADM`, or the one that the test bed fetched.
let realKubeadm: Program? = {
    func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
    if let named = variable("SEALER_TEST_KUBEADM") { return Program(path: named) }
    let cache = variable("XDG_CACHE_HOME") ?? "\(variable("HOME") ?? "")/.cache"
    let path = "\(cache)/sealer-testbed/kubernetes-1.20.2/kubeadm"
    return access(path, X_OK) == 0 ? Program(path: path) : nil
}()

private func openssl() throws -> Program { try #require(Program("openssl")) }

private func write(_ files: [CertificateFile], to folder: FilePath) throws {
    try Folder.make(folder.appending("etcd"))
    for file in files {
        try AtomicFile.write(
            file.bytes, to: folder.appending(file.path), permissions: FilePermissions(rawValue: file.mode))
    }
}

private let names = NodeCertificates.Names(
    node: "demo-master-0", addresses: ["10.0.0.2", "fd00::2"], serviceNetworks: ["10.96.0.0/12", "fd00:96::/112"],
    more: ["api.example.org", "192.0.2.7", "localhost"])

@Suite("A cluster's authorities")
struct ClusterAuthoritiesTests {
    @Test("are made with kubeadm's names and modes, and read back as they are")
    func made() async throws {
        let scratch = try Scratch()
        let authorities = try ClusterAuthorities()
        #expect(
            authorities.files.map(\.path) == [
                "ca.crt", "ca.key", "etcd/ca.crt", "etcd/ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "sa.key",
                "sa.pub",
            ])
        for file in authorities.files { #expect(file.mode == (file.isKey ? 0o600 : 0o644)) }
        try write(authorities.files, to: scratch.path)
        #expect(try await ClusterAuthorities.read(folder: scratch.path).files == authorities.files)
        // Nothing that prints them prints a key.
        #expect(!"\(authorities.files) \(String(reflecting: authorities.files))".contains("PRIVATE"))
    }

    @Test(
        "are what openssl takes for authorities, for ten years, and the service accounts' keys are a pair of RSA keys")
    func byOpenssl() async throws {
        let scratch = try Scratch()
        try write(try ClusterAuthorities().files, to: scratch.path)
        let openssl = try openssl()
        for (path, name) in [("ca", "kubernetes"), ("etcd/ca", "etcd-ca"), ("front-proxy-ca", "front-proxy-ca")] {
            let file = scratch.path.appending("\(path).crt").string
            let text = try await openssl.run(["x509", "-in", file, "-noout", "-text"], in: scratch.path)
            #expect(text.contains("Subject: CN = \(name)\n") || text.contains("Subject: CN=\(name)\n"))
            #expect(text.contains("CA:TRUE"))
            #expect(text.contains("Digital Signature, Key Encipherment, Certificate Sign"))
            try await openssl.run(["verify", "-x509_strict", "-CAfile", file, file], in: scratch.path)
            let tenYears = 10 * 365 * 24 * 3600
            try await openssl.run(
                ["x509", "-in", file, "-noout", "-checkend", "\(tenYears - 3600)"], in: scratch.path)
            await #expect(throws: Failure.self) {
                try await openssl.run(
                    ["x509", "-in", file, "-noout", "-checkend", "\(tenYears + 3600)"], in: scratch.path)
            }
        }
        let key = scratch.path.appending("sa.key").string
        let text = try await openssl.run(["pkey", "-in", key, "-pubout"], in: scratch.path)
        #expect(text == String(decoding: try readFile(scratch.path.appending("sa.pub")), as: UTF8.self))
        let modulus = try await openssl.run(["rsa", "-in", key, "-noout", "-text"], in: scratch.path)
        #expect(modulus.contains("2048 bit"))
    }

    @Test(
        "may be the user's: RSA or elliptic, in any PEM form; what is missing is made",
        arguments: ["rsa", "ec", "sec1"])
    func users(kind: String) async throws {
        let scratch = try Scratch()
        let folder = scratch.path.appending("pki")
        try Folder.make(folder)
        let openssl = try openssl()
        let (key, certificate) = (folder.appending("ca.key").string, folder.appending("ca.crt").string)
        switch kind {
        case "rsa": try await openssl.run(["genrsa", "-out", key, "2048"], in: scratch.path)
        case "ec":
            try await openssl.run(
                ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", key], in: scratch.path)
        default:
            // With the block of EC PARAMETERS before the key.
            try await openssl.run(["ecparam", "-name", "prime256v1", "-genkey", "-out", key], in: scratch.path)
        }
        try await openssl.run(
            [
                "req", "-x509", "-new", "-key", key, "-days", "30", "-subj", "/O=Example/CN=our root", "-out",
                certificate,
            ],
            in: scratch.path)
        let authorities = try await ClusterAuthorities.read(folder: folder)
        #expect(authorities.files.first { $0.path == "ca.crt" }?.bytes == (try readFile(FilePath(certificate))))
        #expect(authorities.files.count == 8)
        let leaves = try NodeCertificates(names, authorities: authorities)
        try write(authorities.files + leaves.files, to: folder)
        try await openssl.run(
            [
                "verify", "-CAfile", certificate, "-purpose", "sslserver", "-verify_hostname",
                "kubernetes.default.svc", folder.appending("apiserver.crt").string,
            ], in: scratch.path)
        // A year was asked for, but the authority ends before.
        let expiries = try CertificateExpiry.list(of: leaves.files)
        let end = try CertificateExpiry(name: "ca", pem: readFile(FilePath(certificate))).notAfter
        #expect(expiries.first { $0.name == "apiserver" }?.notAfter == end)
    }

    private func message(_ files: [CertificateFile], now: Date = .now) throws -> String {
        let failure = try #require(throws: Failure.self) {
            try ClusterAuthorities(files: files, now: now, at: "/pki")
        }
        #expect(failure.kind == .invalidInput)
        return failure.description
    }

    @Test("that cannot be used are refused by name")
    func refused() throws {
        let (authorities, others) = (try ClusterAuthorities(), try ClusterAuthorities())
        let leaves = try NodeCertificates(names, authorities: authorities)
        func files(_ replacements: [String: Data] = [:], without missing: String = "") -> [CertificateFile] {
            authorities.files.filter { $0.path != missing }.map { file in
                CertificateFile(path: file.path, bytes: replacements[file.path] ?? file.bytes, mode: file.mode)
            }
        }
        func bytes(_ path: String, _ list: [CertificateFile]) -> Data {
            list.first { $0.path == path }?.bytes ?? Data()
        }
        #expect(try message(files(without: "ca.key")).hasPrefix("/pki/ca.key: the key of ca.crt is missing"))
        #expect(
            try message(files(without: "etcd/ca.crt")).hasPrefix(
                "/pki/etcd/ca.crt: the certificate of etcd/ca.key is missing"))
        #expect(
            try message(files(["ca.key": bytes("ca.key", others.files)])).hasPrefix(
                "/pki/ca.key: the key does not fit ca.crt"))
        #expect(
            try message(
                files(["ca.crt": bytes("apiserver.crt", leaves.files), "ca.key": bytes("apiserver.key", leaves.files)])
            ).hasPrefix("/pki/ca.crt: the certificate is not that of an authority"))
        #expect(
            try message(files(["front-proxy-ca.crt": Data("hello".utf8)])).hasPrefix(
                "/pki/front-proxy-ca.crt: this is no certificate (PEM)"))
        let secret = Data("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n".utf8)
        let text = try message(files(["ca.key": secret]))
        #expect(text.hasPrefix("/pki/ca.key: this is no private key that can be used") && !text.contains("c2Vj"))
        #expect(try message(files(without: "sa.key")).hasPrefix("/pki/sa.key: the key of sa.pub is missing"))
        #expect(
            try message(files(["sa.pub": bytes("sa.pub", others.files)])).hasPrefix(
                "/pki/sa.pub: the public key is not that of sa.key"))
        let year: TimeInterval = 365 * 24 * 3600
        #expect(
            try message(authorities.files, now: .now.addingTimeInterval(11 * year)).hasPrefix(
                "/pki/ca.crt: the certificate has ended at "))
        #expect(
            try message(authorities.files, now: .now.addingTimeInterval(-year)).hasPrefix(
                "/pki/ca.crt: the certificate is valid from "))
        let registry = try RegistryCertificates(cluster: "demo", names: ["sea.hub"], addresses: [])
        let signOnly = files([
            "ca.crt": Data(registry.authority.utf8), "ca.key": Data((registry.authorityKey ?? "").utf8),
        ])
        #expect(throws: Never.self) { try ClusterAuthorities(files: signOnly, at: "/pki") }
    }

    @Test("with damaged bytes are read or refused, and nothing else happens", arguments: 0..<10 as Range<UInt64>)
    func damaged(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let whole = try ClusterAuthorities().files.filter { $0.path.hasPrefix("ca.") || $0.path == "sa.pub" }
        for _ in 0..<20 {
            let files = whole.map { file -> CertificateFile in
                var bytes = file.bytes
                for _ in 0..<Int.random(in: 0...3, using: &generator) {
                    bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(
                        in: 9...126, using: &generator)
                }
                return CertificateFile(path: file.path, bytes: bytes, mode: file.mode)
            }
            do {
                _ = try ClusterAuthorities(files: files, at: "/pki")
            } catch let failure as Failure {
                #expect(failure.kind == .invalidInput)
            }
        }
    }

    @Test("of a folder without ca.crt are not made up")
    func emptyFolder() async throws {
        let scratch = try Scratch()
        let folder = scratch.path
        await #expect(throws: Failure.self) { try await ClusterAuthorities.read(folder: folder) }
    }
}

@Suite("A master's certificates")
struct NodeCertificatesTests {
    private static let usages: [String: (subject: String, usage: [String], authority: String)] = [
        "apiserver": ("CN=kube-apiserver", ["Server"], "ca"),
        "apiserver-kubelet-client": ("O=system:masters, CN=kube-apiserver-kubelet-client", ["Client"], "ca"),
        "front-proxy-client": ("CN=front-proxy-client", ["Client"], "front-proxy-ca"),
        "etcd/server": ("CN=demo-master-0", ["Server", "Client"], "etcd/ca"),
        "etcd/peer": ("CN=demo-master-0", ["Server", "Client"], "etcd/ca"),
        "etcd/healthcheck-client": ("O=system:masters, CN=kube-etcd-healthcheck-client", ["Client"], "etcd/ca"),
        "apiserver-etcd-client": ("O=system:masters, CN=kube-apiserver-etcd-client", ["Client"], "etcd/ca"),
    ]

    @Test("have kubeadm's names, subjects and usages, and openssl takes each under its authority only")
    func openssl() async throws {
        let scratch = try Scratch()
        let authorities = try ClusterAuthorities()
        let certificates = try NodeCertificates(names, authorities: authorities)
        try write(authorities.files + certificates.files, to: scratch.path)
        let openssl = try ClusterRuntimeTests.openssl()
        #expect(
            Set(certificates.files.map(\.path)) == Set(Self.usages.keys.flatMap { ["\($0).crt", "\($0).key"] }))
        for (path, wanted) in Self.usages {
            let file = scratch.path.appending("\(path).crt").string
            let text = try await openssl.run(["x509", "-in", file, "-noout", "-text"], in: scratch.path)
            let subject = text.split(separator: "\n").first { $0.contains("Subject:") }?.replacing(" = ", with: "=")
            #expect(subject?.hasSuffix("Subject: \(wanted.subject)") == true, "\(text)")
            for usage in ["Server", "Client"] {
                #expect(text.contains("TLS Web \(usage) Authentication") == wanted.usage.contains(usage))
            }
            #expect(text.contains("Digital Signature, Key Encipherment"))
            for authority in ["ca", "etcd/ca", "front-proxy-ca"] {
                let result: Result<String, any Error>
                do {
                    result = .success(
                        try await openssl.run(
                            ["verify", "-CAfile", scratch.path.appending("\(authority).crt").string, file],
                            in: scratch.path))
                } catch {
                    result = .failure(error)
                }
                #expect((authority == wanted.authority) == ((try? result.get()) != nil), "\(path) under \(authority)")
            }
            let key = scratch.path.appending("\(path).key").string
            let ofKey = try await openssl.run(["pkey", "-in", key, "-pubout"], in: scratch.path)
            let ofCertificate = try await openssl.run(["x509", "-in", file, "-noout", "-pubkey"], in: scratch.path)
            #expect(ofKey == ofCertificate)
        }
    }

    @Test("are for all names and addresses that lead to the API server or to etcd, and for no others")
    func alternatives() throws {
        let certificates = try NodeCertificates(names, authorities: ClusterAuthorities())
        func alternatives(_ path: String) throws -> [String] {
            let bytes = try #require(certificates.files.first { $0.path == path }).bytes
            let certificate = try Certificate(pemEncoded: String(decoding: bytes, as: UTF8.self))
            return (try certificate.extensions.subjectAlternativeNames ?? SubjectAlternativeNames([])).map { name in
                switch name {
                case .dnsName(let text): text
                case .ipAddress(let octets): octets.bytes.map { String($0) }.joined(separator: ".")
                default: "?"
                }
            }
        }
        func six(_ head: [Int], _ last: Int) -> String {
            (head + Array(repeating: 0, count: 15 - head.count) + [last]).map { String($0) }.joined(separator: ".")
        }
        #expect(
            try alternatives("apiserver.crt") == [
                "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
                "demo-master-0", "apiserver.cluster.local", "localhost", "127.0.0.1", six([], 1), "10.0.0.2",
                six([0xfd, 0], 2), "api.example.org", "192.0.2.7", "10.96.0.1", six([0xfd, 0, 0, 0x96], 1),
            ])
        let etcd = ["demo-master-0", "localhost", "127.0.0.1", six([], 1), "10.0.0.2", six([0xfd, 0], 2)]
        #expect(try alternatives("etcd/server.crt") == etcd)
        #expect(try alternatives("etcd/peer.crt") == etcd)
        #expect(try alternatives("apiserver-etcd-client.crt").isEmpty)
    }

    @Test("live as long as asked for")
    func life() throws {
        let now = Date(timeIntervalSince1970: 1_800_000_000)
        let authorities = try ClusterAuthorities(years: 3, now: now)
        let certificates = try NodeCertificates(names, authorities: authorities, years: 2, now: now)
        let day: TimeInterval = 24 * 3600
        for expiry in try CertificateExpiry.list(of: authorities.files) {
            #expect(expiry.notAfter == now.addingTimeInterval(3 * 365 * day))
        }
        let expiries = try CertificateExpiry.list(of: certificates.files)
        #expect(expiries.count == 7)
        for expiry in expiries { #expect(expiry.notAfter == now.addingTimeInterval(2 * 365 * day)) }
        #expect(throws: Failure.self) { try CertificateExpiry(name: "x", pem: Data("hello".utf8)) }
    }

    @Test("are refused for what is no address and no network")
    func refused() throws {
        let authorities = try ClusterAuthorities()
        for (addresses, networks) in [
            (["10.0.0"], ["10.96.0.0/12"]), (["10.0.0.2"], ["10.96.0.0"]), (["10.0.0.2"], ["10.96.0.0/33"]),
            (["10.0.0.2"], ["fd00::/129"]), (["10.0.0.2"], ["x/1"]),
        ] {
            #expect(throws: Failure.self) {
                try NodeCertificates(
                    .init(node: "m", addresses: addresses, serviceNetworks: networks), authorities: authorities)
            }
        }
    }

    @Test("and authorities are taken by the real kubeadm, which makes none", .enabled(if: realKubeadm != nil))
    func kubeadm() async throws {
        let kubeadm = try #require(realKubeadm)
        for elliptic in [true, false] {
            let scratch = try Scratch()
            let folder = scratch.path.appending("pki")
            try Folder.make(folder)
            if !elliptic {
                // A user's own authority with an RSA key.
                try await ClusterRuntimeTests.openssl().run(
                    [
                        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=our root",
                        "-keyout", folder.appending("ca.key").string, "-out", folder.appending("ca.crt").string,
                    ], in: scratch.path)
            }
            let authorities =
                elliptic ? try ClusterAuthorities() : try await ClusterAuthorities.read(folder: folder)
            let files = authorities.files + (try NodeCertificates(names, authorities: authorities)).files
            try write(files, to: folder)
            let settings = try kubeadmSettings(
                KubernetesVersion(1, 20, 2), overlays: "kind: ClusterConfiguration\ncertificatesDir: \(folder)\n")
            let configuration = try KubeadmConfiguration(settings)
                .initFile(for: kubeadmNode("demo-master-0"), token: BootstrapToken(), isAlone: false)
            let path = scratch.path.appending("kubeadm.yaml")
            try AtomicFile.write(configuration.bytes, to: path)
            let arguments = ["init", "phase", "certs", "all", "--config", path.string]
            let output = try await kubeadm.run(arguments, in: scratch.path)
            for name in ["ca", "etcd/ca", "front-proxy-ca"] {
                #expect(output.contains("Using existing \(name) certificate authority"), "\(output)")
            }
            for name in Self.usages.keys {
                #expect(output.contains("Using existing \(name) certificate and key on disk"), "\(output)")
            }
            #expect(output.contains("Using the existing \"sa\" key"))
            #expect(!output.contains("Generating"))
            for file in files { #expect(try readFile(folder.appending(file.path)) == file.bytes, "\(file)") }
            // It does look at them: one of another authority is refused.
            let strangers = try NodeCertificates(names, authorities: ClusterAuthorities())
            try write(strangers.files.filter { $0.path.hasPrefix("apiserver.") }, to: folder)
            await #expect(throws: Failure.self) { try await kubeadm.run(arguments, in: scratch.path) }
        }
    }
}

@Suite("The first address of a network")
struct AddressOctetsTests {
    @Test(
        "is the one after the network's own",
        arguments: [
            ("10.96.0.0/12", "10.96.0.1"), ("10.111.3.4/12", "10.96.0.1"), ("192.168.7.130/25", "192.168.7.129"),
            ("fd00:96::/112", "fd00:96::1"), ("fd00:96::ff00/108", "fd00:96::1"), ("0.0.0.0/0", "0.0.0.1"),
        ])
    func first(network: String, address: String) {
        #expect(AddressOctets(firstOf: network) == AddressOctets(address))
        #expect(AddressOctets(address) != nil)
    }
}
