import FoundationEssentials

/// What ssh wrote to its standard error while it made a connection: its notes, which begin with `debug1:`, and what it says to people.
/// Lines of the host (its banner, its farewell) are among the latter.
struct SSHLog: Sendable {
    /// The most bytes of a line that are looked at.
    static let lineLimit = 2 << 10
    /// The most lines that are kept, the last ones.
    static let keptLines = 40

    /// What ssh said to people.
    private(set) var said: [String] = []
    /// The fingerprints of the host keys that were shown, the target's being the last.
    private(set) var fingerprints: [String] = []
    /// The ways to log in that the host offered last.
    private(set) var offered: [String] = []
    /// The ways that ssh tried, in order.
    private(set) var tried: [String] = []
    private var line = Data()

    /// Takes bytes in, in pieces of any size.
    mutating func append(_ bytes: Data) {
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                endLine()
            } else if line.count < Self.lineLimit {
                line.append(byte)
            }
        }
    }

    /// Takes the last line in, which may have no end.
    mutating func finish() {
        if !line.isEmpty { endLine() }
    }

    private mutating func endLine() {
        var text = String(decoding: line, as: UTF8.self)
        line.removeAll(keepingCapacity: true)
        while let last = text.last, last.isWhitespace { text.removeLast() }
        // What a terminal would obey is not for people's eyes.
        text.unicodeScalars.removeAll { $0.value < 0x20 || (0x7f...0x9f).contains($0.value) }
        guard let note = Self.rest(of: text, after: "debug1: ") else {
            if !text.isEmpty { said = (said + [text]).suffix(Self.keptLines) }
            return
        }
        if let key = Self.rest(of: note, after: "Server host key: ") {
            fingerprints = (fingerprints + [key]).suffix(Self.keptLines)
        } else if let methods = Self.rest(of: note, after: "Authentications that can continue: ") {
            offered = methods.split(separator: ",").map(String.init)
        } else if let method = Self.rest(of: note, after: "Next authentication method: ") {
            if !tried.contains(method), tried.count < Self.keptLines { tried.append(method) }
        }
    }

    private static func rest(of text: String, after prefix: String) -> String? {
        text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : nil
    }

    /// The last lines that ssh said to people.
    var lastWords: String { said.suffix(8).joined(separator: "\n") }
}
