import Report

/// The name of an image, normalised as Docker does it: `nginx` is `docker.io/library/nginx:latest`.
///
/// A reference may carry both a tag and a digest; the digest then decides, the tag is kept for people.
/// Grammar: distribution specification 1.1 for `name` and `tag`, with an optional domain before the name.
public struct Reference: Hashable, Sendable, CustomStringConvertible {
    /// The registry's host, with its port if there is one: `docker.io`, `localhost:5000`, `[::1]:5000`.
    public let domain: String
    /// The repository within the registry: `library/nginx`.
    public let path: String
    /// The tag, nil when only a digest was given.
    public let tag: String?
    /// The digest, when one was given.
    public let digest: Digest?

    /// Parses and normalises a name.
    ///
    /// - Throws: `Failure` of kind `invalidInput` that says which part is wrong.
    public init(_ text: String) throws(Failure) {
        var rest = Substring(text)
        var digest: Digest?
        if let at = rest.firstIndex(of: "@") {
            digest = try Digest(String(rest[rest.index(after: at)...]))
            rest = rest[..<at]
        }
        var domain = "docker.io"
        if let slash = rest.firstIndex(of: "/") {
            let first = rest[..<slash]
            if first == "localhost" || first.contains(".") || first.contains(":")
                || first.contains(where: \.isUppercase)
            {
                domain = String(first)
                rest = rest[rest.index(after: slash)...]
            }
        }
        var tag: String?
        if let colon = rest.lastIndex(of: ":") {
            tag = String(rest[rest.index(after: colon)...])
            rest = rest[..<colon]
        }
        if domain == "index.docker.io" { domain = "docker.io" }
        var path = String(rest)
        if domain == "docker.io", !path.contains("/") { path = "library/\(path)" }
        if tag == nil, digest == nil { tag = "latest" }
        try self.init(domain: domain, path: path, tag: tag, digest: digest, text: text)
    }

    /// Makes a reference from its parts, which are checked.
    ///
    /// - Throws: `Failure` of kind `invalidInput`.
    public init(domain: String, path: String, tag: String?, digest: Digest? = nil) throws(Failure) {
        try self.init(domain: domain, path: path, tag: tag, digest: digest, text: "\(domain)/\(path)")
    }

    private init(domain: String, path: String, tag: String?, digest: Digest?, text: String) throws(Failure) {
        func refuse(_ why: String) -> Failure {
            let shown = text.prefix(200).filter { $0.isASCII && !$0.isNewline }
            return Failure(.invalidInput, "\"\(shown)\" is not an image name: \(why)")
        }
        guard Self.isDomain(domain) else { throw refuse("\"\(domain.prefix(80))\" is not a host name") }
        guard Self.isPath(path) else {
            throw refuse("the repository must be lower-case letters and digits, parted by single . _ - or /")
        }
        guard path.utf8.count + domain.utf8.count < 255 else { throw refuse("it is longer than 255 characters") }
        if let tag, !Self.isTag(tag) {
            throw refuse("a tag has 1 to 128 letters, digits, _ . or -, and does not begin with . or -")
        }
        self.domain = domain
        self.path = path
        self.tag = tag
        self.digest = digest
    }

    /// `domain/path`.
    public var repository: String { "\(domain)/\(path)" }

    /// The whole canonical name.
    public var description: String {
        repository + (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "")
    }

    /// The short form that people use: without `docker.io/library/`.
    public var familiar: String {
        var name = description
        if domain == "docker.io" {
            name.removeFirst("docker.io/".count)
            if path.hasPrefix("library/"), !path.dropFirst("library/".count).contains("/") {
                name.removeFirst("library/".count)
            }
        }
        return name
    }

    // MARK: - Grammar

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (97...122).contains(byte) || (65...90).contains(byte)
    }

    private static func isLowerAlphanumeric(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (97...122).contains(byte)
    }

    static func isTag(_ tag: String) -> Bool {
        let bytes = Array(tag.utf8)
        guard (1...128).contains(bytes.count), let first = bytes.first else { return false }
        guard isAlphanumeric(first) || first == UInt8(ascii: "_") else { return false }
        return bytes.allSatisfy { isAlphanumeric($0) || [0x5f, 0x2e, 0x2d].contains($0) }
    }

    /// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` in each component.
    static func isPath(_ path: String) -> Bool {
        let components = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        return components.allSatisfy { component in
            guard let first = component.first, let last = component.last,
                isLowerAlphanumeric(first), isLowerAlphanumeric(last)
            else { return false }
            let separators = component.split(whereSeparator: isLowerAlphanumeric)
            return separators.allSatisfy { run in
                let text = String(decoding: run, as: UTF8.self)
                return text == "." || text == "_" || text == "__" || text.allSatisfy { $0 == "-" }
            }
        }
    }

    /// Host names, IPv4 addresses and bracketed IPv6 addresses, with an optional port.
    static func isDomain(_ domain: String) -> Bool {
        var host = Substring(domain)
        if domain.hasPrefix("[") {
            guard let close = domain.firstIndex(of: "]") else { return false }
            let address = domain[domain.index(after: domain.startIndex)..<close]
            guard !address.isEmpty, address.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else {
                return false
            }
            let after = domain[domain.index(after: close)...]
            return after.isEmpty || (after.first == ":" && isPort(after.dropFirst()))
        }
        if let colon = host.firstIndex(of: ":") {
            guard isPort(host[host.index(after: colon)...]) else { return false }
            host = host[..<colon]
        }
        let labels = host.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return labels.allSatisfy { label in
            guard let first = label.first, let last = label.last else { return false }
            return isAlphanumeric(first) && isAlphanumeric(last)
                && label.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
        }
    }

    private static func isPort(_ text: Substring) -> Bool {
        guard let port = UInt16(text), text.allSatisfy(\.isNumber) else { return false }
        return port > 0
    }
}

extension Reference: Codable {
    /// Decodes the text form.
    public init(from decoder: any Decoder) throws {
        try self.init(decoder.singleValueContainer().decode(String.self))
    }

    /// Encodes the canonical text form.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
