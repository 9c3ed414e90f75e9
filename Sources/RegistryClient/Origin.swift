import FoundationEssentials

/// Scheme, host and port of a URL: who is spoken to, and how.
struct Origin: Hashable, Sendable, CustomStringConvertible {
    /// `http` or `https`.
    let scheme: String
    /// The host, in lower case, without brackets.
    let host: String
    /// The port; the scheme's own when the URL has none.
    let port: Int

    /// Reads it off an http or https URL; nil for anything else, also for a URL with a user in it.
    init?(_ url: String) {
        guard url.utf8.count <= 8192, let parsed = URL(string: url), let scheme = parsed.scheme?.lowercased(),
            scheme == "http" || scheme == "https",
            let host = parsed.host(percentEncoded: false)?.lowercased(), !host.isEmpty,
            parsed.user(percentEncoded: true) == nil, parsed.password(percentEncoded: true) == nil
        else { return nil }
        self.scheme = scheme
        self.host = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        port = parsed.port ?? (scheme == "https" ? 443 : 80)
    }

    /// `HOST[:PORT]` as image names have it, the port left out when it is the scheme's own.
    var domain: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == (scheme == "https" ? 443 : 80) ? name : "\(name):\(port)"
    }

    /// `https://HOST[:PORT]`.
    var description: String { "\(scheme)://\(domain)" }
}
