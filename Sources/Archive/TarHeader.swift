/// The fields of a 512-byte tar header (POSIX.1-2017 pax, "ustar Interchange Format") and how numbers stand in them.
enum TarHeader {
    static let blockSize = 512

    static let name = 0..<100
    static let mode = 100..<108
    static let userID = 108..<116
    static let groupID = 116..<124
    static let size = 124..<136
    static let modified = 136..<148
    static let checksum = 148..<156
    static let typeFlag = 156
    static let linkName = 157..<257
    static let magic = 257..<263
    static let version = 263..<265
    static let deviceMajor = 329..<337
    static let deviceMinor = 337..<345
    static let prefix = 345..<500

    /// What GNU tar's own format has where POSIX has magic and version. Behind it the fields have other meanings.
    static let gnuMagic = Array("ustar  \0".utf8)
    static let gnuSparsePieces = 386..<482
    static let gnuIsExtended = 482
    static let gnuRealSize = 483..<495
    /// In the blocks that go on with a sparse map.
    static let extensionPieces = 0..<504
    static let extensionIsExtended = 504

    /// How many bytes fill the last block of content of this size.
    static func padding(_ size: Int64) -> Int { Int((512 - size % 512) % 512) }

    /// The bytes up to the first NUL.
    static func text(_ block: UnsafeRawBufferPointer, _ field: Range<Int>) -> [UInt8] {
        Array(block[field].prefix { $0 != 0 })
    }

    /// A number in octal digits, or in GNU's base 256 when the first bit is set; nil when it is neither or too large.
    static func number(_ block: UnsafeRawBufferPointer, _ field: Range<Int>) -> Int64? {
        let bytes = block[field]
        guard let first = bytes.first else { return nil }
        if first & 0x80 != 0 {
            let isNegative = first & 0x40 != 0
            var value: Int64 = isNegative ? -1 : 0
            for (index, byte) in bytes.enumerated() {
                let bits = index == 0 && !isNegative ? byte & 0x7f : byte
                let (product, overflow) = value.multipliedReportingOverflow(by: 256)
                guard !overflow else { return nil }
                value = product | Int64(bits)
            }
            return value
        }
        var value: Int64 = 0
        var digits = bytes.drop { $0 == 0x20 }
        while let byte = digits.first, (0x30...0x37).contains(byte) {
            value = value << 3 | Int64(byte - 0x30)
            digits = digits.dropFirst()
        }
        return digits.allSatisfy { $0 == 0 || $0 == 0x20 } ? value : nil
    }

    /// Whether the checksum field fits the block; old writers summed signed bytes.
    static func checksumFits(_ block: UnsafeRawBufferPointer) -> Bool {
        guard let stated = number(block, checksum) else { return false }
        var unsigned: Int64 = 0
        var signed: Int64 = 0
        for (index, byte) in block.enumerated() {
            let counted = checksum.contains(index) ? 0x20 : byte
            unsigned += Int64(counted)
            signed += Int64(Int8(bitPattern: counted))
        }
        return stated == unsigned || stated == signed
    }

    /// Writes a number as octal digits with a NUL behind; false, and nothing written, when it does not fit.
    static func put(_ value: Int64, into block: inout [UInt8], _ field: Range<Int>) -> Bool {
        let digits = field.count - 1
        guard value >= 0, digits * 3 >= 63 || value < 1 << (digits * 3) else { return false }
        var rest = value
        for index in (field.lowerBound..<field.lowerBound + digits).reversed() {
            block[index] = 0x30 + UInt8(rest & 7)
            rest >>= 3
        }
        block[field.upperBound - 1] = 0
        return true
    }

    /// Writes text at the start of a field; the caller knows that it fits.
    static func put(_ text: some Collection<UInt8>, into block: inout [UInt8], _ field: Range<Int>) {
        for (index, byte) in zip(field, text) { block[index] = byte }
    }

    /// Sums the block up and writes the checksum field.
    static func seal(_ block: inout [UInt8]) {
        for index in checksum { block[index] = 0x20 }
        let sum = block.reduce(Int64(0)) { $0 + Int64($1) }
        _ = put(sum, into: &block, checksum.lowerBound..<checksum.upperBound - 1)
    }
}

/// What is wrong with a header or a map, before somebody knows the entry's name.
struct TarDamage: Error {
    let what: String
    init(_ what: String) { self.what = what }
}
