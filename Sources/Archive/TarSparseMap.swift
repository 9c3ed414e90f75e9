/// Where the bytes that the archive has of a sparse file stand in it; all the rest of the file is zeros.
///
/// The pieces are in order, do not overlap and lie within the file. Every one but the last fills whole blocks of 512 bytes: GNU tar
/// begins each piece at a block of the archive, others put them end to end, and so all read the same. For the same reason the last
/// one ends where the file does, be it empty: without it GNU tar makes the file shorter than others do. No other may be empty.
struct TarSparseMap: Equatable {
    /// The type flag of GNU's old format.
    static let typeFlag = UInt8(ascii: "S")

    struct Piece: Equatable {
        var offset: Int64
        var length: Int64
        var end: Int64 { offset + length }
    }

    /// The size of the file, holes included.
    let size: Int64
    /// Where data is; an empty piece at the end is left out.
    private(set) var pieces: [Piece] = []
    /// Bytes of data in all.
    private(set) var stored: Int64 = 0
    /// Pieces that were stated, an empty one included.
    private(set) var stated = 0
    private let maximumPieces: Int
    private var isClosed = false
    /// Where the last piece ends that was stated.
    private(set) var end: Int64 = 0

    /// Makes the map of a file that is one hole.
    ///
    /// - Throws: a message when the size is negative.
    init(size: Int64, maximumPieces: Int) throws(TarDamage) {
        guard size >= 0 else { throw TarDamage("is a sparse file of a negative size") }
        self.size = size
        self.maximumPieces = maximumPieces
    }

    /// Adds the next piece.
    ///
    /// - Throws: a message of what is wrong with it.
    mutating func append(offset: Int64, length: Int64) throws(TarDamage) {
        stated += 1
        guard stated <= maximumPieces else {
            throw TarDamage("has a sparse map of more than \(maximumPieces) pieces")
        }
        guard offset >= 0, length >= 0 else { throw TarDamage("has a sparse map with negative numbers") }
        guard offset >= end else { throw TarDamage("has a sparse map whose pieces overlap or are out of order") }
        guard offset <= size, length <= size - offset else {
            throw TarDamage("has a sparse map that goes beyond the file's \(size) bytes")
        }
        guard !isClosed else { throw TarDamage("has a sparse map with an empty piece before others") }
        end = offset + length
        guard length > 0 else {
            isClosed = true
            return
        }
        guard stored.isMultiple(of: Int64(TarHeader.blockSize)) else {
            throw TarDamage(
                "has a sparse map with a piece that does not fill its blocks, which readers read differently")
        }
        pieces.append(Piece(offset: offset, length: length))
        stored += length
    }

    /// Adds pieces whose offsets and lengths stand in turn.
    mutating func append(_ numbers: [Int64]) throws(TarDamage) {
        guard numbers.count.isMultiple(of: 2) else {
            throw TarDamage("has a sparse map with an offset without a length")
        }
        for index in stride(from: 0, to: numbers.count, by: 2) {
            try append(offset: numbers[index], length: numbers[index + 1])
        }
    }

    /// Adds the pieces of a block of GNU's old format.
    ///
    /// - Parameter field: where in the block they stand, 24 bytes each.
    /// - Returns: whether all places of the block are taken, so that another block may follow.
    mutating func append(_ block: UnsafeRawBufferPointer, _ field: Range<Int>) throws(TarDamage) -> Bool {
        var isFull = true
        for start in stride(from: field.lowerBound, to: field.upperBound, by: 24) {
            if block[start..<start + 24].allSatisfy({ $0 == 0 }) {
                isFull = false
                continue
            }
            // GNU tar stops at an empty length, others at an empty offset, and what follows a gap is read by some.
            guard isFull, block[start] != 0, block[start + 12] != 0,
                let offset = TarHeader.number(block, start..<start + 12),
                let length = TarHeader.number(block, start + 12..<start + 24)
            else { throw TarDamage("has a damaged sparse map") }
            try append(offset: offset, length: length)
        }
        return isFull
    }
}

/// How far the reading of a sparse file has come.
struct TarSparsePosition {
    private let map: TarSparseMap
    private var position: Int64 = 0
    private var index = 0

    init(_ map: TarSparseMap) { self.map = map }

    /// Bytes of the file that are still to come.
    var left: Int64 { map.size - position }

    /// Bytes from here to the next piece of data, or to the file's end behind the last one.
    var hole: Int64 {
        let next = index < map.pieces.count ? map.pieces[index].offset : map.size
        return max(0, next - position)
    }

    /// Bytes from here to the end of the piece of data; 0 in a hole and at the file's end.
    var data: Int64 {
        guard hole == 0, index < map.pieces.count else { return 0 }
        return map.pieces[index].end - position
    }

    /// Goes on, at most to the end of the hole or piece.
    mutating func advance(_ count: Int64) {
        position += count
        if index < map.pieces.count, position == map.pieces[index].end { index += 1 }
    }
}

/// Reads the map of GNU's PAX format 1.0: decimal numbers, each with a line feed behind it; first how many pieces, then offset and
/// length of each.
struct TarSparseLines {
    private var digits: [UInt8] = []
    private var left: Int64?
    private var offset: Int64?

    /// Takes bytes of the map.
    ///
    /// - Returns: how many belong to it; nil when it goes on behind them.
    mutating func take(_ bytes: UnsafeRawBufferPointer, into map: inout TarSparseMap) throws(TarDamage) -> Int? {
        for (index, byte) in bytes.enumerated() {
            guard byte == 0x0a else {
                digits.append(byte)
                guard digits.count <= 18 else { throw TarDamage("has a damaged sparse map") }
                continue
            }
            guard let number = PaxRecords.decimal(digits[...]) else { throw TarDamage("has a damaged sparse map") }
            digits.removeAll(keepingCapacity: true)
            try take(Int64(number), into: &map)
            if left == 0 { return index + 1 }
        }
        return nil
    }

    private mutating func take(_ number: Int64, into map: inout TarSparseMap) throws(TarDamage) {
        guard let left else {
            self.left = number
            return
        }
        guard let offset else {
            self.offset = number
            return
        }
        try map.append(offset: offset, length: number)
        self.offset = nil
        self.left = left - 1
    }
}
