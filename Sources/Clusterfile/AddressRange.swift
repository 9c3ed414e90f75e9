import Report

/// Addresses that follow one another, as people write them: `192.168.0.2`, `192.168.0.2-192.168.0.5`, `192.168.0.2-5`.
struct AddressRange {
    /// The first address.
    let first: IPAddress
    /// How many there are, 1 to `mostAddresses`.
    let count: Int

    /// More addresses than this in one range are a slip of the finger.
    static let mostAddresses = 4096

    /// Reads an address or a range.
    ///
    /// - Throws: `Failure` of kind `invalidInput`.
    init(_ text: String) throws(Failure) {
        let shown = text.prefix(90).filter { !$0.isNewline }
        guard let dash = text.firstIndex(of: "-") else {
            guard let address = IPAddress(text) else {
                throw Failure(
                    .invalidInput,
                    "\"\(shown)\" is not an address, one as 192.168.0.2 or a range as 192.168.0.2-192.168.0.5"
                        + " was expected"
                )
            }
            (first, count) = (address, 1)
            return
        }
        let end = String(text[text.index(after: dash)...])
        guard let first = IPAddress(String(text[..<dash])),
            let last = IPAddress(end) ?? Self.last(of: first, octet: end), last.family == first.family
        else {
            throw Failure(
                .invalidInput,
                "\"\(shown)\" is not a range of addresses, one as 192.168.0.2-192.168.0.5 or 192.168.0.2-5 was expected"
            )
        }
        guard first <= last else {
            throw Failure(.invalidInput, "the range \"\(shown)\" is backwards, \(last)-\(first) was expected")
        }
        guard last.number - first.number < UInt128(Self.mostAddresses) else {
            throw Failure(
                .invalidInput,
                "the range \"\(shown)\" has more than \(Self.mostAddresses) addresses, the most there may be")
        }
        self.first = first
        count = Int(last.number - first.number) + 1
    }

    private static func last(of first: IPAddress, octet: String) -> IPAddress? {
        guard first.family == .v4, let octet = IPAddress.octet(Array(octet.utf8)) else { return nil }
        return IPAddress(.v4, first.number & ~0xff | UInt128(octet))
    }

    /// The addresses.
    var addresses: [IPAddress] { (0..<count).compactMap(first.advanced(by:)) }
}

extension [IPAddress] {
    /// The addresses of one range: `192.168.0.2`, `192.168.0.2-192.168.0.5`, `192.168.0.2-5`, `fd00::2-fd00::5`; at
    /// most 4096.
    ///
    /// - Throws: `Failure` of kind `invalidInput`, also for a range that is backwards.
    public init(range text: String) throws(Failure) {
        self = try AddressRange(text).addresses
    }

    /// The addresses of ranges that are parted by commas, as options have them, in the order of the text.
    ///
    /// - Throws: `Failure` of kind `invalidInput`, also for an empty text, and for more than 5000 addresses.
    public init(ranges text: String) throws(Failure) {
        self = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let range = try AddressRange(String(part))
            guard count + range.count <= Cluster.mostHosts else {
                throw Failure(
                    .invalidInput, "more than \(Cluster.mostHosts) addresses stand there, the most hosts of a cluster")
            }
            self += range.addresses
        }
    }
}
