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

/// The credentials of Docker's `config.json` or of containers' `auth.json`.
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

    private var credentials: [String: Credential] = [:]
    private var helpers: [String: Helper] = [:]
    /// The helper that is asked about every other registry.
    private var store: String?

    private struct Helper: Hashable, Sendable {
        var name: String
        var server: String
    }

    /// Makes an empty one.
    public init() {}

    /// Adds or replaces the credential of a registry (`HOST[:PORT]`), or of a part of it (`HOST[:PORT]/PATH`).
    public mutating func set(_ credential: Credential, for key: String) {
        credentials[Self.canonical(key)] = credential
    }

    /// What is known for an image; the entry for the longest part of its name counts.
    ///
    /// - Parameters:
    ///   - host: as in image names: `docker.io`, `registry.example.com:5000`.
    ///   - repository: the path within the registry.
    func find(host: String, repository: String) -> Finding {
        var key = Self.canonical(host) + "/" + repository
        while true {
            if let credential = credentials[key] { return .credential(credential) }
            if let helper = helpers[key] {
                return .keptByHelper(name: helper.name, server: helper.server, isListed: true)
            }
            guard let slash = key.lastIndex(of: "/") else {
                guard let store else { return .nothing }
                return .keptByHelper(name: store, server: Self.server(of: host), isListed: false)
            }
            key = String(key[..<slash])
        }
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
        return helpers[canonical]?.name ?? store
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
        var result = CredentialFile()
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
                result.helpers[canonical] = Helper(name: store, server: key)
            }
        }
        if let store = file.credsStore, !store.isEmpty { result.store = store }
        for (key, helper) in file.credHelpers ?? [:] where result.credentials[canonical(key)] == nil {
            result.helpers[canonical(key)] = Helper(name: helper, server: key)
        }
        return result
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

    /// Takes what `other` knows and this one does not.
    mutating func add(_ other: CredentialFile) {
        credentials.merge(other.credentials) { own, _ in own }
        helpers.merge(other.helpers) { own, _ in own }
        store = store ?? other.store
    }
}
