import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Report
import SystemPackage

/// What the client must know of its surroundings: where names lead, who we are, whom to trust, how long to wait.
public struct RegistryConfiguration: Sendable {
    /// Where the images of some names really are.
    public var registries: [RegistryRule] = []
    /// Who we are.
    public var credentials = CredentialFile()
    /// Who is asked who we are, in this order: programs `docker-credential-NAME`, and `containers-auth.json`, which stands for
    /// `credentials` (`credential-helpers` of containers-registries.conf(5)).
    public var credentialHelpers = ["containers-auth.json"]
    /// Certificates (PEM) by `HOST:PORT`; for such a host they alone are trusted.
    public var authorities: [String: String] = [:]
    /// Addresses of hosts, by name, that are known without asking anybody; their certificates must still say the name.
    public var addresses: [String: String] = [:]
    /// Hosts (`HOST[:PORT]`) where http, and https without verification, are accepted.
    public var insecureHosts: Set<String> = []
    /// The certificates that `certs.d` has for hosts, by `HOST[:PORT]`.
    public var certificates: [String: HostCertificates] = [:]
    /// Which requests go through a proxy.
    public var proxies = ProxyRules()
    /// The environment of credential helpers; nil means that of this process.
    public var helperEnvironment: [String: String]?
    /// A bundle of certificates to trust instead of the system's, from `SSL_CERT_FILE`.
    public var trustFile: FilePath?
    /// The bounds of waits and sizes.
    public var limits = RegistryLimits()

    /// Makes a configuration without credentials and mirrors.
    public init() {}

    /// Reads what the user has configured for docker, podman and skopeo.
    ///
    /// Credentials come from `$REGISTRY_AUTH_FILE`, else from both `$DOCKER_CONFIG/config.json` (`~/.docker/config.json`)
    /// and containers' `auth.json`. Names come from `$CONTAINERS_REGISTRIES_CONF`, else
    /// `~/.config/containers/registries.conf`, else `/etc/containers/registries.conf`, with the `.conf` files of the folder
    /// `registries.conf.d` beside the last two. Files that are not there are fine, unless a variable names them.
    ///
    /// Certificates come from the folders `HOST[:PORT]` below `certs.d` of containers and of docker, proxies from `HTTPS_PROXY`,
    /// `HTTP_PROXY` and `NO_PROXY`.
    ///
    /// - Throws: `InvalidText` for a bad registries.conf, `Failure` for a bad or unreadable credentials file.
    public static func load(environment: [String: String], home: FilePath?) async throws -> RegistryConfiguration {
        try await BlockingPool.shared.run {
            var configuration = RegistryConfiguration()
            let registries = try RegistriesFile.find(environment: environment, home: home)
            configuration.registries = registries.rules
            if !registries.credentialHelpers.isEmpty { configuration.credentialHelpers = registries.credentialHelpers }
            configuration.credentials = try readCredentials(environment: environment, home: home)
            configuration.certificates = try HostCertificates.find(in: Self.certificateFolders(home: home))
            configuration.helperEnvironment = environment
            configuration.proxies = ProxyRules(environment: environment)
            if let file = environment["SSL_CERT_FILE"], !file.isEmpty { configuration.trustFile = FilePath(file) }
            return configuration
        }
    }

    /// Where certificates of registries are looked for, the first that has a host counts for it.
    static func certificateFolders(home: FilePath?) -> [FilePath] {
        [home?.appending(".config/containers/certs.d"), "/etc/containers/certs.d", "/etc/docker/certs.d"]
            .compactMap(\.self)
    }

    private static func readCredentials(environment: [String: String], home: FilePath?) throws -> CredentialFile {
        func read(_ path: FilePath) throws -> CredentialFile {
            try CredentialFile.parse(readFile(path, limit: 1 << 20), file: path.string)
        }
        if let named = environment["REGISTRY_AUTH_FILE"], !named.isEmpty { return try read(FilePath(named)) }
        var result = CredentialFile()
        let docker =
            environment["DOCKER_CONFIG"].flatMap { $0.isEmpty ? nil : FilePath($0) } ?? home?.appending(".docker")
        let containers =
            environment["XDG_RUNTIME_DIR"].flatMap { $0.isEmpty ? nil : FilePath($0).appending("containers") }
            ?? FilePath("/run/containers/\(getuid())")
        let candidates = [
            containers.appending("auth.json"), home?.appending(".config/containers/auth.json"),
            docker?.appending("config.json"),
        ]
        for case let path? in candidates {
            guard let path = existing(path) else { continue }
            result.add(try read(path))
        }
        return result
    }

    private static func existing(_ path: FilePath) -> FilePath? {
        access(path.string, F_OK) == 0 ? path : nil
    }
}
