import Report

/// GNU tar's four ways to say that a file has holes (GNU tar manual, "Storing Sparse Files"). Readers differ on maps that contradict
/// themselves or each other, so every one of these is refused.
extension TarReader {
    /// Which way an entry takes, with what the headers say of the map.
    enum SparseFormat {
        /// Type flag `S`: the map begins in the header and goes on in blocks behind it.
        case gnu(header: [UInt8])
        /// PAX 0.0 and 0.1: the whole map is in the records.
        case records(numbers: [Int64], size: Int64)
        /// PAX 1.0: the map stands before the data.
        case content(size: Int64)
    }

    /// The way that an entry takes; nil for a file without holes.
    func sparseFormat(_ block: Block, _ records: PaxRecords, _ name: [UInt8]) throws -> SparseFormat? {
        guard !records.sparse.isEmpty else {
            guard let header = block.sparseHeader else { return nil }
            // star has another map under the same flag.
            guard header[TarHeader.magic.lowerBound..<TarHeader.version.upperBound].elementsEqual(TarHeader.gnuMagic)
            else { throw damage("is a sparse file in another format than GNU's", name) }
            guard records["size"] == nil else { throw damage("has both a sparse map of GNU tar and a PAX size", name) }
            return .gnu(header: header)
        }
        guard block.sparseHeader == nil else { throw damage("has two sparse maps", name) }
        do {
            return try TarSparseRecords(records.sparse).format()
        } catch {
            throw damage(error.what, name)
        }
    }

    /// The name of a sparse file, or of any other. What stands in the header is either the same, or a name for readers that do not know of holes.
    func sparseName(_ records: PaxRecords, _ header: [UInt8]) throws -> [UInt8] {
        guard let real = records.sparse.first(where: { $0.key == "name" })?.value else { return header }
        guard header == real || Self.isStandIn(header, for: real) else {
            throw damage(
                "is a sparse file with another name in its header, \(String(decoding: header, as: UTF8.self))", real)
        }
        return real
    }

    /// Whether a name is `FOLDER/GNUSparseFile.NUMBER/NAME` for `FOLDER/NAME`. bsdtar cuts folder and name short, and GNU tar the
    /// whole where the header's field ends.
    private static func isStandIn(_ name: [UInt8], for real: [UInt8]) -> Bool {
        let slash = UInt8(ascii: "/")
        func plain(_ path: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
            path.starts(with: [UInt8(ascii: "."), slash]) ? path.dropFirst(2) : path
        }
        func parts(_ path: ArraySlice<UInt8>) -> (folder: ArraySlice<UInt8>, last: ArraySlice<UInt8>) {
            guard let index = path.lastIndex(of: slash) else { return ([], path) }
            return (path[..<index], path[(index + 1)...])
        }
        let marker = Array("GNUSparseFile.".utf8)
        let (realFolder, realLast) = parts(plain(real[...]))
        if name.count == TarHeader.name.count {
            let whole = realFolder + (realFolder.isEmpty ? [] : [slash]) + marker
            let cut = plain(name[...])
            if whole.starts(with: cut) { return true }
        }
        let (path, last) = parts(plain(name[...]))
        let (folder, middle) = parts(path)
        let number = middle.dropFirst(marker.count)
        return middle.starts(with: marker) && !number.isEmpty && number.allSatisfy { (0x30...0x39).contains($0) }
            && !last.isEmpty && realLast.starts(with: last) && realFolder.starts(with: folder)
    }

    /// Reads the map, from the blocks behind the header or from the start of the content. It accounts for the content to the byte.
    func sparseMap(_ format: SparseFormat, _ name: [UInt8]) throws -> TarSparseMap {
        do {
            let map =
                switch format {
                case .gnu(let header): try gnuMap(header, name)
                case .records(let numbers, let size):
                    try Self.map(numbers, TarSparseMap(size: size, maximumPieces: limits.maximumSparsePieces))
                case .content(let size): try mapInContent(size, name)
                }
            guard map.stored == remaining else {
                throw TarDamage("has a sparse map of \(map.stored) bytes, and \(remaining) bytes of content")
            }
            guard map.end == map.size else {
                throw TarDamage("has a sparse map up to \(map.end) of the file's \(map.size) bytes")
            }
            return map
        } catch let damage as TarDamage {
            throw self.damage(damage.what, name)
        }
    }

    private static func map(_ numbers: [Int64], _ empty: TarSparseMap) throws(TarDamage) -> TarSparseMap {
        var map = empty
        try map.append(numbers)
        return map
    }

    private func gnuMap(_ header: [UInt8], _ name: [UInt8]) throws -> TarSparseMap {
        var (map, isFull, isExtended) = try header.withUnsafeBytes { bytes in
            guard let size = TarHeader.number(bytes, TarHeader.gnuRealSize) else {
                throw TarDamage("is a sparse file with a damaged size")
            }
            var map = try TarSparseMap(size: size, maximumPieces: limits.maximumSparsePieces)
            let isFull = try map.append(bytes, TarHeader.gnuSparsePieces)
            return (map, isFull, bytes[TarHeader.gnuIsExtended] != 0)
        }
        while isExtended {
            // Some readers look no further once a block has a place free, others go on.
            guard isFull else { throw TarDamage("has a sparse map that goes on behind its end") }
            (isFull, isExtended) = try withMapBlock { bytes in
                let isFull = try map.append(bytes, TarHeader.extensionPieces)
                return (isFull, bytes[TarHeader.extensionIsExtended] != 0)
            }
        }
        return map
    }

    private func mapInContent(_ size: Int64, _ name: [UInt8]) throws -> TarSparseMap {
        var map = try TarSparseMap(size: size, maximumPieces: limits.maximumSparsePieces)
        var lines = TarSparseLines()
        var isAtEnd = false
        while !isAtEnd {
            guard remaining >= Int64(TarHeader.blockSize) else {
                throw TarDamage("ends in the middle of its sparse map")
            }
            try withMapBlock { bytes in
                guard let end = try lines.take(bytes, into: &map) else { return }
                guard bytes[end...].allSatisfy({ $0 == 0 }) else {
                    throw TarDamage("has bytes behind its sparse map")
                }
                isAtEnd = true
            }
            remaining -= Int64(TarHeader.blockSize)
        }
        return map
    }

    private func withMapBlock<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        try input.fill(atLeast: TarHeader.blockSize)
        guard input.available.count >= TarHeader.blockSize else {
            throw TarDamage("ends in the middle of its sparse map")
        }
        let result = try body(UnsafeRawBufferPointer(rebasing: input.available.prefix(TarHeader.blockSize)))
        input.consume(TarHeader.blockSize)
        return result
    }
}
