import FoundationEssentials
import OCI
import Report

/// A server that requests go through. Its text forms never show its login.
struct Proxy: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// What is spoken with it.
    enum Kind: Hashable, Sendable {
        /// HTTP: requests in plain text are passed on, all else goes through `CONNECT`.
        case http
        /// SOCKS 5, names are looked up there.
        case socks
    }

    /// What it wants to know of us.
    struct Login: Hashable, Sendable {
        var user: String
        var password: String
    }

    let kind: Kind
    /// A name or an address, without brackets.
    let host: String
    let port: Int
    let login: Login?

    /// `HOST:PORT` as addresses have it.
    var authority: String { "\(host.contains(":") ? "[\(host)]" : host):\(port)" }

    /// `http://HOST:PORT`.
    var description: String { "\(kind == .http ? "http" : "socks5")://\(authority)" }

    /// Nothing inside: `dump` and the like must not show secrets either.
    var customMirror: Mirror { Mirror(self, children: [:]) }

    /// The value of `Proxy-Authorization` (RFC 7617).
    var authorization: String? {
        login.map { "Basic " + Data("\($0.user):\($0.password)".utf8).base64EncodedString() }
    }

    /// Reads `[http://|socks5://][USER:PASSWORD@]HOST[:PORT]`.
    ///
    /// - Throws: `Failure` of kind `invalidInput`. It never quotes the text, which may hold a password wherever it was mistyped.
    init(_ text: String, from variable: String) throws(Failure) {
        func refuse(_ why: String, _ remedy: String = "write http://[USER:PASSWORD@]HOST[:PORT]") -> Failure {
            Failure(.invalidInput, "\(variable) \(why)", remedy: remedy)
        }
        var rest = text.trimmingBlanks()[...]
        var scheme = "http"
        if let end = rest.firstRange(of: "://") {
            scheme = rest[..<end.lowerBound].lowercased()
            rest = rest[end.upperBound...]
        }
        let standardPort: Int
        switch scheme {
        case "http": (kind, standardPort) = (.http, 80)
        case "socks5", "socks5h": (kind, standardPort) = (.socks, 1080)
        case "https": throw refuse("names a proxy that is spoken to over TLS, which is not supported")
        default: throw refuse("names a proxy of a sort that is not supported")
        }
        let special = "encode special characters in the password: / as %2F, @ as %40"
        let server = rest.prefix { !"/?#".contains($0) }
        guard ["", "/"].contains(rest.dropFirst(server.count)) else {
            throw refuse("is not the address of a proxy", special)
        }
        // The last one: a password may hold others.
        let at = server.lastIndex(of: "@")
        if let at {
            let parts = server[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard let user = percentDecoded(parts[0]), let password = percentDecoded(parts.count > 1 ? parts[1] : "")
            else { throw refuse("has a login with a broken % in it", special) }
            login = user.isEmpty && password.isEmpty ? nil : Login(user: user, password: password)
        } else {
            login = nil
        }
        guard kind == .http || login == nil else {
            throw refuse("names a SOCKS proxy with a login, which is not supported")
        }
        guard let (host, port) = splitPort(at.map { server[server.index(after: $0)...] } ?? server),
            Self.isHost(host), (1...65535).contains(port ?? standardPort)
        else { throw refuse("is not the address of a proxy", special) }
        self.host = host.lowercased()
        self.port = port ?? standardPort
    }

    private static func isHost(_ text: String) -> Bool {
        if text.contains(":") { return InternetAddress(text) != nil }
        return !text.isEmpty && text.utf8.count <= 253
            && text.utf8.allSatisfy {
                (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || "-._".utf8.contains($0)
            }
    }
}

/// Splits `HOST[:PORT]`, `[ADDRESS]:PORT` or a bare IPv6 address; nil when the port is no number.
func splitPort(_ text: Substring) -> (host: String, port: Int?)? {
    var (host, port) = (text, Substring?.none)
    if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
        host = text[text.index(after: text.startIndex)..<end]
        let rest = text[text.index(after: end)...]
        guard host.contains(":"), rest.isEmpty || rest.hasPrefix(":") else { return nil }
        port = rest.isEmpty ? nil : rest.dropFirst()
    } else if let colon = text.firstIndex(of: ":"), text.lastIndex(of: ":") == colon {
        host = text[..<colon]
        port = text[text.index(after: colon)...]
    }
    guard let port, !port.isEmpty else { return (String(host), nil) }
    guard port.utf8.count <= 5, port.utf8.allSatisfy({ (48...57).contains($0) }), let number = Int(port) else {
        return nil
    }
    return (String(host), number)
}
