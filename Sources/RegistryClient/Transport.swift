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

/// One HTTP exchange at a time, with its limits: no redirects, no retries, no credentials of its own.
final class Transport: Sendable {
    /// A request.
    struct Request {
        var method: HTTPMethod = .GET
        var url: String
        var headers: HTTPHeaders = [:]
        var body: ByteBuffer?
        var trust: Trust = .system
    }

    private let client: HTTPClient
    private let limits: RegistryLimits
    private let trustFile: FilePath?
    private let tls = Mutex<[Trust: TLSConfiguration]>([:])
    private let isClosed = Mutex(false)

    init(limits: RegistryLimits, trustFile: FilePath?) {
        self.limits = limits
        self.trustFile = trustFile
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
    func send(_ request: Request, getting subject: String) async throws -> HTTPClientResponse {
        let origin = Origin(request.url)?.description ?? printable(request.url, limit: 200)
        do {
            var outgoing = HTTPClientRequest(url: request.url)
            outgoing.method = request.method
            outgoing.headers = request.headers
            outgoing.headers.replaceOrAdd(name: "User-Agent", value: "sealer")
            if let body = request.body { outgoing.body = .bytes(body) }
            outgoing.tlsConfiguration = try configuration(for: request.trust)
            return try await client.execute(outgoing, timeout: .init(limits.head))
        } catch {
            try Task.checkCancellation()
            throw AttemptError.connection(error, at: origin, getting: subject)
        }
    }

    private func configuration(for trust: Trust) throws -> TLSConfiguration {
        try tls.withLock { known in
            if let configuration = known[trust] { return configuration }
            var configuration = TLSConfiguration.makeClientConfiguration()
            switch trust {
            case .system: configuration.trustRoots = Self.systemBundle(trustFile).map { .file($0) } ?? .default
            case .anybody: configuration.certificateVerification = .none
            case .authority(let pem):
                do {
                    configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(pem.utf8)))
                } catch {
                    throw Failure(
                        .invalidInput, "the certificate of the registry's authority is not PEM", causes: [error])
                }
            }
            known[trust] = configuration
            return configuration
        }
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
