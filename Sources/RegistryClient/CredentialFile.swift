import FoundationEssentials
import Report

/// Who we are at a registry. Its text forms never show the secret.
public enum Credential: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// A name and a password.
    case password(user: String, password: String)
    /// A token that buys access tokens (OAuth 2 refresh token).
    case identityToken(String)

    /// Only the sort of credential and the user.
    public var description: String {
        switch self {
        case .password(let user, _): "password of \(user)"
        case .identityToken: "identity token"
        }
    }

    /// Nothing inside: `dump` and the like must not show secrets either.
    public var customMirror: Swift.Mirror { Swift.Mirror(self, children: [:]) }
}

/// The credentials of Docker's `config.json`, of containers' `auth.json`, or of several such files.
public struct CredentialFile: Hashable, Sendable {
    /// What is known about a registry.
    enum Finding: Hashable, Sendable {
        case credential(Credential)
        /// A credential helper keeps them.
        ///
        /// - Parameters:
        ///   - name: without `docker-credential-`.
        ///   - server: what the helper calls the registry.
        ///   - isListed: whether the file says that it has them, or only that it may.
        case keptByHelper(name: String, server: String, isListed: Bool)
        case nothing
    }

    private struct Helper: Hashable, Sendable {
        var name: String
        var server: String
    }

    /// What one file says.
    private struct Contents: Hashable, Sendable {
        /// `credHelpers`.
        var helpers: [String: Helper] = [:]
        var credentials: [String: Credential] = [:]
        /// The registries of which the file says that the store has them.
        var kept: [String: Helper] = [:]
        /// `credsStore`: the helper that is asked about every other registry.
        var store: String?

        /// - Parameter keys: the names of the place, the longest first.
        func finding(_ keys: [String], host: String) -> Finding? {
            for key in keys {
                guard let helper = helpers[key] else { continue }
                return .keptByHelper(name: helper.name, server: helper.server, isListed: true)
            }
            for key in keys {
                if let credential = credentials[key] { return .credential(credential) }
                guard let helper = kept[key] else { continue }
                return .keptByHelper(name: helper.name, server: helper.server, isListed: true)
            }
            return store.map {
                .keptByHelper(name: $0, server: CredentialFile.server(of: host), isListed: false)
            }
        }
    }

    /// In the order in which they count.
    private var files: [Contents] = []

    /// Makes an empty one.
    public init() {}

    /// Adds or replaces the credential of a registry (`HOST[:PORT]`), or of a part of it (`HOST[:PORT]/PATH`).
    public mutating func set(_ credential: Credential, for key: String) {
        if files.isEmpty { files.append(Contents()) }
        files[0].credentials[Self.canonical(key)] = credential
    }

    /// What is known for an image, best first, as docker and containers' tools look for it: file by file, in each the helper of
    /// `credHelpers`, else the entry for the longest part of the name, else the store.
    ///
    /// - Parameters:
    ///   - host: as in image names: `docker.io`, `registry.example.com:5000`.
    ///   - repository: the path within the registry.
    /// - Returns: what is asked in turn until one has something; nothing comes after a credential.
    func findings(host: String, repository: String) -> [Finding] {
        var keys = [Self.canonical(host) + "/" + repository]
        while let slash = keys[keys.count - 1].lastIndex(of: "/") {
            keys.append(String(keys[keys.count - 1][..<slash]))
        }
        var result: [Finding] = []
        for file in files {
            guard let finding = file.finding(keys, host: host) else { continue }
            result.append(finding)
            if case .credential = finding { break }
        }
        return result
    }

    /// The first of the findings.
    func find(host: String, repository: String) -> Finding {
        findings(host: host, repository: repository).first ?? .nothing
    }

    /// Keys come as hosts, as URLs and, for Docker's own registry, under several names.
    static func canonical(_ key: String) -> String {
        var key = Substring(key)
        for scheme in ["https://", "http://"] where key.hasPrefix(scheme) { key = key.dropFirst(scheme.count) }
        while key.hasSuffix("/") { key = key.dropLast() }
        for version in ["/v1", "/v2"] where key.hasSuffix(version) { key = key.dropLast(version.count) }
        let host = key.prefix { $0 != "/" }
        if ["index.docker.io", "registry-1.docker.io"].contains(host) {
            return "docker.io" + key.dropFirst(host.count)
        }
        return String(key)
    }

    /// What docker's file and its helpers call a registry.
    static func server(of host: String) -> String {
        canonical(host) == "docker.io" ? "https://index.docker.io/v1/" : host
    }

    /// The helper that the file names for a registry, whether or not it has anything.
    func helper(for host: String) -> String? {
        let canonical = Self.canonical(host)
        return files.lazy.compactMap { $0.helpers[canonical]?.name ?? $0.kept[canonical]?.name ?? $0.store }.first
    }

    // MARK: - Reading

    private struct File: Decodable {
        struct Entry: Decodable {
            var auth: String?
            var username: String?
            var password: String?
            var identitytoken: String?
        }
        var auths: [String: Entry]?
        var credHelpers: [String: String]?
        var credsStore: String?
    }

    /// Parses the bytes of a file.
    ///
    /// - Throws: `Failure` of kind `invalidInput`; its text holds nothing of the file's content.
    static func parse(_ bytes: Data, file name: String) throws(Failure) -> CredentialFile {
        let file: File
        do {
            file = try JSONDecoder().decode(File.self, from: bytes)
        } catch {
            throw Failure(
                .invalidInput,
                "the file with the credentials is not the JSON that docker login writes",
                at: name,
                remedy: "repair it, or move it away and log in again"
            )
        }
        var result = Contents()
        for (key, entry) in file.auths ?? [:] {
            let canonical = canonical(key)
            if let token = entry.identitytoken, !token.isEmpty {
                result.credentials[canonical] = .identityToken(token)
            } else if let auth = entry.auth, !auth.isEmpty {
                result.credentials[canonical] = try decode(auth, of: key, file: name)
            } else if let user = entry.username, let password = entry.password, !user.isEmpty {
                result.credentials[canonical] = .password(user: user, password: password)
            } else if let store = file.credsStore, !store.isEmpty {
                // docker login leaves an empty entry behind when a store keeps the secret.
                result.kept[canonical] = Helper(name: store, server: key)
            }
        }
        if let store = file.credsStore, !store.isEmpty { result.store = store }
        for (key, helper) in file.credHelpers ?? [:] {
            result.helpers[canonical(key)] = Helper(name: helper, server: key)
        }
        return CredentialFile(files: [result])
    }

    private init(files: [Contents]) {
        self.files = files
    }

    /// `base64(user:password)`; the password may hold colons, the user may not.
    private static func decode(_ auth: String, of key: String, file: String) throws(Failure) -> Credential {
        let shown = key.prefix(200).filter { $0.isASCII && !$0.isNewline }
        guard let data = Data(base64Encoded: auth) else {
            throw Failure(.invalidInput, "the auth entry of \(shown) is not base64", at: file)
        }
        let text = String(decoding: data, as: UTF8.self)
        guard let colon = text.firstIndex(of: ":"), colon != text.startIndex else {
            throw Failure(.invalidInput, "the auth entry of \(shown) is not base64 of USER:PASSWORD", at: file)
        }
        // Docker pads old entries with NUL.
        let password = text[text.index(after: colon)...].filter { $0 != "\0" }
        return .password(user: String(text[..<colon]), password: String(password))
    }

    /// Adds what counts less than all that is there.
    mutating func add(_ other: CredentialFile) {
        files += other.files
    }
}
