import FoundationEssentials
import LinuxSystem
import Report
import SystemPackage
import TestSupport

/// The registries that clients are tried with.
enum RegistryKind: String, CaseIterable, Sendable {
    /// `sealer registry serve`, http, everybody may push.
    case ours
    /// The same over TLS, with an account.
    case oursWithAccounts
    /// Debian's docker-registry.
    case dockerRegistry
}

/// A folder for one test, with a home of its own for all tools: what is configured on this machine is not theirs.
struct Place: Sendable {
    static let user = "alice"
    static let password = "secret"
    /// bcrypt of the password.
    private static let hash = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

    let folder: FilePath
    let sealer: Program
    /// Holds `ca.crt` of the registry's authority.
    var authorities: FilePath { folder.appending("authorities") }
    var home: FilePath { folder.appending("home") }
    /// Where logins are, for docker too.
    var logins: FilePath { folder.appending("docker/config.json") }

    init(in folder: FilePath, executable: String) throws {
        self.folder = folder
        sealer = Program(path: executable)
        let containers = folder.appending("home/.config/containers")
        for path in [containers, folder.appending("docker"), authorities, folder.appending("temporary")] {
            try Folder.make(path)
        }
        for (name, text) in [
            ("policy.json", #"{"default":[{"type":"insecureAcceptAnything"}]}"#), ("registries.conf", ""),
        ] {
            try AtomicFile.write(Array(text.utf8), to: containers.appending(name))
        }
        try AtomicFile.write(Array("{}".utf8), to: logins, permissions: .ownerReadWrite)
    }

    /// What all tools see.
    var environment: [String: String] {
        [
            "HOME": home.string,
            "REGISTRY_AUTH_FILE": logins.string,
            "CONTAINERS_REGISTRIES_CONF": home.appending(".config/containers/registries.conf").string,
            "TMPDIR": folder.appending("temporary").string,
        ]
    }

    /// Runs sealer with a folder of its own as `SEALER_ROOT`.
    @discardableResult
    func sealer(_ arguments: [String], root: String = "source") async throws -> String {
        try await sealer.run(
            arguments, environment: environment.merging(["SEALER_ROOT": folder.appending(root).string]) { $1 },
            in: folder, limit: .seconds(120))
    }

    /// A program that must be there.
    static func program(_ name: String) throws -> Program {
        guard let program = Program(name) else {
            throw Failure(.unavailable, "\(name) is not installed", remedy: "scripts/install-packages.sh")
        }
        return program
    }

    // MARK: - Registries

    /// Runs a registry while `body` runs.
    func with(_ kind: RegistryKind, _ body: (Registry) async throws -> Void) async throws {
        switch kind {
        case .ours: try await withOurs(["--anonymous-push"], isPlain: true, body)
        case .oursWithAccounts:
            let certificate = try await TestCertificate(in: folder)
            try AtomicFile.write(readFile(certificate.authority), to: authorities.appending("ca.crt"))
            let accounts = folder.appending("htpasswd")
            try AtomicFile.write(Array("\(Self.user):\(Self.hash)\n".utf8), to: accounts)
            let options = [
                "--tls-cert", certificate.certificate.string, "--tls-key", certificate.key.string,
                "--htpasswd", accounts.string, "--pusher", Self.user,
            ]
            try await withOurs(options, isPlain: false) { registry in
                try await logIn(to: registry)
                try await body(registry)
            }
        case .dockerRegistry: try await withDockers(body)
        }
    }

    private func withOurs(_ options: [String], isPlain: Bool, _ body: (Registry) async throws -> Void) async throws {
        let root = folder.appending("registry-\(UInt32.random(in: 0...UInt32.max))")
        try await sealer.whileRunning(
            ["registry", "serve", "--listen", "127.0.0.1:0", "--writable", "--root", root.string] + options,
            environment: environment, in: folder
        ) { log in
            let address = try await wait(for: #/ at https?:\/\/(127\.0\.0\.1:[0-9]+)/#, in: log, of: "our registry")
            try await body(Registry(host: address, isPlain: isPlain))
        }
    }

    private func withDockers(_ body: (Registry) async throws -> Void) async throws {
        let port = try freePort()
        let config = folder.appending("docker-registry.yml")
        let text = """
            version: 0.1
            storage: {filesystem: {rootdirectory: \(folder.appending("docker-registry"))}}
            http: {addr: "127.0.0.1:\(port)"}
            """
        try AtomicFile.write(Array(text.utf8), to: config)
        let program = try Self.program("docker-registry")
        // Not our environment: it takes each variable REGISTRY_… for a setting of its own.
        try await program.whileRunning(["serve", config.string], in: folder) { log in
            _ = try await wait(for: #/listening on (127\.0\.0\.1)/#, in: log, of: "docker-registry")
            try await body(Registry(host: "127.0.0.1:\(port)", isPlain: true))
        }
    }

    private func wait(for pattern: Regex<(Substring, Substring)>, in log: FilePath, of name: String) async throws
        -> String
    {
        let end = ContinuousClock.now + .seconds(60)
        while true {
            let text = String(decoding: try readFile(log), as: UTF8.self)
            if let match = text.firstMatch(of: pattern) { return String(match.1) }
            guard ContinuousClock.now < end else { throw Failure(.timeout, "\(name) did not start: \(text)") }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// As a user does it: the authority into `certs.d`, the password over standard input.
    private func logIn(to registry: Registry) async throws {
        let certificates = home.appending(".config/containers/certs.d").appending(registry.host)
        try Folder.make(certificates)
        try AtomicFile.write(readFile(authorities.appending("ca.crt")), to: certificates.appending("ca.crt"))
        let shell = try Self.program("sh")
        let password = folder.appending("password")
        try AtomicFile.write(Array(Self.password.utf8), to: password, permissions: .ownerReadWrite)
        try await shell.run(
            [
                "-c", #"exec "$1" login --username "$2" --password-stdin "$3" <"$4""#, "sh", sealer.path, Self.user,
                registry.host, password.string,
            ],
            environment: environment, in: folder)
    }
}

/// A registry that runs.
struct Registry: Sendable {
    /// `127.0.0.1:PORT`.
    var host: String
    /// Whether it speaks http and asks for no account.
    var isPlain: Bool

    /// The name of an image in it.
    func name(_ owner: String, _ image: SampleImage) -> String { "\(host)/\(owner)/\(image.name):1" }
}
