import Report

/// A network of IPv4 or IPv6 addresses in CIDR form: `10.244.0.0/16`, `fd00:10::/56`.
public struct IPNetwork: Hashable, Sendable, CustomStringConvertible {
    /// The first address.
    public let base: IPAddress
    /// How many leading bits all addresses of the network share: 0 to 32, or to 128.
    public let prefixLength: Int

    /// Reads `ADDRESS/LENGTH`.
    ///
    /// - Throws: `Failure` of kind `invalidInput`; also when the address is not the network's first one, because
    ///   then either the address or the length is not what was meant.
    public init(_ text: String) throws(Failure) {
        let shown = text.prefix(60).filter { !$0.isNewline }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(String(parts[0])), (1...3).contains(parts[1].utf8.count),
            parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), parts[1] == "0" || parts[1].first != "0",
            let length = Int(parts[1]), length <= address.family.bits
        else {
            throw Failure(
                .invalidInput, "\"\(shown)\" is not a network, one as 10.244.0.0/16 or fd00:10::/56 was expected")
        }
        self.init(containing: address, prefixLength: length)
        guard base == address else {
            throw Failure(.invalidInput, "\"\(shown)\" is an address in the network \(self), the network was expected")
        }
    }

    /// The network of a length that an address is in; a length that the family does not have becomes the nearest one.
    public init(containing address: IPAddress, prefixLength: Int) {
        let length = min(max(prefixLength, 0), address.family.bits)
        let number = address.number & Self.mask(length, address.family)
        base = IPAddress(address.family, number) ?? address
        self.prefixLength = length
    }

    private static func mask(_ length: Int, _ family: IPAddress.Family) -> UInt128 {
        length == 0 ? 0 : family.last & ~((UInt128(1) << UInt128(family.bits - length)) &- 1)
    }

    /// The family of its addresses.
    public var family: IPAddress.Family { base.family }

    /// The last address.
    public var last: IPAddress {
        IPAddress(family, base.number | (family.last & ~Self.mask(prefixLength, family))) ?? base
    }

    /// Whether the address is in the network; none of the other family is.
    public func contains(_ address: IPAddress) -> Bool {
        address.family == family && address.number & Self.mask(prefixLength, family) == base.number
    }

    /// Whether the networks have an address in common.
    public func overlaps(_ other: IPNetwork) -> Bool { contains(other.base) || other.contains(base) }

    /// The address that many steps after the first one; nil when it is not in the network any more.
    ///
    /// In a service network, 1 is the API server's service and 10, by kubeadm's convention, cluster DNS.
    public func address(at offset: UInt32) -> IPAddress? {
        UInt128(offset) <= last.number - base.number ? IPAddress(family, base.number + UInt128(offset)) : nil
    }

    /// The network of a length that comes so many after the first one of that length; nil when it is not in this one any more.
    public func part(_ number: UInt32, prefixLength length: Int) -> IPNetwork? {
        guard (prefixLength...family.bits).contains(length),
            UInt128(number) >> UInt128(length - prefixLength) == 0,
            let first = IPAddress(family, base.number + UInt128(number) << UInt128(family.bits - length))
        else { return nil }
        return IPNetwork(containing: first, prefixLength: length)
    }

    /// `10.244.0.0/16`.
    public var description: String { "\(base)/\(prefixLength)" }
}
