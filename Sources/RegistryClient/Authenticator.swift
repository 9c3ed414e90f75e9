import AsyncHTTPClient
import FoundationEssentials
import NIOCore
import NIOHTTP1
import OCI
import Report
import Synchronization

/// Answers the registries' questions who we are, and remembers what it was told.
final class Authenticator: Sendable {
    /// What a token is good for.
    private struct TokenKey: Hashable {
        var host: String
        var scope: String
    }

    private struct Token {
        var header: String
        var expires: ContinuousClock.Instant
    }

    private struct State {
        var tokens: [TokenKey: Token] = [:]
        var wanted: Set<TokenKey> = []
        var basic: [String: String] = [:]
    }

    private let configuration: RegistryConfiguration
    private let transport: Transport
    private let state = Mutex(State())
    private let fetching = SharedWork<TokenKey, String>()
    private let finder: CredentialFinder

    init(configuration: RegistryConfiguration, transport: Transport, progress: any ProgressSink) {
        self.configuration = configuration
        self.transport = transport
        finder = CredentialFinder(configuration: configuration, progress: progress)
    }

    /// The `Authorization` that the registry accepted before, if there is one that still holds.
    func known(for endpoint: Endpoint) -> String? {
        let key = Self.tokenKey(endpoint)
        return state.withLock { state in
            if let token = state.tokens[key] {
                if token.expires > .now { return token.header }
                state.tokens[key] = nil
            }
            return state.basic["\(endpoint.host)/\(endpoint.repository)"]
        }
    }

    /// Whether a place wanted a token before and there is none that still holds.
    func lacksToken(for endpoint: Endpoint) -> Bool {
        let key = Self.tokenKey(endpoint)
        return state.withLock { state in
            guard state.wanted.contains(key) else { return false }
            return state.tokens[key].map { $0.expires <= .now } ?? true
        }
    }

    /// Finds the `Authorization` that answers a 401.
    ///
    /// - Parameters:
    ///   - headers: of the 401.
    ///   - origin: who sent it.
    ///   - rejected: what was sent with the request, if anything: it is not offered again.
    /// - Returns: nil when there is nothing (else) to offer.
    /// - Throws: `Failure` of kind `denied` or `integrity`, or `AttemptError`.
    func answer(
        _ headers: HTTPHeaders,
        from origin: Origin,
        endpoint: Endpoint,
        rejected: String?,
        errand: Errand
    ) async throws -> String? {
        let challenges = headers["www-authenticate"].prefix(Challenge.countLimit).flatMap(Challenge.parse)
        let credential = try await finder.credential(for: endpoint, errand: errand)
        if let bearer = challenges.first(where: { $0.scheme == "bearer" && $0.parameters["realm"] != nil }) {
            let key = Self.tokenKey(endpoint)
            state.withLock { state in
                state.wanted.insert(key)
                if let rejected, state.tokens[key]?.header == rejected { state.tokens[key] = nil }
            }
            if let header = known(for: endpoint), header != rejected { return header }
            do {
                let (header, _) = try await fetching.value(for: key) {
                    try await self.fetchToken(
                        bearer, from: origin, endpoint: endpoint, credential: credential, errand: errand)
                }
                return header == rejected ? nil : header
            } catch let error as SharedWorkError {
                throw error.underlying
            }
        }
        if challenges.contains(where: { $0.scheme == "basic" }) {
            guard case .password(let user, let password) = credential else { return nil }
            let header = Self.basic(user, password)
            guard header != rejected else { return nil }
            state.withLock { $0.basic["\(endpoint.host)/\(endpoint.repository)"] = header }
            return header
        }
        let offered = challenges.map(\.scheme).joined(separator: ", ")
        throw Failure(
            .denied,
            "cannot \(errand): the registry wants a login in a way that is not supported"
                + " (\(offered.isEmpty ? "it names none" : printable(offered, limit: 100)))",
            at: origin.description
        )
    }

    /// What a denial should say beyond the registry's words.
    func remedy(for endpoint: Endpoint) -> String {
        let right =
            switch endpoint.access {
            case .pull, .nothing: "pull"
            case .push, .mount: "push"
            }
        let readsFiles = configuration.credentialHelpers.contains(RegistriesFile.authFiles)
        let finding =
            readsFiles ? configuration.credentials.find(host: endpoint.name, repository: endpoint.repository) : .nothing
        return switch finding {
        case .keptByHelper(let helper, _, true):
            "check that the name is right and that the login of \(endpoint.name), which"
                + " docker-credential-\(printable(helper, limit: 60)) keeps, may \(right) it"
        case .credential:
            "check that the name is right and that the login of \(endpoint.name) in docker's config.json may \(right) it"
        case .nothing, .keptByHelper:
            "check that the name is right; if the registry wants a login: sealer login \(endpoint.name)"
        }
    }

    private static func tokenKey(_ endpoint: Endpoint) -> TokenKey {
        TokenKey(host: endpoint.host, scope: endpoint.scopes.joined(separator: " "))
    }

    private static func basic(_ user: String, _ password: String) -> String {
        "Basic " + Data("\(user):\(password)".utf8).base64EncodedString()
    }

    // MARK: - Tokens

    private struct TokenReply: Decodable {
        var token: String?
        var accessToken: String?
        var expiresIn: Double?

        enum CodingKeys: String, CodingKey {
            case token
            case accessToken = "access_token"
            case expiresIn = "expires_in"
        }
    }

    private func fetchToken(
        _ challenge: Challenge,
        from origin: Origin,
        endpoint: Endpoint,
        credential: Credential?,
        errand: Errand
    ) async throws -> String {
        let realmText = challenge.parameters["realm"] ?? ""
        guard let realm = Origin(realmText) else {
            throw Failure(
                .integrity,
                "cannot \(errand): the registry sends us to log in at \"\(printable(realmText, limit: 100))\","
                    + " which is no http or https address",
                at: origin.description
            )
        }
        var request = Transport.Request(url: realmText, trust: trust(for: realm, origin: origin, endpoint: endpoint))
        // For a push both rights are asked for at once, whatever the first request needed.
        var scopes = endpoint.access == .pull ? [] : endpoint.scopes
        let asked = challenge.parameters["scope"] ?? endpoint.scopes.first
        if let asked, !scopes.contains(where: { $0 == asked || $0.hasPrefix("\(asked),") }) { scopes.append(asked) }
        let service = challenge.parameters["service"]
        let isTraded = if case .identityToken = credential { true } else { false }
        // Several scopes: a parameter each, or in a form one with blanks between (OAuth 2).
        var form = (isTraded ? [scopes.joined(separator: " ")] : scopes).filter { !$0.isEmpty }.map { ("scope", $0) }
        if let service { form.append(("service", service)) }
        if let credential {
            // A secret goes in the clear only where the registry itself is spoken to in the clear.
            guard realm.scheme == "https" || (origin.scheme == "http" && realm.host == origin.host) else {
                throw Failure(
                    .denied,
                    "cannot \(errand): the registry wants the login sent without encryption to \(realm), refused",
                    at: origin.description,
                    remedy: "ask whoever runs the registry to name an https address for its logins"
                )
            }
            switch credential {
            case .password(let user, let password):
                request.headers.add(name: "Authorization", value: Self.basic(user, password))
            case .identityToken(let token):
                form += [("grant_type", "refresh_token"), ("client_id", "sealer"), ("refresh_token", token)]
                request.method = .POST
            }
        }
        let encoded = form.map { "\(percentEncoded($0.0))=\(percentEncoded($0.1))" }.joined(separator: "&")
        if request.method == .POST {
            request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
            request.body = .bytes(ByteBuffer(string: encoded))
        } else {
            if !encoded.isEmpty { request.url += (realmText.contains("?") ? "&" : "?") + encoded }
        }
        return try await requestToken(request, realm: realm, endpoint: endpoint, errand: errand)
    }

    private func requestToken(
        _ request: Transport.Request,
        realm: Origin,
        endpoint: Endpoint,
        errand: Errand
    ) async throws -> String {
        let errand = Errand.get("a token for \(errand.subject)")
        let response = try await transport.send(request, for: errand)
        let body = try await collect(
            response.body,
            limit: 256 << 10,
            limits: configuration.limits,
            origin: realm.description,
            errand: errand
        )
        guard response.status == .ok else {
            var error = AttemptError.status(
                response.status,
                headers: response.headers,
                body: registryMessage(body),
                at: realm.description,
                for: errand
            )
            if error.failure.kind == .denied { error.failure.remedy = remedy(for: endpoint) }
            throw error
        }
        let reply = try? JSONDecoder().decode(TokenReply.self, from: body)
        let token = [reply?.token, reply?.accessToken].compactMap(\.self).first { !$0.isEmpty }
        guard let token, token.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw Failure(.integrity, "cannot \(errand): the reply holds no token", at: realm.description)
        }
        let header = "Bearer \(token)"
        // A tenth earlier than it says: the request still has to get there.
        let seconds = min(max(reply?.expiresIn ?? 60, 1), 86400) * 0.9
        state.withLock {
            $0.tokens[Self.tokenKey(endpoint)] = Token(header: header, expires: .now + .seconds(seconds))
        }
        return header
    }

    private func trust(for realm: Origin, origin: Origin, endpoint: Endpoint) -> Trust {
        if realm.host == origin.host {
            if let authority = endpoint.authority { return .authority(authority) }
            if endpoint.security == .insecure { return .anybody }
        }
        return configuration.trust(for: realm)
    }
}

extension RegistryConfiguration {
    /// Whom to believe at a host that is not the registry itself: a token service, or where a redirect leads.
    func trust(for origin: Origin) -> Trust {
        if let authority = authorities[origin.domain] { return .authority(authority) }
        return accepts(insecure: origin.domain) ? .anybody : .system
    }
}
