/// The four ways to write a sparse file that are read.
enum SparseFormat: String, CaseIterable, Sendable {
    case gnu
    case pax00 = "0.0"
    case pax01 = "0.1"
    case pax10 = "1.0"

    /// How GNU tar is told to write it.
    var options: String {
        self == .gnu ? "--sparse --format=gnu" : "--sparse --format=pax --sparse-version=\(rawValue)"
    }
}

/// A sparse entry made by hand, honest or not: nothing here checks that the parts fit.
struct RawSparse {
    var name = "sparse"
    var size: Int
    var pieces: [(offset: Int, length: Int)]
    var data: [UInt8]
    /// Whether the map lacks the empty piece at the end that says where the file ends.
    var isOpen = false
    /// How many pieces it says there are, where it says so.
    var count: Int?
    /// What the header has for a name, if not what each format is used to.
    var headerName: String?

    /// What the file holds.
    var content: [UInt8] {
        var content = [UInt8](repeating: 0, count: size)
        var start = 0
        for piece in pieces {
            content.replaceSubrange(
                piece.offset..<piece.offset + piece.length, with: data[start..<start + piece.length])
            start += piece.length
        }
        return content
    }

    /// The pieces as writers state them.
    private var stated: [(offset: Int, length: Int)] {
        guard !isOpen, pieces.allSatisfy({ $0.offset &+ $0.length < size }) else { return pieces }
        return pieces + [(size, 0)]
    }

    /// Header, map and data.
    func entry(_ format: SparseFormat) -> [UInt8] {
        let count = count ?? stated.count
        let standIn = headerName ?? "./GNUSparseFile.1/\(name)"
        switch format {
        case .gnu:
            return gnu()
        case .pax00:
            let map = stated.flatMap { [("offset", "\($0.offset)"), ("numbytes", "\($0.length)")] }
            return Self.pax([("size", "\(size)"), ("numblocks", "\(count)")] + map)
                + RawTar.entry("0", headerName ?? name, data)
        case .pax01:
            let map = stated.map { "\($0.offset),\($0.length)" }.joined(separator: ",")
            return Self.pax([("size", "\(size)"), ("numblocks", "\(count)"), ("name", name), ("map", map)])
                + RawTar.entry("0", standIn, data)
        case .pax10:
            let map = "\(count)\n" + stated.map { "\($0.offset)\n\($0.length)\n" }.joined()
            return Self.pax([("major", "1"), ("minor", "0"), ("name", name), ("realsize", "\(size)")])
                + RawTar.entry("0", standIn, Self.blocks(Array(map.utf8)) + data)
        }
    }

    static func pax(_ records: [(String, String)]) -> [UInt8] {
        RawTar.pax(records.map { ("GNU.sparse." + $0.0, $0.1) })
    }

    static func blocks(_ bytes: [UInt8]) -> [UInt8] {
        bytes + [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512)
    }

    /// GNU's own format; `edit` changes the header, `editBlock` each block of the map behind it.
    func gnu(
        edit: (inout [UInt8]) -> Void = { _ in }, editBlock: (inout [UInt8]) -> Void = { _ in }
    ) -> [UInt8] {
        var rest = stated[...]
        func put(_ block: inout [UInt8], places: Int, at start: Int) {
            for (index, piece) in rest.prefix(places).enumerated() {
                block.replaceSubrange(start + 24 * index..<start + 24 * index + 24, with: Self.place(piece))
            }
            rest = rest.dropFirst(places)
        }
        let whole = RawTar.entry("S", headerName ?? name, data) { block in
            block.replaceSubrange(257..<265, with: Array("ustar  \0".utf8))
            put(&block, places: 4, at: 386)
            block[482] = rest.isEmpty ? 0 : 1
            block.replaceSubrange(483..<495, with: Self.number(size))
            edit(&block)
        }
        var map: [UInt8] = []
        while !rest.isEmpty {
            var block = [UInt8](repeating: 0, count: 512)
            put(&block, places: 21, at: 0)
            block[504] = rest.isEmpty ? 0 : 1
            editBlock(&block)
            map += block
        }
        return whole[..<512] + map + whole[512...]
    }

    /// A piece in GNU's own format.
    static func place(_ piece: (offset: Int, length: Int)) -> [UInt8] { number(piece.offset) + number(piece.length) }

    /// Eleven octal digits, or base 256 for what they cannot say.
    private static func number(_ value: Int) -> [UInt8] {
        if value >= 0, value < 1 << 33 {
            let digits = String(value, radix: 8)
            return Array((String(repeating: "0", count: 11 - digits.utf8.count) + digits + "\0").utf8)
        }
        let low = (0..<8).reversed().map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
        return (value < 0 ? [0xff, 0xff, 0xff, 0xff] : [0x80, 0, 0, 0]) + low
    }
}
