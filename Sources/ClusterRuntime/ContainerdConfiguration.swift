/// What sealer must know of containerd's configuration: the cgroup driver of the runtime that pods get.
///
/// It reads as much of TOML as that file has, and passes over everything else: containerd itself refuses what is no TOML.
struct ContainerdConfiguration {
    /// The CRI plug-in's names: of version 3 of the format, of version 2, of version 1.
    private static let plugins = ["io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri", "cri"]
    /// Tables and arrays may lie this deep in each other.
    private static let depthLimit = 16

    private let text: [UInt8]
    private var position = 0
    /// All values but tables and arrays, by their keys from the root on; strings without their quotes.
    private var values: [[String]: String] = [:]

    /// Reads a file's text.
    init(_ text: String) {
        self.text = Array(text.utf8)
        read()
    }

    /// `systemd` or `cgroupfs`: that of the default runtime, or of runc where that one says nothing.
    var cgroupDriver: String {
        for plugin in Self.plugins {
            let place = ["plugins", plugin, "containerd"]
            for runtime in [values[place + ["default_runtime_name"]], "runc"].compactMap(\.self) {
                guard let value = values[place + ["runtimes", runtime, "options", "SystemdCgroup"]] else { continue }
                return value == "true" ? "systemd" : "cgroupfs"
            }
        }
        return "cgroupfs"
    }

    // MARK: - Reading

    private mutating func read() {
        var table: [String] = []
        while let byte = next(withLines: true) {
            if byte == UInt8(ascii: "[") {
                while next() == UInt8(ascii: "[") { position += 1 }
                table = key()
            } else {
                assignment(in: table, depth: 0)
            }
            while position < text.count, text[position] != UInt8(ascii: "\n") { position += 1 }
        }
    }

    /// The next byte that is neither blank nor in a comment; nil at the end, and at the end of the line unless told otherwise.
    private mutating func next(withLines: Bool = false) -> UInt8? {
        while position < text.count {
            switch text[position] {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): position += 1
            case UInt8(ascii: "\n"):
                guard withLines else { return nil }
                position += 1
            case UInt8(ascii: "#"):
                while position < text.count, text[position] != UInt8(ascii: "\n") { position += 1 }
            default: return text[position]
            }
        }
        return nil
    }

    /// A key: words and strings with dots between them.
    private mutating func key() -> [String] {
        var parts: [String] = []
        while let byte = next() {
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
                parts.append(string())
            } else {
                let part = word(endingAt: ".=[]{},#\"'")
                guard !part.isEmpty else { break }
                parts.append(part)
            }
            guard next() == UInt8(ascii: ".") else { break }
            position += 1
        }
        return parts
    }

    private mutating func assignment(in table: [String], depth: Int) {
        let path = table + key()
        guard next() == UInt8(ascii: "=") else { return }
        position += 1
        value(at: path, depth: depth)
    }

    private mutating func value(at path: [String], depth: Int) {
        guard depth < Self.depthLimit, let first = next() else { return }
        switch first {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            let isTable = first == UInt8(ascii: "{")
            let end = isTable ? UInt8(ascii: "}") : UInt8(ascii: "]")
            position += 1
            while let byte = next(withLines: true), byte != end {
                let start = position
                if byte == UInt8(ascii: ",") {
                    position += 1
                } else if isTable {
                    assignment(in: path, depth: depth + 1)
                } else {
                    value(at: path + ["[]"], depth: depth + 1)
                }
                // What cannot be here is passed over.
                if position == start { position += 1 }
            }
            position = min(position + 1, text.count)
        case UInt8(ascii: "\""), UInt8(ascii: "'"): values[path] = string()
        default: values[path] = word(endingAt: ",]}#")
        }
    }

    /// Everything up to a blank, the end of the line or one of some characters.
    private mutating func word(endingAt ends: String) -> String {
        let start = position
        let ends = Array(ends.utf8) + [UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n")]
        while position < text.count, !ends.contains(text[position]) { position += 1 }
        return String(decoding: text[start..<position], as: UTF8.self)
    }

    /// A string of one of the four kinds. Of what a backslash stands before, that alone is taken: no key that counts has one.
    private mutating func string() -> String {
        let quote = text[position]
        let triple = [quote, quote, quote]
        let isLong = text[position...].starts(with: triple)
        let length = isLong ? 3 : 1
        position += length
        var bytes: [UInt8] = []
        while position < text.count, isLong || text[position] != UInt8(ascii: "\n") {
            if text[position] == quote, !isLong || text[position...].starts(with: triple) {
                position += length
                break
            }
            if quote == UInt8(ascii: "\""), text[position] == UInt8(ascii: "\\"), position + 1 < text.count {
                position += 1
            }
            bytes.append(text[position])
            position += 1
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
