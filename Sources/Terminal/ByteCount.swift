/// A number of bytes, for people.
public struct ByteCount: Sendable, Hashable, CustomStringConvertible {
    /// How many.
    public let bytes: Int64

    /// Wraps a number of bytes.
    public init(_ bytes: Int64) {
        self.bytes = bytes
    }

    /// The number in units of a thousand, as disks and networks count: `512 B`, `12.3 MB`, `123 MB`, `1.2 GB`.
    public var inWords: String {
        let units = ["kB", "MB", "GB", "TB", "PB", "EB"]
        guard bytes.magnitude >= 1000 else { return "\(bytes) B" }
        var size = Double(bytes.magnitude)
        var unit = -1
        // 999.95 would round to the next unit.
        while size >= 999.5, unit < units.count - 1 {
            size /= 1000
            unit += 1
        }
        let sign = bytes < 0 ? "-" : ""
        let tenths = Int((size * 10).rounded())
        let number = tenths >= 1000 ? "\(Int(size.rounded()))" : "\(tenths / 10).\(tenths % 10)"
        return "\(sign)\(number) \(units[unit])"
    }

    /// The same as `inWords`.
    public var description: String { inWords }
}
