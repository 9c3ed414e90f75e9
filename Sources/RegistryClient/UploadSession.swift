import FoundationEssentials
import NIOHTTP1
import OCI
import Report

/// An upload that a registry has begun to take (OCI distribution specification 1.1, "Pushing blobs").
struct UploadSession: Sendable {
    /// Where the next bytes go; the registry names a new address each time.
    var url: String
    /// The registry that began it.
    let registry: Origin
    /// How many bytes the registry has.
    var offset: Int64 = 0
    /// The smallest chunk that the registry takes, except for the last one.
    var smallestChunk: Int64 = 0

    /// The address for the last request, with the digest in its query.
    func closing(_ digest: String) -> String {
        let base = url.prefix { $0 != "#" }
        return "\(base)\(base.contains("?") ? "&" : "?")digest=\(percentEncoded(digest))"
    }

    /// Reads how many bytes the registry has off its `Range: 0-LAST`; nil when it does not say.
    ///
    /// Registries write `0-0` for one byte and for none; none is assumed, because a wrong guess of one would lose a byte.
    static func offset(_ headers: HTTPHeaders) -> Int64? {
        guard let text = headers.first(name: "range")?.trimmingBlanks() else { return nil }
        let value = text.hasPrefix("bytes=") ? text.dropFirst("bytes=".count) : text[...]
        let parts = value.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0] == "0", let last = Int64(parts[1]), last >= 0, last < .max else { return nil }
        return last == 0 ? 0 : last + 1
    }
}
