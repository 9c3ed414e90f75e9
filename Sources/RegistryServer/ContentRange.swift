/// Which bytes of a blob a part of an upload is: `0-1023` (OCI distribution specification 1.1, "Pushing a blob in chunks"), or
/// with the `bytes ` before it and the `/SIZE` after it that RFC 9110 §14.4 has.
struct ContentRange: Hashable, Sendable {
    let first: Int64
    /// How many bytes, at least 1.
    let count: Int64

    /// Reads the header's value; nil when it is malformed.
    init?(_ header: String) {
        guard header.utf8.count <= 100 else { return nil }
        var text = header[...]
        if text.hasPrefix("bytes ") || text.hasPrefix("bytes=") { text = text.dropFirst(6) }
        text = text.prefix { $0 != "/" }
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = Self.number(ends[0]), let last = Self.number(ends[1]), first <= last,
            last < Int64.max
        else { return nil }
        self.first = first
        count = last - first + 1
    }

    private static func number(_ text: Substring) -> Int64? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return Int64(text)
    }
}
