/// The records of a PAX extended header (POSIX.1-2017 pax, "pax Extended Header"): `LENGTH KEY=VALUE\n`, one after the other.
struct PaxRecords {
    /// The values by key. An empty value says that the field is not there.
    private(set) var values: [String: [UInt8]] = [:]
    /// The records that make a file sparse, in order: GNU's format 0.0 repeats keys. Without `GNU.sparse.` before them.
    private(set) var sparse: [(key: Substring, value: [UInt8])] = []

    init() {}

    /// Reads records; the message of what is wrong when they are damaged.
    init(parsing bytes: ArraySlice<UInt8>) throws(TarDamage) {
        var rest = bytes
        while let first = rest.first {
            // Some writers fill the block with NUL behind the last record.
            if first == 0, rest.allSatisfy({ $0 == 0 }) { return }
            guard let space = rest.prefix(20).firstIndex(of: 0x20),
                let length = Self.decimal(rest[rest.startIndex..<space]),
                length <= rest.count, rest.startIndex + length > space + 1
            else { throw TarDamage("a PAX record has a wrong length") }
            let record = rest[(space + 1)..<(rest.startIndex + length)]
            rest = rest.dropFirst(length)
            guard record.last == 0x0a, let equals = record.firstIndex(of: 0x3d), equals > record.startIndex else {
                throw TarDamage("a PAX record is not KEY=VALUE")
            }
            let key = String(decoding: record[record.startIndex..<equals], as: UTF8.self)
            let value = Array(record[(equals + 1)..<(record.endIndex - 1)])
            guard !key.contains("\0"), !value.contains(0) || Self.isExtendedAttribute(key) else {
                throw TarDamage("a PAX record holds a NUL")
            }
            if key.hasPrefix(Self.sparsePrefix) {
                sparse.append((key.dropFirst(Self.sparsePrefix.count), value))
            } else {
                values[key] = value
            }
        }
    }

    static let sparsePrefix = "GNU.sparse."

    /// Lets the records of a later header replace those of this one.
    mutating func merge(_ other: PaxRecords) {
        values.merge(other.values) { _, new in new }
        sparse += other.sparse
    }

    subscript(key: String) -> [UInt8]? { values[key].flatMap { $0.isEmpty ? nil : $0 } }

    /// A whole number that is not negative; nil when there is none.
    func number(_ key: String) throws(TarDamage) -> Int64? {
        guard let value = self[key] else { return nil }
        guard let number = Self.decimal(value[...]) else { throw TarDamage("the PAX record \(key) is not a number") }
        return Int64(number)
    }

    /// A time in seconds with an optional fraction; nil when there is none.
    func time(_ key: String) throws(TarDamage) -> (seconds: Int64, nanoseconds: Int32)? {
        guard let value = self[key] else { return nil }
        let isNegative = value.first == 0x2d
        let parts = value.dropFirst(isNegative ? 1 : 0).split(
            separator: 0x2e, maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first.flatMap({ Self.decimal($0) }) else {
            throw TarDamage("the PAX record \(key) is not a time")
        }
        let fraction = parts.count > 1 ? parts[1].prefix(9) : []
        guard fraction.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw TarDamage("the PAX record \(key) is not a time")
        }
        var nanoseconds: Int32 = 0
        for index in 0..<9 {
            let digit = index < fraction.count ? fraction[fraction.startIndex + index] - 0x30 : 0
            nanoseconds = nanoseconds * 10 + Int32(digit)
        }
        guard isNegative else { return (Int64(whole), nanoseconds) }
        return nanoseconds == 0 ? (-Int64(whole), 0) : (-Int64(whole) - 1, 1_000_000_000 - nanoseconds)
    }

    private static let attributePrefix = "SCHILY.xattr."

    /// The extended attributes among the records.
    var extendedAttributes: [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        for (key, value) in values where Self.isExtendedAttribute(key) {
            found[String(key.dropFirst(Self.attributePrefix.count))] = value
        }
        return found
    }

    private static func isExtendedAttribute(_ key: String) -> Bool {
        key.hasPrefix(attributePrefix) && key.utf8.count > attributePrefix.utf8.count
    }

    /// The number that at most 18 decimal digits spell; nil when there is anything else, a sign for instance.
    static func decimal(_ digits: ArraySlice<UInt8>) -> Int? {
        guard !digits.isEmpty, digits.count <= 18 else { return nil }
        var value = 0
        for digit in digits {
            guard (0x30...0x39).contains(digit) else { return nil }
            value = value * 10 + Int(digit - 0x30)
        }
        return value
    }

    /// Records in the form of an extended header, in the order given.
    static func encode(_ records: [(key: String, value: [UInt8])]) -> [UInt8] {
        var bytes: [UInt8] = []
        for (key, value) in records {
            // The length counts its own digits.
            let rest = key.utf8.count + value.count + 3
            var length = rest + 1
            while rest + String(length).utf8.count != length { length = rest + String(length).utf8.count }
            bytes += Array("\(length) \(key)=".utf8) + value + [0x0a]
        }
        return bytes
    }

    static func extendedAttributeKey(_ name: String) -> String { attributePrefix + name }
}
