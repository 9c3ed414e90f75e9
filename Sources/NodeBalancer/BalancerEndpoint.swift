import NIOCore

/// An IP address with a TCP port: `10.0.0.1:6443`, `[fd00::1]:6443`. Names are not taken: a balancer must do its work
/// while nothing resolves names yet.
public struct BalancerEndpoint: Hashable, Sendable, CustomStringConvertible, Encodable {
    /// What sockets take.
    let address: SocketAddress

    /// Reads an endpoint; nil when the text is none. IPv6 addresses stand in brackets, ports are 1 to 65535.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let digits = text[text.index(after: colon)...]
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits), port > 0 else {
            return nil
        }
        var host = text[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if isBracketed { host = host.dropFirst().dropLast() }
        // Zones (`fe80::1%eth0`) are not taken: they mean something on one machine only.
        guard host.contains(":") == isBracketed, !host.contains("%") else { return nil }
        do {
            address = try SocketAddress(ipAddress: String(host), port: Int(port))
        } catch {
            // The only error there is: the text is no address.
            return nil
        }
    }

    /// The endpoint as it is written; IPv6 addresses in their shortest form.
    public var description: String {
        let host = address.ipAddress ?? ""
        return "\(host.contains(":") ? "[\(host)]" : host):\(address.port ?? 0)"
    }

    /// Writes the endpoint as a string.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
