/// What a `Range` header asks for (RFC 9110 §14.2), of content of a known size.
enum ByteRange: Hashable, Sendable {
    /// Everything: there is no range, it is not of bytes, it is malformed, or it has several parts. A server may ignore these.
    case whole
    /// The bytes from the first to before the second.
    case part(Range<Int64>)
    /// Nothing of it exists, or its end is before its beginning.
    case unsatisfiable

    /// Reads the header's value.
    init(_ header: String?, size: Int64) {
        self = header.flatMap { Self.parse($0, size: size) } ?? .whole
    }

    private static func parse(_ header: String, size: Int64) -> ByteRange? {
        guard header.utf8.count <= 100, let equals = header.firstIndex(of: "=") else { return nil }
        guard header[..<equals].lowercased() == "bytes" else { return nil }
        let ends = header[header.index(after: equals)...].split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2 else { return nil }
        switch (ends[0].isEmpty, ends[1].isEmpty) {
        case (true, true): return nil
        case (true, false):
            guard let last = number(ends[1]) else { return nil }
            guard last > 0, size > 0 else { return .unsatisfiable }
            return .part(max(0, size - last)..<size)
        case (false, true):
            guard let first = number(ends[0]) else { return nil }
            return first < size ? .part(first..<size) : .unsatisfiable
        case (false, false):
            guard let first = number(ends[0]), let last = number(ends[1]) else { return nil }
            return first < size && first <= last ? .part(first..<(min(last, size - 1) + 1)) : .unsatisfiable
        }
    }

    /// Decimal digits only; a number that is too large is just large.
    private static func number(_ text: Substring) -> Int64? {
        guard text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return Int64(text) ?? Int64.max
    }
}
