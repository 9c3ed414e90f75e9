import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Report
import SystemPackage

/// Where logins are kept: docker's `config.json` or containers' `auth.json`, and the credential helpers that it names; before or
/// instead of them the helpers of containers' registries.conf.
///
/// Only the entry concerned is changed; everything else in the file stays as it was written.
public struct CredentialStore: Sendable {
    /// Who keeps a secret now.
    public enum Keeper: Hashable, Sendable {
        /// The file, in base64, which hides nothing.
        case file(FilePath)
        /// The program `docker-credential-NAME`.
        case helper(String)
    }

    /// The file.
    public let file: FilePath
    private let helpers: [String]
    private let environment: [String: String]?
    private let limit: Duration

    /// Names the file; it need not be there.
    ///
    /// - Parameters:
    ///   - helpers: as in `RegistryConfiguration.credentialHelpers`.
    ///   - environment: of credential helpers; nil means that of this process.
    ///   - limit: how long a helper may take.
    public init(
        file: FilePath, helpers: [String] = ["containers-auth.json"], environment: [String: String]? = nil,
        limit: Duration = RegistryLimits().helper
    ) {
        self.file = file
        self.helpers = helpers.isEmpty ? [RegistriesFile.authFiles] : helpers
        self.environment = environment
        self.limit = limit
    }

    /// Where logins are written to: `$REGISTRY_AUTH_FILE`, else `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`, and
    /// the `credential-helpers` of registries.conf.
    ///
    /// - Throws: `Failure` of kind `usage` when there is no home folder, `InvalidText` for a bad registries.conf.
    public static func usual(environment: [String: String], home: FilePath?) async throws -> CredentialStore {
        func named(_ variable: String) -> FilePath? {
            environment[variable].flatMap { $0.isEmpty ? nil : FilePath($0) }
        }
        let folder = named("DOCKER_CONFIG") ?? home?.appending(".docker")
        guard let file = named("REGISTRY_AUTH_FILE") ?? folder?.appending("config.json") else {
            throw Failure(
                .usage, "there is no home folder to keep the login in",
                remedy: "set HOME, DOCKER_CONFIG or REGISTRY_AUTH_FILE")
        }
        let helpers = try await BlockingPool.shared.run {
            try RegistriesFile.find(environment: environment, home: home).credentialHelpers
        }
        return CredentialStore(file: file, helpers: helpers, environment: environment)
    }

    /// What image names call the registry that somebody means by `https://index.docker.io/v1/`, `docker.io` or `HOST:PORT`.
    ///
    /// - Throws: `Failure` of kind `usage`.
    public static func host(_ text: String) throws -> String {
        let canonical = CredentialFile.canonical(text)
        do {
            return try Reference(domain: canonical, path: "x", tag: nil).domain
        } catch {
            throw Failure(.usage, "\"\(printable(text, limit: 100))\" is not a registry: expected HOST[:PORT]")
        }
    }

    /// Keeps a login with the first of the helpers that takes it; where that is the file, in the helper that the file names for
    /// the registry, else in the file.
    ///
    /// - Parameter host: as `host` gives it.
    /// - Throws: `Failure`; no text of it holds the secret.
    @discardableResult
    public func save(_ credential: Credential, for host: String) async throws -> Keeper {
        if case .password(let user, _) = credential, user.isEmpty || user.contains(":") {
            throw Failure(.usage, "a user's name has at least one character and no colon")
        }
        var failures: [any Error] = []
        for source in helpers {
            do {
                if source == RegistriesFile.authFiles { return try await saveInFile(credential, for: host) }
                try await helper(named: source).store(credential, for: host)
                return .helper(source)
            } catch let failure as Failure {
                failures.append(failure)
            }
        }
        throw Failure.several("nobody keeps the login of \(host)", failures)
    }

    private func helper(named name: String) -> CredentialHelper {
        CredentialHelper(name: name, environment: environment, limit: limit)
    }

    private func saveInFile(_ credential: Credential, for host: String) async throws -> Keeper {
        let server = CredentialFile.server(of: host)
        if let name = try await helper(for: host) {
            try await helper(named: name).store(credential, for: server)
            // An empty entry says that the store has it; what stood there in the clear goes.
            try await change { auths in
                auths.remove { CredentialFile.canonical($0) == CredentialFile.canonical(host) }
                auths[server] = Array("{}".utf8)
            }
            return .helper(name)
        }
        let entry =
            switch credential {
            case .password(let user, let password): ["auth": Data("\(user):\(password)".utf8).base64EncodedString()]
            case .identityToken(let token): ["identitytoken": token]
            }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let text = Array(try encoder.encode(entry))
        try await change { auths in
            auths.remove { CredentialFile.canonical($0) == CredentialFile.canonical(host) }
            auths[server] = text
        }
        return .file(file)
    }

    /// Forgets a login, with all helpers, in the file and in the helper that it names for the registry.
    ///
    /// - Returns: whether there was one to forget; of a helper that is not known, so it counts as one.
    @discardableResult
    public func remove(_ host: String) async throws -> Bool {
        var wasThere = false
        var failures: [any Error] = []
        for source in helpers {
            do {
                if source == RegistriesFile.authFiles {
                    if try await removeFromFile(host) { wasThere = true }
                } else {
                    try await helper(named: source).erase(host)
                    wasThere = true
                }
            } catch let failure as Failure {
                failures.append(failure)
            }
        }
        guard failures.isEmpty else {
            throw Failure.several("the login of \(host) is not forgotten everywhere", failures)
        }
        return wasThere
    }

    private func removeFromFile(_ host: String) async throws -> Bool {
        let helper = try await helper(for: host)
        if let helper { try await self.helper(named: helper).erase(CredentialFile.server(of: host)) }
        let hadEntry = try await change { auths in
            let before = auths.members.count
            auths.remove { CredentialFile.canonical($0) == CredentialFile.canonical(host) }
            return auths.members.count < before
        }
        return hadEntry || helper != nil
    }

    private func helper(for host: String) async throws -> String? {
        let file = file
        return try await BlockingPool.shared.run {
            guard access(file.string, F_OK) == 0 else { return nil }
            return try CredentialFile.parse(readFile(file, limit: 1 << 20), file: file.string).helper(for: host)
        }
    }

    /// Changes `auths` under a lock on the folder, so that two logins at once both stay.
    @discardableResult
    private func change<Result: Sendable>(_ body: @escaping @Sendable (inout JSONMembers) throws -> Result) async throws
        -> Result
    {
        let file = file
        return try await BlockingPool.shared.run {
            // The file may be a link to where somebody keeps it.
            let path = Self.resolved(file)
            let folder = path.removingLastComponent()
            try Folder.make(folder.isEmpty ? "." : folder, permissions: .ownerReadWriteExecute)
            let lock = try FolderLock(folder.isEmpty ? "." : folder)
            defer { lock.release() }
            var root = JSONMembers()
            if access(path.string, F_OK) == 0 {
                let bytes = try readFile(path, limit: 1 << 20)
                guard let members = JSONMembers(bytes) else { throw Self.unreadable(path) }
                root = members
            }
            var auths = JSONMembers()
            if let value = root["auths"], value != Array("null".utf8) {
                guard let members = JSONMembers(value) else { throw Self.unreadable(path) }
                auths = members
            }
            let before = auths
            let result = try body(&auths)
            if auths != before {
                root["auths"] = try auths.text(depth: 1)
                try AtomicFile.write(try root.text() + Array("\n".utf8), to: path, permissions: .ownerReadWrite)
            }
            return result
        }
    }

    private static func unreadable(_ path: FilePath) -> Failure {
        Failure(
            .invalidInput,
            "the file with the credentials is not the JSON that docker login writes",
            at: path.string,
            remedy: "repair it, or move it away and log in again"
        )
    }

    private static func resolved(_ path: FilePath) -> FilePath {
        guard let real = realpath(path.string, nil) else { return path }
        defer { free(real) }
        return FilePath(platformString: real)
    }
}

/// A lock on a folder itself, so that no lock file stays among a user's own files. All calls block.
private struct FolderLock {
    private let descriptor: Int32

    init(_ folder: FilePath) throws {
        descriptor = open(folder.string, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw Failure(.system, "cannot open the folder", at: folder.string, causes: [Errno(rawValue: errno)])
        }
        let end = ContinuousClock.now + .seconds(10)
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            guard ContinuousClock.now < end else {
                close(descriptor)
                throw Failure(.conflict, "another program holds the folder with the logins", at: folder.string)
            }
            usleep(20_000)
        }
    }

    func release() { close(descriptor) }
}
