import AsyncHTTPClient
import FoundationEssentials
import NIOCore
import NIOHTTP1
import OCI
import Report
import Synchronization

/// Reads a small body whole.
///
/// - Throws: `AttemptError` of kind `integrity` when it is larger than `limit`.
func collect(
    _ body: HTTPClientResponse.Body,
    limit: Int,
    limits: RegistryLimits,
    origin: String,
    errand: Errand
) async throws -> Data {
    let data = Mutex(Data())
    try await drain(body, limits: limits, origin: origin, errand: errand) { chunk in
        try data.withLock { data in
            guard data.count + chunk.readableBytes <= limit else {
                throw AttemptError(
                    Failure(.integrity, "cannot \(errand): the reply is larger than \(limit) bytes", at: origin)
                )
            }
            data.append(contentsOf: chunk.readableBytesView)
        }
    }
    return data.withLock { $0 }
}

/// What a registry says about an error, for people: `MANIFEST_UNKNOWN: manifest unknown`.
func registryMessage(_ body: Data) -> String {
    struct Reply: Decodable {
        struct Item: Decodable {
            var code: String?
            var message: String?
        }
        var errors: [Item]?
        var details: String?
    }
    guard let reply = try? JSONDecoder().decode(Reply.self, from: body) else { return "" }
    let items = (reply.errors ?? []).prefix(3).map { [$0.code, $0.message].compactMap(\.self).joined(separator: ": ") }
    let text = items.isEmpty ? reply.details ?? "" : items.joined(separator: "; ")
    return printable(text, limit: 200)
}

/// A request to a registry.
struct Ask: Sendable {
    /// Where it goes.
    enum Target: Sendable {
        /// Something below `/v2/REPOSITORY/`, with its query.
        case path(String)
        /// `/v2/` itself.
        case base
        /// An address that the registry named; it may be somebody else's.
        case address(String, registry: Origin)
    }

    var method = HTTPMethod.GET
    var target: Target
    var headers: HTTPHeaders = [:]
    var body: RequestBody?
    /// The statuses that are answers and no errors.
    var accepted: Set<UInt> = [200]
    var errand: Errand

    /// Asks for something below `/v2/REPOSITORY/`.
    init(_ method: HTTPMethod = .GET, path: String, accept: [String] = [], accepted: Set<UInt> = [200], errand: Errand)
    {
        self.init(method, .path(path), accepted: accepted, errand: errand)
        if !accept.isEmpty { headers.add(name: "Accept", value: accept.joined(separator: ", ")) }
    }

    /// Asks for anything.
    init(_ method: HTTPMethod, _ target: Target, accepted: Set<UInt>, errand: Errand) {
        self.method = method
        self.target = target
        self.accepted = accepted
        self.errand = errand
    }
}

extension RegistryClient {
    /// A successful reply and who gave it.
    struct Reply: Sendable {
        var response: HTTPClientResponse
        /// The registry, whoever a redirect led to.
        var origin: Origin
        /// The address that answered in the end.
        var url: String

        var status: UInt { response.status.code }
        var headers: HTTPHeaders { response.headers }
    }

    /// Asks a registry: chooses https or http, logs in, follows redirects.
    ///
    /// - Throws: `AttemptError`, `Failure` or `CancellationError`.
    func send(_ ask: Ask, to endpoint: Endpoint) async throws -> Reply {
        let path: String
        switch ask.target {
        case .address(let url, let registry): return try await send(ask, url, from: registry, at: endpoint)
        case .base: path = ""
        case .path(let rest): path = "\(endpoint.repository)/\(rest)"
        }
        let schemes: [String] =
            switch endpoint.security {
            case .verified: ["https"]
            case .plain: ["http"]
            case .insecure: spokenScheme(of: endpoint.host).map { [$0] } ?? ["https", "http"]
            }
        var first: AttemptError?
        for scheme in schemes {
            let url = "\(scheme)://\(endpoint.host)/v2/\(path)"
            guard let origin = Origin(url) else {
                throw Failure(
                    .invalidInput, "\"\(printable(endpoint.host, limit: 100))\" is not a host", at: ask.errand.subject)
            }
            do {
                let reply = try await send(ask, url, from: origin, at: endpoint)
                if endpoint.security == .insecure { remember(scheme: scheme, of: endpoint.host) }
                return reply
            } catch let error as AttemptError where error.spokeNoHTTP && scheme != schemes.last {
                first = error
            } catch let error as AttemptError {
                // Plain http failed too, and no better: what https said comes first, it is what was meant. Whether another
                // attempt makes sense is what http says: a server that is busy for a moment has no TLS either.
                if error.spokeNoHTTP, var both = first {
                    both.retry = error.retry
                    both.failure.causes.append(error.failure)
                    both.failure.remedy = error.failure.remedy
                    throw both
                }
                if !error.spokeNoHTTP, endpoint.security == .insecure { remember(scheme: scheme, of: endpoint.host) }
                throw error
            }
        }
        throw first ?? AttemptError(Failure(.software, "no scheme was tried", at: endpoint.host))
    }

    private func send(_ ask: Ask, _ url: String, from origin: Origin, at endpoint: Endpoint) async throws -> Reply {
        var authorization = authenticator.known(for: endpoint)
        var answers = 0
        while true {
            let (response, last) = try await follow(ask, url, from: origin, at: endpoint, authorization: authorization)
            if ask.accepted.contains(response.status.code) {
                return Reply(response: response, origin: origin, url: last)
            }
            let isChallenge = response.status == .unauthorized && response.headers.contains(name: "www-authenticate")
            // Twice: a token from the cache may have run out, the next one has not.
            if isChallenge, answers < 2 {
                answers += 1
                let answer = try await authenticator.answer(
                    response.headers,
                    from: origin,
                    endpoint: endpoint,
                    rejected: authorization,
                    errand: ask.errand
                )
                if let answer {
                    authorization = answer
                    continue
                }
            }
            throw await refusal(response, origin: origin, endpoint: endpoint, errand: ask.errand)
        }
    }

    private func refusal(
        _ response: HTTPClientResponse,
        origin: Origin,
        endpoint: Endpoint,
        errand: Errand
    ) async -> any Error {
        let limits = configuration.limits
        // The status says what matters: a body that does not come, or is none, only leaves the explanation out.
        let body = try? await collect(
            response.body,
            limit: 64 << 10,
            limits: limits,
            origin: origin.description,
            errand: errand
        )
        if Task.isCancelled { return CancellationError() }
        var error = AttemptError.status(
            response.status,
            headers: response.headers,
            body: body.map(registryMessage) ?? "",
            at: transport.place(of: origin),
            for: errand
        )
        if error.failure.kind == .denied { error.failure.remedy = authenticator.remedy(for: endpoint) }
        return error
    }

    /// Sends the request and follows redirects: never from https to http, and never with our credentials to somebody else.
    private func follow(
        _ ask: Ask,
        _ url: String,
        from origin: Origin,
        at endpoint: Endpoint,
        authorization: String?
    ) async throws -> (HTTPClientResponse, String) {
        let errand = ask.errand
        var url = url
        guard var current = Origin(url) else {
            throw Failure(
                .integrity, "cannot \(errand): \"\(printable(url, limit: 100))\" is no address", at: origin.description)
        }
        for _ in 0...configuration.limits.redirects {
            var request = Transport.Request(method: ask.method, url: url, headers: ask.headers, body: ask.body)
            request.trust = current.domain == origin.domain ? trust(of: endpoint) : configuration.trust(for: current)
            if current == origin, let authorization { request.headers.add(name: "Authorization", value: authorization) }
            let response = try await transport.send(request, for: errand)
            guard [301, 302, 303, 307, 308].contains(response.status.code) else {
                guard current == origin || response.status != .unauthorized else {
                    throw Failure(
                        .denied,
                        "cannot \(errand): \(current), where the registry sent us, wants a login of its own",
                        at: origin.description
                    )
                }
                return (response, url)
            }
            // The other redirects turn a request that brings something into one that fetches something.
            guard ask.method == .GET || ask.method == .HEAD || [307, 308].contains(response.status.code) else {
                throw Failure(
                    .integrity,
                    "cannot \(errand): the registry redirects what we send with the status \(response.status.code)",
                    at: current.description
                )
            }
            let location = response.headers.first(name: "location") ?? ""
            (url, current) = try next(location, after: url, errand: errand)
        }
        throw Failure(
            .integrity,
            "cannot \(errand): more than \(configuration.limits.redirects) redirects",
            at: origin.description
        )
    }

    /// The address that a `Location` means.
    ///
    /// - Throws: `Failure` of kind `integrity` when it is none, or leads from https to http.
    func next(_ location: String, after url: String, errand: Errand) throws -> (url: String, origin: Origin) {
        let current = Origin(url)?.description ?? url
        guard let target = URL(string: location, relativeTo: URL(string: url))?.absoluteString,
            let next = Origin(target)
        else {
            throw Failure(
                .integrity,
                "cannot \(errand): redirected to \"\(printable(location, limit: 100))\", which is no address",
                at: current
            )
        }
        guard next.scheme == "https" || current.hasPrefix("http:") else {
            throw Failure(
                .integrity,
                "cannot \(errand): redirected from https to \(next), which is not encrypted, refused",
                at: current
            )
        }
        return (target, next)
    }

    private func trust(of endpoint: Endpoint) -> Trust {
        if let authority = endpoint.authority { return .authority(authority) }
        return endpoint.security == .insecure ? .anybody : .system
    }
}
