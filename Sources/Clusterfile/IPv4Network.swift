import Report

/// A range of IPv4 addresses in CIDR form: `10.244.0.0/16`.
public struct IPv4Network: Hashable, Sendable, CustomStringConvertible {
    /// The first address.
    public let base: IPv4Address
    /// How many leading bits all addresses of the network share, 0 to 32.
    public let prefixLength: Int

    /// Parses `ADDRESS/LENGTH`.
    ///
    /// - Throws: `Failure` of kind `invalidInput`; also when the address is not the network's first one, because then either
    ///   the address or the length is not what was meant.
    public init(_ text: String) throws(Failure) {
        let shown = text.prefix(60).filter { !$0.isNewline }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv4Address(String(parts[0])), (1...2).contains(parts[1].utf8.count),
            parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = Int(parts[1]), length <= 32
        else {
            throw Failure(.invalidInput, "\"\(shown)\" is not an IPv4 network, one as 10.244.0.0/16 was expected")
        }
        self.init(containing: address, prefixLength: length)
        guard base == address else {
            throw Failure(.invalidInput, "\"\(shown)\" is an address in the network \(self), the network was expected")
        }
    }

    /// The network of a length that an address is in; a length outside of 0 to 32 becomes the nearest of these.
    public init(containing address: IPv4Address, prefixLength: Int) {
        let length = min(max(prefixLength, 0), 32)
        base = IPv4Address(number: address.number & Self.mask(length))
        self.prefixLength = length
    }

    private static func mask(_ length: Int) -> UInt32 { length == 0 ? 0 : UInt32.max << UInt32(32 - length) }

    /// How many addresses there are, the first and the last one (which hosts cannot have) included.
    public var count: UInt64 { 1 << UInt64(32 - prefixLength) }

    /// Whether the address is in the network.
    public func contains(_ address: IPv4Address) -> Bool { address.number & Self.mask(prefixLength) == base.number }

    /// Whether the networks have an address in common.
    public func overlaps(_ other: IPv4Network) -> Bool { contains(other.base) || other.contains(base) }

    /// The address that many steps after the first one; nil when it is not in the network any more.
    ///
    /// In a service network, 1 is the API server's service and 10, by kubeadm's convention, cluster DNS.
    public func address(at offset: UInt32) -> IPv4Address? {
        UInt64(offset) < count ? IPv4Address(number: base.number + offset) : nil
    }

    /// `10.244.0.0/16`.
    public var description: String { "\(base)/\(prefixLength)" }
}
