/// An IPv4 or IPv6 address.
public struct IPAddress: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The two sorts of addresses.
    public enum Family: Int, Hashable, Sendable, CaseIterable, Comparable, CustomStringConvertible {
        /// IPv4, 32 bits.
        case v4 = 32
        /// IPv6, 128 bits.
        case v6 = 128

        /// How many bits an address has.
        public var bits: Int { rawValue }
        /// IPv4 comes first.
        public static func < (left: Family, right: Family) -> Bool { left.rawValue < right.rawValue }
        /// `IPv4` or `IPv6`.
        public var description: String { self == .v4 ? "IPv4" : "IPv6" }

        /// The number of the last address.
        var last: UInt128 { self == .v4 ? UInt128(UInt32.max) : UInt128.max }
    }

    /// Which sort of address it is.
    public let family: Family
    /// The address as a number, first byte highest; below 2^32 for IPv4.
    public let number: UInt128

    /// An IPv4 address out of its number, first byte highest.
    public init(v4 number: UInt32) {
        family = .v4
        self.number = UInt128(number)
    }

    /// An IPv6 address out of its number, first byte highest.
    public init(v6 number: UInt128) {
        family = .v6
        self.number = number
    }

    /// Makes an address of a family; nil when the number is too large for it.
    init?(_ family: Family, _ number: UInt128) {
        guard number <= family.last else { return nil }
        self.family = family
        self.number = number
    }

    /// Reads an address; nil for what is none.
    ///
    /// Strict: IPv4 is four decimal numbers without leading zeros (some readers take them for octal numbers), IPv6 is
    /// what RFC 4291 section 2.2 allows, without a zone and without brackets.
    public init?(_ text: String) {
        if let number = Self.v4Number(Array(text.utf8)) {
            self.init(v4: number)
        } else if let number = Self.v6Number(text) {
            self.init(v6: number)
        } else {
            return nil
        }
    }

    /// The bytes in network order, 4 or 16.
    public var bytes: [UInt8] {
        stride(from: family.bits - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: number >> UInt128($0)) }
    }

    /// The address that many steps further, or back; nil beyond the first and the last one.
    public func advanced(by steps: Int) -> IPAddress? {
        let distance = UInt128(steps.magnitude)
        if steps < 0 { return distance <= number ? IPAddress(family, number - distance) : nil }
        return distance <= family.last - number ? IPAddress(family, number + distance) : nil
    }

    /// Orders IPv4 before IPv6, and within a family by number.
    public static func < (left: IPAddress, right: IPAddress) -> Bool {
        (left.family, left.number) < (right.family, right.number)
    }

    /// The one canonical text: `10.0.0.1`, or by RFC 5952 `fd00::1`.
    public var description: String {
        guard family == .v6 else { return bytes.map(String.init).joined(separator: ".") }
        // RFC 5952 section 5: addresses that are known to hold one of IPv4 show it.
        if number >> 32 == 0xffff { return "::ffff:\(IPAddress(v4: UInt32(truncatingIfNeeded: number)))" }
        let groups = stride(from: 112, through: 0, by: -16).map { UInt16(truncatingIfNeeded: number >> UInt128($0)) }
        func text(_ part: some Sequence<UInt16>) -> String {
            part.map { String($0, radix: 16) }.joined(separator: ":")
        }
        guard let zeros = Self.longestZeros(groups) else { return text(groups) }
        return "\(text(groups[..<zeros.lowerBound]))::\(text(groups[zeros.upperBound...]))"
    }

    /// The address as it stands in a URL: IPv6 in brackets.
    public var urlHost: String { family == .v4 ? description : "[\(description)]" }

    /// The first longest run of at least two groups of zeros.
    private static func longestZeros(_ groups: [UInt16]) -> Range<Int>? {
        var best: Range<Int>?
        var start = 0
        while start < groups.count {
            let end = groups[start...].firstIndex { $0 != 0 } ?? groups.count
            if end - start >= max(2, (best?.count ?? 1) + 1) { best = start..<end }
            start = max(end, start + 1)
        }
        return best
    }
}

// MARK: - Reading

extension IPAddress {
    private static func v4Number(_ text: [UInt8]) -> UInt32? {
        let octets = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard octets.count == 4 else { return nil }
        var number: UInt32 = 0
        for octet in octets {
            guard let value = Self.octet(octet) else { return nil }
            number = number << 8 | UInt32(value)
        }
        return number
    }

    /// One decimal number of an IPv4 address.
    static func octet(_ text: some Collection<UInt8>) -> UInt8? {
        guard (1...3).contains(text.count), text.allSatisfy({ (0x30...0x39).contains($0) }),
            text.count == 1 || text.first != 0x30
        else { return nil }
        return UInt8(String(decoding: text, as: UTF8.self))
    }

    private static func v6Number(_ text: String) -> UInt128? {
        guard text.utf8.count <= 45 else { return nil }
        let bytes = Array(text.utf8)
        var halves: [ArraySlice<UInt8>] = [bytes[...]]
        let gaps = bytes.indices.dropLast().filter { bytes[$0] == 0x3a && bytes[$0 + 1] == 0x3a }
        guard gaps.count <= 1 else { return nil }
        if let gap = gaps.first { halves = [bytes[..<gap], bytes[(gap + 2)...]] }
        var parts: [[UInt16]] = []
        for (index, half) in halves.enumerated() {
            guard let groups = Self.groups(half, mayEndInV4: index == halves.count - 1) else { return nil }
            parts.append(groups)
        }
        let count = parts.reduce(0) { $0 + $1.count }
        guard gaps.isEmpty ? count == 8 : count < 8 else { return nil }
        let zeros = [UInt16](repeating: 0, count: 8 - count)
        let groups = (parts.first ?? []) + zeros + (parts.dropFirst().first ?? [])
        return groups.reduce(0) { $0 << 16 | UInt128($1) }
    }

    private static func groups(_ text: ArraySlice<UInt8>, mayEndInV4: Bool) -> [UInt16]? {
        guard !text.isEmpty else { return [] }
        let words = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        var groups: [UInt16] = []
        for (index, word) in words.enumerated() {
            if mayEndInV4, index == words.count - 1, let number = v4Number(Array(word)) {
                groups += [UInt16(truncatingIfNeeded: number >> 16), UInt16(truncatingIfNeeded: number)]
                continue
            }
            let isHexadecimal = word.allSatisfy {
                switch $0 {
                case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
                default: false
                }
            }
            guard (1...4).contains(word.count), isHexadecimal,
                let group = UInt16(String(decoding: word, as: UTF8.self), radix: 16)
            else { return nil }
            groups.append(group)
        }
        return groups
    }
}
