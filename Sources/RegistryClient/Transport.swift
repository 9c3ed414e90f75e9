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

    private let client: HTTPClient
    private let limits: RegistryLimits
    private let trustFile: FilePath?
    private let certificates: [String: HostCertificates]
    private let tls = Mutex<[Peer: TLSConfiguration]>([:])
    private let isClosed = Mutex(false)

    init(limits: RegistryLimits, trustFile: FilePath?, certificates: [String: HostCertificates]) {
        self.limits = limits
        self.trustFile = trustFile
        self.certificates = certificates
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.timeout = .init(connect: .init(limits.connect))
        // One connection a download carries more than streams that share the windows of one.
        configuration.httpVersion = .http1Only
        configuration.connectionPool.retryConnectionEstablishment = false
        // How much goes on at once is for the callers to say; waiting in the pool would count as waiting for the registry.
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 128
        configuration.connectionPool.idleTimeout = .seconds(15)
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    deinit {
        guard !isClosed.withLock({ $0 }) else { return }
        let client = client
        Task.detached { try await client.shutdown() }
    }

    /// Closes all connections.
    func close() async {
        let isFirst = isClosed.withLock { isClosed in
            defer { isClosed = true }
            return !isClosed
        }
        // Whatever a closing connection has to complain about, nobody waits for it any more.
        if isFirst { try? await client.shutdown() }
    }

    /// Sends a request and waits for the head of the reply.
    ///
    /// - Throws: `AttemptError`, or `CancellationError`.
    func send(_ request: Request, for errand: Errand) async throws -> HTTPClientResponse {
        let origin = Origin(request.url)
        let place = origin?.description ?? printable(request.url, limit: 200)
        do {
            var outgoing = HTTPClientRequest(url: request.url)
            outgoing.method = request.method
            outgoing.headers = request.headers
            outgoing.headers.replaceOrAdd(name: "User-Agent", value: "sealer")
            outgoing.tlsConfiguration = try await configuration(for: request.trust, at: origin)
            switch request.body {
            case nil: return try await client.execute(outgoing, timeout: .init(limits.head))
            case .bytes(let bytes):
                outgoing.body = .bytes(bytes)
                return try await client.execute(outgoing, timeout: .init(limits.head))
            case .file(let slice):
                outgoing.body = .stream(slice, length: .known(slice.length))
                return try await upload(outgoing, slice.meter, to: place, for: errand)
            }
        } catch {
            try Task.checkCancellation()
            throw AttemptError.connection(error, at: place, for: errand)
        }
    }

    /// Sends a large body; what is bounded is not the whole, but each time that nothing goes on.
    private func upload(
        _ request: HTTPClientRequest,
        _ meter: UploadMeter,
        to place: String,
        for errand: Errand
    ) async throws -> HTTPClientResponse {
        let limits = limits
        return try await withThrowingTaskGroup(of: HTTPClientResponse.self) { group in
            group.addTask { [client] in try await client.execute(request, deadline: .distantFuture) }
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
