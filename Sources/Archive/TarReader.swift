import Report

/// Reads a tar archive entry by entry from a stream: ustar, PAX (with global headers), GNU long names, base-256 numbers, sparse
/// files of GNU's old format and of its PAX formats 0.0, 0.1 and 1.0.
///
/// Damage of any kind is a `Failure` of kind `integrity` that names the archive and the entry; so is an archive without its
/// end mark, for it may have been cut. Where PAX and ustar disagree, PAX holds; where PAX and GNU long names disagree, the archive
/// is refused, since readers differ on it. The content of a sparse file reads as what the file holds, its holes as zeros.
public final class TarReader: ByteSource {
    let input: TarBlockBuffer
    let limits: TarLimits
    private let place: String
    private var globalRecords = PaxRecords()
    private var current: TarEntry?
    /// Bytes of the present entry that the archive still has.
    var remaining: Int64 = 0
    private var padding = 0
    /// Where the present entry's reading stands when it is a sparse file.
    private var sparse: TarSparsePosition?
    /// Bytes of the archive up to the end of the present entry, and what its sparse files add up to.
    private var archived: Int64 = 0
    private var expanded: Int64 = 0
    private var entries = 0
    private var isAtEnd = false

    /// Makes a reader of an unpacked archive.
    ///
    /// - Parameter place: what is read, for messages: a file, or `layer sha256:…`.
    public init(_ source: any ByteSource, limits: TarLimits = TarLimits(), place: String) {
        input = TarBlockBuffer(source)
        self.limits = limits
        self.place = place
    }

    /// Goes to the next entry, over what is left of the present one's content.
    ///
    /// - Returns: nil behind the last entry; then the source was read to its end.
    public func next() throws -> TarEntry? {
        guard !isAtEnd else { return nil }
        try skipContent()
        var records = PaxRecords()
        var hasRecords = false
        var longName: [UInt8]?
        var longLink: [UInt8]?
        while let block = try header() {
            switch block.typeFlag {
            case UInt8(ascii: "g"):
                try mergeGlobal(try extensionContent(block))
            case UInt8(ascii: "x"):
                guard !hasRecords else { throw damage("has two PAX headers for one entry", block.name) }
                records = try parse(try extensionContent(block), block.name)
                hasRecords = true
            case UInt8(ascii: "L"):
                guard longName == nil else { throw damage("has two long names for one entry", block.name) }
                longName = Array(try extensionContent(block).prefix { $0 != 0 })
            case UInt8(ascii: "K"):
                guard longLink == nil else { throw damage("has two long link names for one entry", block.name) }
                longLink = Array(try extensionContent(block).prefix { $0 != 0 })
            default:
                var all = globalRecords
                all.merge(records)
                return try begin(block, all, longName: longName, longLink: longLink)
            }
        }
        guard !hasRecords, longName == nil, longLink == nil else {
            throw Failure(.integrity, "ends behind an extension header: the entry is missing", at: place)
        }
        try finish()
        return nil
    }

    /// Reads content of the present entry; 0 at its end.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        try withContent(atMost: buffer.count) { chunk in
            buffer.copyMemory(from: chunk)
            return chunk.count
        } ?? 0
    }

    /// Passes the next chunk of the present entry's content to `body` without copying it.
    ///
    /// - Returns: what `body` returns; nil at the end of the content.
    public func withContent<Result>(
        atMost limit: Int = .max,
        _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result? {
        guard let hole = sparse?.hole, hole > 0 else { return try withStored(atMost: limit, body) }
        let count = min(Int(clamping: hole), Self.zeros.count, limit)
        guard count > 0 else { return nil }
        let result = try Self.zeros.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0.prefix(count))) }
        sparse?.advance(Int64(count))
        return result
    }

    private static let zeros = [UInt8](repeating: 0, count: 1 << 18)

    /// Passes the next stretch of the present entry's content to `body`: a chunk of data without copying it, or a hole as a whole.
    ///
    /// - Returns: what `body` returns; nil at the end of the content.
    public func withStretch<Result>(_ body: (TarStretch) throws -> Result) throws -> Result? {
        guard let hole = sparse?.hole, hole > 0 else { return try withStored { try body(.data($0)) } }
        let result = try body(.hole(hole))
        sparse?.advance(hole)
        return result
    }

    private func withStored<Result>(
        atMost limit: Int = .max,
        _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result? {
        let limit = min(limit, sparse.map { Int(clamping: $0.data) } ?? .max)
        guard remaining > 0, limit > 0 else { return nil }
        try input.fill(atLeast: 1)
        let count = min(Int(clamping: remaining), input.available.count, limit)
        guard count > 0 else { throw damage("ends in the middle of the content", current?.name ?? []) }
        let result = try body(UnsafeRawBufferPointer(rebasing: input.available.prefix(count)))
        input.consume(count)
        remaining -= Int64(count)
        sparse?.advance(Int64(count))
        return result
    }

    /// Reads the whole content of the present entry.
    ///
    /// - Throws: `Failure` of kind `integrity` when it is longer than `limit`.
    public func readContent(limit: Int) throws -> [UInt8] {
        let left = sparse?.left ?? remaining
        guard left <= Int64(limit) else { throw damage("is larger than \(limit) bytes", current?.name ?? []) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(left))
        while try withContent({ bytes.append(contentsOf: $0) }) != nil {}
        return bytes
    }

    // MARK: Headers

    /// What the fixed fields of a header say.
    struct Block {
        var typeFlag: UInt8
        var name: [UInt8]
        var linkName: [UInt8]
        var size: Int64
        var entry: TarEntry
        /// The whole header of an entry in GNU's old sparse format, whose map is in it.
        var sparseHeader: [UInt8]?
    }

    /// The next header; nil at the end mark.
    private func header() throws -> Block? {
        try input.fill(atLeast: TarHeader.blockSize)
        guard input.available.count >= TarHeader.blockSize else {
            throw Failure(
                .integrity,
                input.available.isEmpty ? "has no end mark: it was cut short" : "ends in the middle of a header",
                at: place,
                remedy: "fetch it again"
            )
        }
        let bytes = UnsafeRawBufferPointer(rebasing: input.available.prefix(TarHeader.blockSize))
        defer { input.consume(TarHeader.blockSize) }
        archived += Int64(TarHeader.blockSize)
        if bytes.allSatisfy({ $0 == 0 }) { return nil }
        let name = TarHeader.text(bytes, TarHeader.name)
        guard TarHeader.checksumFits(bytes) else { throw damage("has a header with a wrong checksum", name) }
        return try block(bytes, name)
    }

    private func block(_ bytes: UnsafeRawBufferPointer, _ shortName: [UInt8]) throws -> Block {
        var name = shortName
        // GNU's own format has the magic "ustar  " and other things where POSIX has the prefix.
        let isUstar = bytes[TarHeader.magic].elementsEqual(Array("ustar\0".utf8))
        if isUstar {
            let prefix = TarHeader.text(bytes, TarHeader.prefix)
            if !prefix.isEmpty { name = prefix + [UInt8(ascii: "/")] + name }
        }
        func number(_ field: Range<Int>, _ what: String) throws -> Int64 {
            guard let value = TarHeader.number(bytes, field) else {
                throw damage("has a header with a damaged \(what)", name)
            }
            return value
        }
        let size = try number(TarHeader.size, "size")
        guard size >= 0 else { throw damage("has a negative size", name) }
        let isDevice = [UInt8(ascii: "3"), UInt8(ascii: "4")].contains(bytes[TarHeader.typeFlag])
        let entry = TarEntry(
            .file,
            name: name,
            linkName: TarHeader.text(bytes, TarHeader.linkName),
            size: size,
            permissions: UInt32(truncatingIfNeeded: try number(TarHeader.mode, "mode") & 0o7777),
            userID: UInt32(truncatingIfNeeded: try number(TarHeader.userID, "user")),
            groupID: UInt32(truncatingIfNeeded: try number(TarHeader.groupID, "group")),
            modified: try number(TarHeader.modified, "time"),
            deviceMajor: isDevice ? UInt32(truncatingIfNeeded: try number(TarHeader.deviceMajor, "device")) : 0,
            deviceMinor: isDevice ? UInt32(truncatingIfNeeded: try number(TarHeader.deviceMinor, "device")) : 0
        )
        let typeFlag = bytes[TarHeader.typeFlag]
        return Block(
            typeFlag: typeFlag, name: name, linkName: entry.linkName, size: size, entry: entry,
            sparseHeader: typeFlag == TarSparseMap.typeFlag ? Array(bytes) : nil)
    }

    private func extensionContent(_ block: Block) throws -> [UInt8] {
        guard block.size <= Int64(limits.maximumExtensionSize) else {
            throw damage("has an extension header of \(block.size) bytes", block.name)
        }
        startContent(block.size, of: block.entry)
        let bytes = try readContent(limit: limits.maximumExtensionSize)
        try skipContent()
        return bytes
    }

    private func parse(_ bytes: [UInt8], _ name: [UInt8]) throws -> PaxRecords {
        do {
            return try PaxRecords(parsing: bytes[...])
        } catch {
            throw damage(error.what, name)
        }
    }

    private func mergeGlobal(_ bytes: [UInt8]) throws {
        let records = try parse(bytes, Array("global header".utf8))
        // A name or size for every entry to come makes no sense but to confuse readers.
        for key in ["path", "linkpath", "size"] where records.values[key] != nil {
            throw Failure(.integrity, "has a global PAX header that sets \(key)", at: place)
        }
        guard records.sparse.isEmpty else {
            throw Failure(.integrity, "has a global PAX header that makes every file sparse", at: place)
        }
        globalRecords.merge(records)
        // Each header is bounded; without this their sum would not be.
        let size = globalRecords.values.reduce(0) { $0 + $1.key.utf8.count + $1.value.count }
        guard size <= limits.maximumExtensionSize else {
            throw Failure(
                .integrity, "has global PAX headers of more than \(limits.maximumExtensionSize) bytes", at: place)
        }
    }

    // MARK: Entries

    private func begin(_ block: Block, _ records: PaxRecords, longName: [UInt8]?, longLink: [UInt8]?) throws -> TarEntry
    {
        entries += 1
        guard entries <= limits.maximumEntries else {
            throw Failure(.integrity, "has more than \(limits.maximumEntries) entries", at: place)
        }
        var entry = block.entry
        entry.name = try onlyName(records["path"], longName, block.name) ?? block.name
        entry.linkName = try onlyName(records["linkpath"], longLink, block.name) ?? block.linkName
        entry.name = try sparseName(records, entry.name)
        let format = try sparseFormat(block, records, entry.name)
        do {
            entry.size = try records.number("size") ?? block.size
            if let user = try records.number("uid") { entry.userID = UInt32(truncatingIfNeeded: user) }
            if let group = try records.number("gid") { entry.groupID = UInt32(truncatingIfNeeded: group) }
            if let time = try records.time("mtime") { (entry.modified, entry.modifiedNanoseconds) = time }
        } catch {
            throw damage(error.what, entry.name)
        }
        entry.extendedAttributes = records.extendedAttributes
        entry.kind = try kind(block.typeFlag, entry)
        // Links, folders and devices have no content whatever their size says: containerd reads them so, and so must we.
        switch entry.kind {
        case .file, .other: break
        default: entry.size = 0
        }
        startContent(entry.size, of: entry)
        if let format {
            guard entry.kind == .file else { throw damage("has a sparse map, but is no file", entry.name) }
            let map = try sparseMap(format, entry.name)
            try count(map, entry.name)
            sparse = TarSparsePosition(map)
            entry.size = map.size
        }
        return entry
    }

    /// Bounds the sparse files of the archive together: their holes count like bytes that were unpacked.
    private func count(_ map: TarSparseMap, _ name: [UInt8]) throws {
        let (sum, overflows) = expanded.addingReportingOverflow(map.size)
        expanded = overflows ? .max : sum
        let place = "\(place): \(String(decoding: name, as: UTF8.self))"
        try limits.sparse.check(packed: archived, unpacked: expanded, place: place)
    }

    private func onlyName(_ pax: [UInt8]?, _ gnu: [UInt8]?, _ name: [UInt8]) throws -> [UInt8]? {
        if let pax, let gnu, pax != gnu { throw damage("has two long names that differ", name) }
        return pax ?? gnu
    }

    private func kind(_ flag: UInt8, _ entry: TarEntry) throws -> TarEntry.Kind {
        switch flag {
        case 0 where entry.name.last == UInt8(ascii: "/"):
            return .folder  // Before POSIX, folders were told by their name.
        case 0, UInt8(ascii: "0"), UInt8(ascii: "7"), TarSparseMap.typeFlag:
            guard entry.name.last != UInt8(ascii: "/") else {
                throw damage("is a file with the name of a folder", entry.name)
            }
            return .file
        case UInt8(ascii: "1"): return .hardLink
        case UInt8(ascii: "2"): return .symbolicLink
        case UInt8(ascii: "3"): return .characterDevice
        case UInt8(ascii: "4"): return .blockDevice
        case UInt8(ascii: "5"): return .folder
        case UInt8(ascii: "6"): return .fifo
        default: return .other(flag)
        }
    }

    private func startContent(_ size: Int64, of entry: TarEntry) {
        current = entry
        sparse = nil
        archived = archived.addingReportingOverflow(size).partialValue
        remaining = size
        padding = TarHeader.padding(size)
    }

    private func skipContent() throws {
        sparse = nil
        remaining -= try input.skip(remaining)
        while try withContent({ _ in }) != nil {}
        guard padding > 0 else { return }
        try input.fill(atLeast: padding)
        guard input.available.count >= padding else {
            throw damage("ends in the middle of the content", current?.name ?? [])
        }
        input.consume(padding)
        padding = 0
    }

    /// Reads what stands behind the end mark: writers fill their last record with zeros, nothing else may come.
    private func finish() throws {
        isAtEnd = true
        repeat {
            guard input.available.allSatisfy({ $0 == 0 }) else {
                throw Failure(.integrity, "has bytes behind its end mark", at: place)
            }
            input.consume(input.available.count)
            try input.fill(atLeast: 1)
        } while !input.available.isEmpty
    }

    func damage(_ what: String, _ name: [UInt8]) -> Failure {
        Failure(.integrity, what, at: "\(place): \(String(decoding: name, as: UTF8.self))")
    }
}

/// A stretch of an entry's content.
public enum TarStretch {
    /// Bytes that the archive has; valid during the call that gets them.
    case data(UnsafeRawBufferPointer)
    /// So many zeros that a sparse file does without.
    case hole(Int64)
}
