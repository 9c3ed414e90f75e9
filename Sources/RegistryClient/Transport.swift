import AsyncHTTPClient
import Glibc
import NIOCore
import NIOHTTP1
import NIOSSL
import Report
import Synchronization
import SystemPackage

/// Whom to believe that a host is the one it says.
enum Trust: Hashable, Sendable {
    /// Those the system trusts.
    case system
    /// These certificates (PEM) only.
    case authority(String)
    /// Anybody.
    case anybody
}

/// What a request carries.
enum RequestBody: Sendable {
    /// Bytes in memory.
    case bytes(ByteBuffer)
    /// A part of a file, read while it is sent.
    case file(FileSlice)
}

/// One HTTP exchange at a time, with its limits: no redirects, no retries, no credentials of its own.
final class Transport: Sendable {
    /// A request.
    struct Request {
        var method: HTTPMethod = .GET
        var url: String
        var headers: HTTPHeaders = [:]
        var body: RequestBody?
        var trust: Trust = .system
    }

    /// What decides how a host is believed and what it is shown.
    private struct Peer: Hashable {
        var trust: Trust
        /// Only for hosts that have certificates of their own.
        var domain: String?
    }

    private let clients: HTTPClients
    private let proxies: ProxyRules
    private let limits: RegistryLimits
    private let trustFile: FilePath?
    private let certificates: [String: HostCertificates]
    private let tls = Mutex<[Peer: TLSConfiguration]>([:])

    init(
        limits: RegistryLimits, trustFile: FilePath?, certificates: [String: HostCertificates], proxies: ProxyRules,
        addresses: [String: String] = [:]
    ) {
        self.limits = limits
        self.proxies = proxies
        self.trustFile = trustFile
        self.certificates = certificates
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.dnsOverride = addresses
        configuration.timeout = .init(connect: .init(limits.connect))
        // One connection a download carries more than streams that share the windows of one.
        configuration.httpVersion = .http1Only
        configuration.connectionPool.retryConnectionEstablishment = false
        // How much goes on at once is for the callers to say; waiting in the pool would count as waiting for the registry.
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 128
        configuration.connectionPool.idleTimeout = .seconds(15)
        clients = HTTPClients(configuration)
    }

    /// Closes all connections.
    func close() async {
        await clients.close()
    }

    /// The origin as messages name it, with the proxy that is asked in its stead.
    func place(of origin: Origin) -> String {
        // A proxy that cannot be made out is told of where it is needed.
        guard let proxy = try? proxies.proxy(for: origin) else { return origin.description }
        return "\(origin), through the proxy \(proxy)"
    }

    private func way(to origin: Origin?) throws -> Way {
        guard let origin, let proxy = try proxies.proxy(for: origin) else { return .direct }
        return origin.scheme == "http" && proxy.kind == .http ? .forward(proxy) : .tunnel(proxy)
    }

    /// Sends a request and waits for the head of the reply.
    ///
    /// - Throws: `AttemptError`, or `CancellationError`.
    func send(_ request: Request, for errand: Errand) async throws -> HTTPClientResponse {
        let origin = Origin(request.url)
        let place = origin.map { self.place(of: $0) } ?? printable(request.url, limit: 200)
        var way = Way.direct
        do {
            way = try self.way(to: origin)
            var outgoing = HTTPClientRequest(url: request.url)
            outgoing.method = request.method
            outgoing.headers = request.headers
            outgoing.headers.replaceOrAdd(name: "User-Agent", value: "sealer")
            if case .forward(let proxy) = way, let origin {
                outgoing.headers.replaceOrAdd(name: "Host", value: origin.domain)
                outgoing.url = Self.address(request.url, at: proxy)
            } else {
                outgoing.tlsConfiguration = try await configuration(for: request.trust, at: origin)
            }
            let client = try clients[way]
            let response: HTTPClientResponse
            switch request.body {
            case nil: response = try await client.execute(outgoing, timeout: .init(limits.head))
            case .bytes(let bytes):
                outgoing.body = .bytes(bytes)
                response = try await client.execute(outgoing, timeout: .init(limits.head))
            case .file(let slice):
                outgoing.body = .stream(slice, length: .known(slice.length))
                response = try await upload(outgoing, by: client, slice.meter, to: place, for: errand)
            }
            if case .forward = way, response.status == .proxyAuthenticationRequired {
                throw HTTPClientError.proxyAuthenticationRequired
            }
            return response
        } catch {
            try Task.checkCancellation()
            throw AttemptError.connection(error, at: place, through: way.proxy, for: errand)
        }
    }

    /// The address whose host is the proxy and whose path is the wanted one; the wanted host goes into the request later.
    private static func address(_ url: String, at proxy: Proxy) -> String {
        let rest = url.dropFirst("http://".count).drop { !"/?#".contains($0) }
        return "http://\(proxy.authority)\(rest)"
    }

    /// Sends a large body; what is bounded is not the whole, but each time that nothing goes on.
    private func upload(
        _ request: HTTPClientRequest,
        by client: HTTPClient,
        _ meter: UploadMeter,
        to place: String,
        for errand: Errand
    ) async throws -> HTTPClientResponse {
        let limits = limits
        return try await withThrowingTaskGroup(of: HTTPClientResponse.self) { group in
            group.addTask { try await client.execute(request, deadline: .distantFuture) }
            group.addTask {
                while true {
                    if let waited = meter.stalled(limits) {
                        throw AttemptError(
                            Failure(
                                .timeout,
                                "cannot \(errand): the registry stalled, nothing got on for \(waited.inWords)",
                                at: place,
                                remedy: "see whether the registry is overloaded, then try again"
                            ),
                            retry: .later(nil)
                        )
                    }
                    try await Task.sleep(for: limits.stall / 8)
                }
            }
            defer { group.cancelAll() }
            guard let response = try await group.next() else { throw CancellationError() }
            return response
        }
    }

    private func configuration(for trust: Trust, at origin: Origin?) async throws -> TLSConfiguration {
        let own = origin.flatMap { certificates[$0.domain] }
        let peer = Peer(trust: trust, domain: own == nil ? nil : origin?.domain)
        if let known = tls.withLock({ $0[peer] }) { return known }
        var configuration = TLSConfiguration.makeClientConfiguration()
        switch trust {
        case .system: configuration.trustRoots = Self.systemBundle(trustFile).map { .file($0) } ?? .default
        case .anybody: configuration.certificateVerification = .none
        case .authority(let pem):
            do {
                configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(pem.utf8)))
            } catch {
                throw Failure(.invalidInput, "the certificate of the registry's authority is not PEM", causes: [error])
            }
        }
        if let own, let origin, origin.scheme == "https" { try await own.add(to: &configuration, trust: trust) }
        tls.withLock { $0[peer] = configuration }
        return configuration
    }

    /// Where distributions keep the certificates they trust; the TLS library of a static binary has no path of its own.
    private static func systemBundle(_ named: FilePath?) -> String? {
        let candidates = [
            named?.string, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
            "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/ca-bundle.pem",
            "/var/lib/ca-certificates/ca-bundle.pem", "/etc/ssl/cert.pem",
        ]
        return candidates.compactMap(\.self).first { access($0, R_OK) == 0 }
    }
}
