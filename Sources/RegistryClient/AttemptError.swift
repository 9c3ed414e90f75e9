import AsyncHTTPClient
import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import OCI
import Report

/// Why one attempt at a request failed, and whether another one makes sense.
struct AttemptError: Error {
    enum Retry: Hashable {
        /// The answer would be the same.
        case never
        /// It may get better; the server's own wish for the wait, if it had one.
        case later(Duration?)
    }

    var failure: Failure
    var retry: Retry
    /// The status that was answered, if one was.
    var status: UInt?
    /// Whether more of the content came or went than in all attempts before: then the count of attempts begins anew.
    var gotOn = false
    /// Whether no HTTP was spoken at all: then an insecure registry may still speak plain http.
    var spokeNoHTTP = false

    init(_ failure: Failure, retry: Retry = .never, spokeNoHTTP: Bool = false) {
        self.failure = failure
        self.retry = retry
        self.spokeNoHTTP = spokeNoHTTP
    }

    // MARK: - What the connection did

    /// Explains an error of the HTTP client.
    ///
    /// - Parameters:
    ///   - origin: `https://HOST:PORT`, and the proxy, if there is one.
    ///   - proxy: what the connection went through.
    ///   - errand: what was wanted, as the message should name it.
    static func connection(_ error: any Error, at origin: String, through proxy: Proxy? = nil, for errand: Errand)
        -> any Error
    {
        if error is CancellationError || (error as? HTTPClientError) == .cancelled { return CancellationError() }
        if let known = error as? AttemptError { return known }
        if let failure = error as? Failure { return AttemptError(failure) }
        if let parser = error as? HTTPParserError, parser != .invalidEOFState {
            return AttemptError(
                Failure(.integrity, "cannot \(errand): the registry's reply is not HTTP (\(parser))", at: origin),
                spokeNoHTTP: true
            )
        }
        if let proxy, let refusal = refusal(error, by: proxy, at: origin, for: errand) { return refusal }
        let proxyRemedy = proxy.map {
            "see whether the proxy \($0) is up and may reach the registry; NO_PROXY names hosts that need none"
        }
        if isTimeout(error) {
            return AttemptError(
                Failure(
                    .timeout,
                    "waited in vain for the registry to answer, to \(errand)",
                    at: origin,
                    remedy: proxyRemedy ?? "see whether the registry is up and a firewall lets this machine reach it"
                ),
                retry: .later(nil),
                spokeNoHTTP: error as? HTTPClientError != .deadlineExceeded
            )
        }
        if let problem = tlsProblem(error) {
            return AttemptError(
                Failure(
                    .unreachable,
                    "cannot \(errand): \(problem.text)",
                    at: origin,
                    remedy: problem.isCertificate
                        ? "trust the authority that signed the registry's certificate on this machine (ca-certificates),"
                            + " or write insecure = true for the registry in registries.conf"
                        : "for a registry without TLS write insecure = true for it in registries.conf"
                ),
                spokeNoHTTP: true
            )
        }
        return AttemptError(
            Failure(
                .unreachable,
                "cannot \(errand): \(plainText(error))",
                at: origin,
                remedy: proxyRemedy ?? "see whether the name is right, the registry is up and this machine can reach it"
            ),
            retry: .later(nil),
            spokeNoHTTP: true
        )
    }

    /// What a proxy says itself.
    private static func refusal(_ error: any Error, by proxy: Proxy, at origin: String, for errand: Errand)
        -> AttemptError?
    {
        switch error as? HTTPClientError {
        case .proxyAuthenticationRequired?:
            return AttemptError(
                Failure(
                    .denied,
                    "cannot \(errand): the proxy \(proxy.login == nil ? "wants a login" : "does not take the login")",
                    at: origin,
                    remedy: "write it into the variable: http://USER:PASSWORD@\(proxy.authority)"
                ),
                spokeNoHTTP: true
            )
        case .invalidProxyResponse?:
            return AttemptError(
                Failure(
                    .unreachable,
                    "cannot \(errand): the proxy does not let us through to there",
                    at: origin,
                    remedy: "see what the proxy says of it, or name the host in NO_PROXY if it needs none"
                ),
                retry: .later(nil),
                spokeNoHTTP: true
            )
        default: return nil
        }
    }

    private static func isTimeout(_ error: any Error) -> Bool {
        if let error = error as? HTTPClientError {
            return [
                .deadlineExceeded, .connectTimeout, .tlsHandshakeTimeout, .readTimeout, .getConnectionFromPoolTimeout,
                .httpProxyHandshakeTimeout, .socksHandshakeTimeout,
            ].contains(error)
        }
        if case .connectTimeout = error as? ChannelError { return true }
        guard let error = error as? NIOConnectionError, !error.connectionErrors.isEmpty else { return false }
        return error.connectionErrors.allSatisfy { isTimeout($0.error) }
    }

    private static func tlsProblem(_ error: any Error) -> (text: String, isCertificate: Bool)? {
        let text = String(describing: error)
        if text.contains("CERTIFICATE_VERIFY_FAILED") || error is NIOSSLExtraError {
            return ("the registry's certificate cannot be verified", true)
        }
        guard let error = error as? NIOSSLError else { return nil }
        switch error {
        case .unableToValidateCertificate, .noCertificateToValidate:
            return ("the registry's certificate cannot be verified", true)
        case .handshakeFailed, .noSuchFilesystemObject, .failedToLoadCertificate:
            return ("TLS with the registry failed (\(printable(text, limit: 200)))", false)
        default: return nil
        }
    }

    private static func plainText(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            if let first = error.connectionErrors.first { return plainText(first.error) }
            return "no address is known for the name \(error.host)"
        case let error as IOError: return printable(error.description, limit: 200)
        case let error as HTTPClientError where error == .remoteConnectionClosed:
            return "the registry closed the connection"
        case NIOSSLError.uncleanShutdown, HTTPParserError.invalidEOFState: return "the registry cut the connection"
        default: return "the connection broke (\(printable(String(describing: error), limit: 200)))"
        }
    }

    // MARK: - What the registry answered

    /// Explains a status that is no success.
    static func status(
        _ status: HTTPResponseStatus,
        headers: HTTPHeaders,
        body: String,
        at origin: String,
        for errand: Errand
    ) -> AttemptError {
        let said = body.isEmpty ? "" : " (\(body))"
        let what = "cannot \(errand): the registry answered \(status.code)\(said)"
        var error = AttemptError(Failure(.integrity, what, at: origin))
        error.status = status.code
        switch status.code {
        case 404:
            error.failure.kind = .notFound
            error.failure.remedy = "check the name and the tag, and that the registry has the image"
        case 401, 403:
            error.failure.kind = .denied
            error.failure.remedy = "check the name, or log in to the registry with: sealer login"
        case 405:
            error.failure.kind = .unavailable
            error.failure.remedy = "the registry does not do this: it may be read-only, or a cache of another one"
        case 408, 429, 500...599:
            error.failure.kind = .unreachable
            error.failure.remedy = "try again later"
            error.retry = .later(retryAfter(headers.first(name: "retry-after"), now: .now))
        default: break
        }
        return error
    }
}

/// What a stranger sent, fit for a terminal: printable ASCII only, and not too much of it.
func printable(_ text: String, limit: Int) -> String {
    var result = String.UnicodeScalarView()
    var length = 0
    for scalar in text.unicodeScalars {
        guard length < limit else { return String(result) + "…" }
        result.append((0x20...0x7E).contains(scalar.value) ? scalar : "?")
        length += 1
    }
    return String(result)
}
