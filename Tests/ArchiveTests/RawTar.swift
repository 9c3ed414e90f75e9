/// Tar blocks made by hand, for archives that no honest writer makes.
enum RawTar {
    static let end = [UInt8](repeating: 0, count: 1024)

    /// One header and its content, filled up to whole blocks.
    ///
    /// - Parameters:
    ///   - statedSize: what the size field says, if not the content's size.
    ///   - edit: changes the block before the checksum is made.
    static func entry(
        _ flag: Character,
        _ name: String,
        _ content: [UInt8] = [],
        linkName: String = "",
        statedSize: Int? = nil,
        mode: Int = 0o644,
        edit: (inout [UInt8]) -> Void = { _ in }
    ) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int) {
            block.replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8)
        }
        func octal(_ number: Int, _ digits: Int) -> String {
            let text = String(number, radix: 8)
            return String(repeating: "0", count: digits - text.utf8.count) + text
        }
        put(name, at: 0)
        put(octal(mode, 7), at: 100)
        put(octal(0, 7), at: 108)
        put(octal(0, 7), at: 116)
        put(octal(statedSize ?? content.count, 11), at: 124)
        put(octal(0, 11), at: 136)
        block[156] = flag == "\0" ? 0 : flag.asciiValue ?? 0
        put(linkName, at: 157)
        put("ustar\u{0}00", at: 257)
        edit(&block)
        block.replaceSubrange(148..<156, with: [UInt8](repeating: 0x20, count: 8))
        put(octal(block.reduce(0) { $0 + Int($1) }, 6) + "\0", at: 148)
        return block + content + [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
    }

    /// A PAX record.
    static func record(_ key: String, _ value: String) -> [UInt8] {
        var length = key.utf8.count + value.utf8.count + 4
        while "\(length) \(key)=\(value)\n".utf8.count != length { length = "\(length) \(key)=\(value)\n".utf8.count }
        return Array("\(length) \(key)=\(value)\n".utf8)
    }

    static func pax(_ records: [(String, String)], flag: Character = "x") -> [UInt8] {
        entry(flag, "PaxHeader", records.flatMap { record($0.0, $0.1) })
    }
}
