/// An IPv4 address.
public struct IPv4Address: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The address as a number, first octet highest.
    public var number: UInt32

    /// Makes an address out of its number.
    public init(number: UInt32) {
        self.number = number
    }

    /// Parses four decimal numbers parted by dots; nil for anything else, leading zeros too (some readers take them for
    /// octal numbers).
    public init?(_ text: String) {
        let octets = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard octets.count == 4 else { return nil }
        var number: UInt32 = 0
        for octet in octets {
            guard (1...3).contains(octet.count), octet.allSatisfy({ (0x30...0x39).contains($0) }),
                octet.count == 1 || octet.first != 0x30, let value = UInt8(String(decoding: octet, as: UTF8.self))
            else { return nil }
            number = number << 8 | UInt32(value)
        }
        self.number = number
    }

    /// Orders by number.
    public static func < (left: IPv4Address, right: IPv4Address) -> Bool { left.number < right.number }

    /// `10.0.0.1`.
    public var description: String {
        [24, 16, 8, 0].map { String((number >> UInt32($0)) & 0xff) }.joined(separator: ".")
    }
}
