import Report
import SystemPackage

/// Whom to reach over SSH, as far as it is told; all else comes from the user's `ssh_config`.
public struct SSHTarget: Sendable, Hashable {
    /// A name, an alias of `ssh_config`, an IPv4 or an IPv6 address (without brackets).
    public let host: String
    /// The port, 1 to 65535; nil for what `ssh_config` says.
    public let port: Int?
    /// The user to log in as; nil for what `ssh_config` says.
    public let user: String?
    /// A private key, beside those that `ssh_config` and the agent have.
    public let identityFile: FilePath?

    /// Checks and takes the parts.
    ///
    /// - Parameter host: brackets around an IPv6 address are taken off.
    /// - Throws: `Failure` of kind `invalidInput` for what can be no host, port, user or path. Nothing that passes here can be an option
    ///   of ssh, or anything but a word to a shell that a `ProxyCommand` goes through.
    public init(host: String, port: Int? = nil, user: String? = nil, identityFile: FilePath? = nil) throws {
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]") && host.count > 2
        let bare = isBracketed ? String(host.dropFirst().dropLast()) : host
        guard Self.isHost(bare) else {
            throw Failure(
                .invalidInput, "this can be no host",
                at: host, remedy: "give a name, an IPv4 address or an IPv6 address")
        }
        if let port, !(1...65535).contains(port) {
            throw Failure(.invalidInput, "port \(port) is not in 1 to 65535", at: bare)
        }
        if let user, !Self.isUser(user) {
            throw Failure(.invalidInput, "this can be no user: \(user)", at: bare)
        }
        if let identityFile, identityFile.isEmpty || !identityFile.string.utf8.allSatisfy({ $0 >= 0x20 }) {
            throw Failure(.invalidInput, "this can be no path of a key", at: identityFile.string)
        }
        self.host = bare
        self.port = port
        self.user = user
        self.identityFile = identityFile
    }

    private static func isHost(_ text: String) -> Bool {
        guard let first = text.first, first != "-", text.utf8.count <= 255 else { return false }
        // A zone (fe80::1%eth0) belongs to IPv6 addresses only.
        let extra = text.contains(":") ? "._-:%" : "._-"
        return text.utf8.allSatisfy { isAlphanumeric($0) || extra.utf8.contains($0) }
    }

    private static func isUser(_ text: String) -> Bool {
        guard let first = text.first, first != "-", text.utf8.count <= 255, text.last != "\\" else { return false }
        return text.utf8.allSatisfy { isAlphanumeric($0) || "._-+@\\".utf8.contains($0) }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: false
        }
    }
}
