/// The first line of an HTTP/1.1 answer, as far as a check needs it (RFC 9112, section 4).
enum StatusLine {
    /// The most bytes that the line may have.
    static let limit = 1024

    /// What is known of an answer of which some bytes are there.
    enum Reading: Hashable {
        /// The line is not there yet.
        case incomplete
        /// The status, 100 to 599.
        case status(Int)
        /// No HTTP.
        case wrong
    }

    /// Reads the status.
    static func read(_ bytes: some Sequence<UInt8>) -> Reading {
        var line: [UInt8] = []
        for byte in bytes {
            if byte == 0x0a { return status(line) }
            guard line.count < limit else { return .wrong }
            line.append(byte)
        }
        // Something else than HTTP need not end a line before it is found out.
        return zip(line, "HTTP/1.".utf8).allSatisfy(==) ? .incomplete : .wrong
    }

    private static func status(_ line: [UInt8]) -> Reading {
        let words = line.split(separator: 0x20, maxSplits: 2, omittingEmptySubsequences: false)
        guard words.count >= 2, words[0].starts(with: "HTTP/1.".utf8), words[0].count == 8 else { return .wrong }
        var code = words[1]
        if words.count == 2, code.last == 0x0d { code = code.dropLast() }
        guard code.count == 3, code.allSatisfy({ (0x30...0x39).contains($0) }) else { return .wrong }
        let status = code.reduce(0) { $0 * 10 + Int($1) - 0x30 }
        return (100...599).contains(status) ? .status(status) : .wrong
    }
}
