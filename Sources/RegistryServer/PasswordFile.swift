import FoundationEssentials
import LinuxSystem
import Report
import SystemPackage

/// The accounts of an htpasswd file, each with its password's bcrypt hash.
struct PasswordFile: Sendable {
    /// Checking a password against a cost above this one would take many seconds.
    static let costs = 4...16
    static let countLimit = 10_000

    private(set) var hashes: [String: String] = [:]

    /// Reads a file. Blocking.
    ///
    /// - Throws: `Failure` of kind `invalidInput` that names the line, or what `readFile` throws.
    init(_ path: FilePath) throws {
        try self.init(text: String(decoding: readFile(path, limit: 4 << 20), as: UTF8.self), at: path.string)
    }

    /// Reads the text of a file.
    init(text: String, at path: String) throws {
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            func refuse(_ why: String) -> Failure {
                Failure(
                    .invalidInput, why, at: "\(path):\(index + 1)", remedy: "make the line with: htpasswd -nB NAME")
            }
            guard line.contains(where: { !$0.isWhitespace }), !line.hasPrefix("#") else { continue }
            guard let colon = line.firstIndex(of: ":") else { throw refuse("the line is not NAME:HASH") }
            let name = String(line[..<colon])
            guard (1...255).contains(name.utf8.count),
                name.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value != 0x7f })
            else { throw refuse("the account's name is empty, too long or has characters that names do not have") }
            var hash = line[line.index(after: colon)...]
            while hash.last?.isWhitespace == true { hash.removeLast() }
            guard let cost = Self.cost(of: hash) else {
                throw refuse("the password of \(name) is not hashed by bcrypt, which is the only way that is taken")
            }
            guard Self.costs.contains(cost) else {
                throw refuse(
                    "the bcrypt cost of \(name) is \(cost), from \(Self.costs.lowerBound) to"
                        + " \(Self.costs.upperBound) were expected")
            }
            guard hashes.updateValue(String(hash), forKey: name) == nil else {
                throw refuse("the account \(name) has a line above already")
            }
            guard hashes.count <= Self.countLimit else {
                throw refuse("there are more than \(Self.countLimit) accounts")
            }
        }
    }

    /// `$2y$10$` and 53 characters; nil for anything else.
    private static func cost(of hash: Substring) -> Int? {
        let bytes = Array(hash.utf8)
        guard bytes.count == 60, ["$2a$", "$2b$", "$2y$"].contains(where: hash.hasPrefix), bytes[6] == UInt8(ascii: "$")
        else { return nil }
        let isEncoded = bytes[7...].allSatisfy {
            (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0)
                || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "/")
        }
        guard isEncoded, (48...57).contains(bytes[4]), (48...57).contains(bytes[5]) else { return nil }
        return Int(bytes[4] - 48) * 10 + Int(bytes[5] - 48)
    }
}
