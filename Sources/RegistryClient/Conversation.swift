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
    subject: String
) async throws -> Data {
    let data = Mutex(Data())
    try await drain(body, limits: limits, origin: origin, subject: subject) { chunk in
        try data.withLock { data in
            guard data.count + chunk.readableBytes <= limit else {
                throw AttemptError(
                    Failure(.integrity, "cannot get \(subject): the reply is larger than \(limit) bytes", at: origin)
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

extension RegistryClient {
    /// A successful reply and who gave it.
    struct Reply: Sendable {
        var response: HTTPClientResponse
        /// `https://HOST:PORT` of the registry, whoever a redirect led to.
        var origin: String
    }

    /// Asks a registry for something below `/v2/REPOSITORY/`: chooses https or http, logs in, follows redirects.
    ///
    /// - Throws: `AttemptError`, `Failure` or `CancellationError`.
    func get(_ path: String, at endpoint: Endpoint, accept: [String] = [], subject: String) async throws -> Reply {
        var headers: HTTPHeaders = [:]
        if !accept.isEmpty { headers.add(name: "Accept", value: accept.joined(separator: ", ")) }
        let schemes: [String] =
            switch endpoint.security {
            case .verified: ["https"]
            case .plain: ["http"]
            case .insecure: spokenScheme(of: endpoint.host).map { [$0] } ?? ["https", "http"]
            }
        var first: AttemptError?
        for scheme in schemes {
            let url = "\(scheme)://\(endpoint.host)/v2/\(endpoint.repository)/\(path)"
            guard let origin = Origin(url) else {
                throw Failure(.invalidInput, "\"\(printable(endpoint.host, limit: 100))\" is not a host", at: subject)
            }
            do {
                let reply = try await get(url, from: origin, at: endpoint, headers: headers, subject: subject)
                if endpoint.security == .insecure { remember(scheme: scheme, of: endpoint.host) }
                return reply
            } catch let error as AttemptError where error.spokeNoHTTP && scheme != schemes.last {
                first = error
            } catch let error as AttemptError {
                // Plain http failed too, and no better: what https said comes first, it is what was meant.
                if error.spokeNoHTTP, let first { throw first }
                if !error.spokeNoHTTP, endpoint.security == .insecure { remember(scheme: scheme, of: endpoint.host) }
                throw error
            }
        }
        throw first ?? AttemptError(Failure(.software, "no scheme was tried", at: endpoint.host))
    }

    private func get(
        _ url: String,
        from origin: Origin,
        at endpoint: Endpoint,
        headers: HTTPHeaders,
        subject: String
    ) async throws -> Reply {
        var authorization = authenticator.known(for: endpoint)
        var answers = 0
        while true {
            let response = try await follow(
                url,
                from: origin,
                at: endpoint,
                headers: headers,
                authorization: authorization,
                subject: subject
            )
            if response.status.code == 200 { return Reply(response: response, origin: origin.description) }
            let isChallenge = response.status == .unauthorized && response.headers.contains(name: "www-authenticate")
            // Twice: a token from the cache may have run out, the next one has not.
            if isChallenge, answers < 2 {
                answers += 1
                let answer = try await authenticator.answer(
                    response.headers,
                    from: origin,
                    endpoint: endpoint,
                    rejected: authorization,
                    subject: subject
                )
                if let answer {
                    authorization = answer
                    continue
                }
            }
            throw await refusal(response, origin: origin, endpoint: endpoint, subject: subject)
        }
    }

    private func refusal(
        _ response: HTTPClientResponse,
        origin: Origin,
        endpoint: Endpoint,
        subject: String
    ) async -> any Error {
        let limits = configuration.limits
        // The status says what matters: a body that does not come, or is none, only leaves the explanation out.
        let body = try? await collect(
            response.body,
            limit: 64 << 10,
            limits: limits,
            origin: origin.description,
            subject: subject
        )
        if Task.isCancelled { return CancellationError() }
        var error = AttemptError.status(
            response.status,
            headers: response.headers,
            body: body.map(registryMessage) ?? "",
            at: origin.description,
            getting: subject
        )
        if error.failure.kind == .denied { error.failure.remedy = authenticator.remedy(for: endpoint) }
        return error
    }

    /// Sends the request and follows redirects: never from https to http, and never with our credentials to somebody else.
    private func follow(
        _ url: String,
        from origin: Origin,
        at endpoint: Endpoint,
        headers: HTTPHeaders,
        authorization: String?,
        subject: String
    ) async throws -> HTTPClientResponse {
        var url = url
        var current = origin
        for _ in 0...configuration.limits.redirects {
            var request = Transport.Request(url: url, headers: headers)
            request.trust = current.domain == origin.domain ? trust(of: endpoint) : configuration.trust(for: current)
            if current == origin, let authorization { request.headers.add(name: "Authorization", value: authorization) }
            let response = try await transport.send(request, getting: subject)
            guard [301, 302, 303, 307, 308].contains(response.status.code) else {
                guard current == origin || response.status != .unauthorized else {
                    throw Failure(
                        .denied,
                        "cannot get \(subject): \(current), where the registry sent us, wants a login of its own",
                        at: origin.description
                    )
                }
                return response
            }
            let location = response.headers.first(name: "location") ?? ""
            guard let target = URL(string: location, relativeTo: URL(string: url))?.absoluteString,
                let next = Origin(target)
            else {
                throw Failure(
                    .integrity,
                    "cannot get \(subject): redirected to \"\(printable(location, limit: 100))\", which is no address",
                    at: current.description
                )
            }
            guard next.scheme == "https" || current.scheme == "http" else {
                throw Failure(
                    .integrity,
                    "cannot get \(subject): redirected from https to \(next), which is not encrypted, refused",
                    at: current.description
                )
            }
            url = target
            current = next
        }
        throw Failure(
            .integrity,
            "cannot get \(subject): more than \(configuration.limits.redirects) redirects",
            at: origin.description
        )
    }

    private func trust(of endpoint: Endpoint) -> Trust {
        if let authority = endpoint.authority { return .authority(authority) }
        return endpoint.security == .insecure ? .anybody : .system
    }
}
