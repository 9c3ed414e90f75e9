import Report

/// A tar archive of one file (POSIX.1-1988 "ustar"), as the engine wants it to put a file into a container.
enum SingleFileTar {
    /// The block that stands before the file's bytes.
    ///
    /// - Throws: `Failure` of kind `invalidInput` when the name or the size does not fit the format.
    static func header(name: String, size: Int64, permissions: UInt32) throws -> [UInt8] {
        let bytes = Array(name.utf8)
        guard (1...100).contains(bytes.count), size >= 0, size < 1 << 33 else {
            throw Failure(.invalidInput, "the file's path or size does not fit a plain tar header", at: name)
        }
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ text: [UInt8], at offset: Int) { block.replaceSubrange(offset..<offset + text.count, with: text) }
        func octal(_ value: Int64, digits: Int) -> [UInt8] {
            let text = Array(String(value, radix: 8).utf8)
            return [UInt8](repeating: UInt8(ascii: "0"), count: digits - text.count) + text
        }
        put(bytes, at: 0)
        put(octal(Int64(permissions & 0o7777), digits: 7), at: 100)
        put(octal(0, digits: 7), at: 108)
        put(octal(0, digits: 7), at: 116)
        put(octal(size, digits: 11), at: 124)
        put(octal(0, digits: 11), at: 136)
        put([UInt8](repeating: UInt8(ascii: " "), count: 8), at: 148)
        block[156] = UInt8(ascii: "0")
        put(Array("ustar\u{0}00".utf8), at: 257)
        let sum = block.reduce(Int64(0)) { $0 + Int64($1) }
        put(octal(sum, digits: 6) + [0], at: 148)
        return block
    }

    /// What stands behind the file's bytes: its padding and the archive's end.
    static func trailer(size: Int64) -> [UInt8] {
        [UInt8](repeating: 0, count: Int((512 - size % 512) % 512) + 1024)
    }
}
