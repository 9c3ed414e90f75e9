import Glibc

/// An IP address as the bytes that certificates hold: 4 of IPv4, 16 of IPv6.
struct AddressOctets: Hashable, Sendable {
    let bytes: [UInt8]

    /// Reads an address; nil when the text is none.
    init?(_ text: some StringProtocol) {
        let text = String(text)
        let isSix = text.contains(":")
        var bytes = [UInt8](repeating: 0, count: isSix ? 16 : 4)
        let result = bytes.withUnsafeMutableBytes { inet_pton(isSix ? AF_INET6 : AF_INET, text, $0.baseAddress) }
        guard result == 1 else { return nil }
        self.bytes = bytes
    }

    /// The first address of a network after the network's own, which Kubernetes gives the API server's service:
    /// 10.96.0.1 of `10.96.0.0/12`. nil when the text is no network.
    init?(firstOf network: String) {
        let parts = network.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let base = AddressOctets(parts[0]), let length = Int(parts[1]),
            (0...base.bytes.count * 8).contains(length)
        else { return nil }
        var bytes = base.bytes
        for index in bytes.indices {
            let bits = min(max(length - index * 8, 0), 8)
            bytes[index] &= UInt8(truncatingIfNeeded: 0xff00 >> bits)
        }
        bytes[bytes.count - 1] |= 1
        self.bytes = bytes
    }
}
