import NIOCore
import Report

/// The head of the answer that comes before a hijacked connection's bytes.
///
/// The connection turns into a raw stream at the blank line, so the head is read apart from NIO's HTTP decoder, which would take
/// bytes that are no longer its own.
struct ResponseHead: Equatable {
    /// The most bytes of a head that are accepted.
    static let sizeLimit = 16 << 10

    var status: Int
    /// Names in lower case.
    var headers: [String: String]

    /// Takes the head from the front of `bytes`, which keeps what follows it; nil while it is incomplete.
    ///
    /// - Throws: `Failure` of kind `integrity` when it is no head of HTTP/1 or too large.
    static func read(from bytes: inout ByteBuffer) throws -> ResponseHead? {
        let view = bytes.readableBytesView
        let end = Array("\r\n\r\n".utf8)
        guard let range = view.firstRange(of: end) else {
            guard view.count <= sizeLimit else { throw refusal }
            return nil
        }
        guard range.upperBound - view.startIndex <= sizeLimit else { throw refusal }
        let lines = String(decoding: view[view.startIndex..<range.lowerBound], as: UTF8.self).split(
            separator: "\r\n",
            omittingEmptySubsequences: false
        )
        bytes.moveReaderIndex(to: range.upperBound)
        let words = (lines.first ?? "").split(separator: " ", maxSplits: 2)
        guard words.count >= 2, words[0] == "HTTP/1.1" || words[0] == "HTTP/1.0", let status = Int(words[1]),
            (100...599).contains(status)
        else { throw refusal }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { throw refusal }
            let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            headers[line[..<colon].lowercased()] = String(value)
        }
        return ResponseHead(status: status, headers: headers)
    }

    private static var refusal: Failure {
        Failure(.integrity, "what answers at the Docker engine's socket does not speak HTTP")
    }
}
