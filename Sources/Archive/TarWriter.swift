import Report

/// Writes a tar archive: ustar, with PAX records where ustar does not suffice. The same entries give the same bytes.
public final class TarWriter {
    private let sink: any ByteSink
    private var block = [UInt8](repeating: 0, count: TarHeader.blockSize)
    private var remaining: Int64 = 0
    private var padding = 0

    /// Makes a writer; nothing is written yet.
    public init(_ sink: any ByteSink) {
        self.sink = sink
    }

    /// Writes an entry's header. A file's content, exactly `entry.size` bytes, follows by `write`.
    ///
    /// A folder's name gets its `/` here. Names of users and groups are never written.
    ///
    /// - Throws: `Failure` of kind `software` when the entry before lacks content, `invalidInput` when a name holds a NUL.
    public func begin(_ entry: TarEntry) throws {
        try endContent()
        guard !entry.name.isEmpty, !entry.name.contains(0), !entry.linkName.contains(0), entry.size >= 0 else {
            throw Failure(.invalidInput, "cannot be written to a tar archive", at: entry.displayName)
        }
        var entry = entry
        if entry.kind == .folder, entry.name.last != UInt8(ascii: "/") { entry.name.append(UInt8(ascii: "/")) }
        let size = entry.kind == .file ? entry.size : 0
        let records = fillHeader(entry, size: size)
        if !records.isEmpty {
            let sealed = block
            let bytes = PaxRecords.encode(records)
            _ = fillHeader(
                TarEntry(.other(UInt8(ascii: "x")), name: Array("PaxHeader".utf8), permissions: 0o644),
                size: Int64(bytes.count)
            )
            try sink.write(block)
            try sink.write(bytes)
            try writeZeros(TarHeader.padding(Int64(bytes.count)))
            block = sealed
        }
        try sink.write(block)
        remaining = size
        padding = TarHeader.padding(size)
    }

    /// Writes content of the entry that was begun last.
    ///
    /// - Throws: `Failure` of kind `software` when it is more than the entry's size.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        guard Int64(bytes.count) <= remaining else {
            throw Failure(.software, "a tar entry gets more content than its size")
        }
        try sink.write(bytes)
        remaining -= Int64(bytes.count)
    }

    /// Writes the end mark and finishes the sink.
    public func finish() throws {
        try endContent()
        try writeZeros(2 * TarHeader.blockSize)
        try sink.finish()
    }

    private func endContent() throws {
        guard remaining == 0 else { throw Failure(.software, "a tar entry lacks \(remaining) bytes of content") }
        try writeZeros(padding)
        padding = 0
    }

    private func writeZeros(_ count: Int) throws {
        if count > 0 { try sink.write([UInt8](repeating: 0, count: count)) }
    }

    // MARK: Headers

    /// Fills `block` and gives the PAX records for what did not fit.
    private func fillHeader(_ entry: TarEntry, size: Int64) -> [(key: String, value: [UInt8])] {
        var records: [(key: String, value: [UInt8])] = []
        for index in block.indices { block[index] = 0 }
        if entry.name.contains(where: { $0 >= 0x80 }) || !putName(entry.name) {
            TarHeader.put(
                entry.name.prefix(100).map { $0 < 0x80 ? $0 : UInt8(ascii: "_") }, into: &block, TarHeader.name)
            records.append(("path", entry.name))
        }
        TarHeader.put(
            entry.linkName.prefix(100).map { $0 < 0x80 ? $0 : UInt8(ascii: "_") }, into: &block, TarHeader.linkName)
        if entry.linkName.count > 100 || entry.linkName.contains(where: { $0 >= 0x80 }) {
            records.append(("linkpath", entry.linkName))
        }
        _ = TarHeader.put(Int64(entry.permissions & 0o7777), into: &block, TarHeader.mode)
        putNumber(size, TarHeader.size, "size", &records)
        putNumber(Int64(entry.userID), TarHeader.userID, "uid", &records)
        putNumber(Int64(entry.groupID), TarHeader.groupID, "gid", &records)
        putTime(entry, &records)
        if entry.kind == .characterDevice || entry.kind == .blockDevice {
            _ = TarHeader.put(Int64(entry.deviceMajor), into: &block, TarHeader.deviceMajor)
            _ = TarHeader.put(Int64(entry.deviceMinor), into: &block, TarHeader.deviceMinor)
        }
        for (name, value) in entry.extendedAttributes.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) })
        {
            records.append((PaxRecords.extendedAttributeKey(name), value))
        }
        block[TarHeader.typeFlag] = typeFlag(entry.kind)
        TarHeader.put(Array("ustar\0".utf8), into: &block, TarHeader.magic)
        TarHeader.put(Array("00".utf8), into: &block, TarHeader.version)
        TarHeader.seal(&block)
        // Names that are no UTF-8 have to be declared (POSIX.1-2017 pax, hdrcharset).
        let isText = [entry.name, entry.linkName].allSatisfy { String(validating: $0, as: UTF8.self) != nil }
        if !isText { records.insert(("hdrcharset", Array("BINARY".utf8)), at: 0) }
        return records
    }

    /// Puts the name into the name field, or cuts it at a slash into prefix and name; false when neither fits.
    private func putName(_ name: [UInt8]) -> Bool {
        if name.count <= TarHeader.name.count {
            TarHeader.put(name, into: &block, TarHeader.name)
            return true
        }
        guard name.count <= TarHeader.prefix.count + 1 + TarHeader.name.count,
            let slash = name[..<min(name.count - 1, TarHeader.prefix.count + 1)].lastIndex(of: UInt8(ascii: "/")),
            slash > 0, name.count - slash - 1 <= TarHeader.name.count
        else { return false }
        TarHeader.put(name[..<slash], into: &block, TarHeader.prefix)
        TarHeader.put(name[(slash + 1)...], into: &block, TarHeader.name)
        return true
    }

    private func putNumber(
        _ value: Int64,
        _ field: Range<Int>,
        _ key: String,
        _ records: inout [(key: String, value: [UInt8])]
    ) {
        guard !TarHeader.put(value, into: &block, field) else { return }
        _ = TarHeader.put(0, into: &block, field)
        records.append((key, Array(String(value).utf8)))
    }

    private func putTime(_ entry: TarEntry, _ records: inout [(key: String, value: [UInt8])]) {
        let fits = TarHeader.put(entry.modified, into: &block, TarHeader.modified)
        guard !fits || entry.modifiedNanoseconds != 0 else { return }
        if !fits { _ = TarHeader.put(0, into: &block, TarHeader.modified) }
        // "-1.25" is a second and a quarter before 1970, while the fields count the quarter forwards.
        let isBefore = entry.modified < 0 && entry.modifiedNanoseconds != 0
        let seconds = isBefore ? entry.modified + 1 : entry.modified
        let nanoseconds = isBefore ? 1_000_000_000 - entry.modifiedNanoseconds : entry.modifiedNanoseconds
        var text = "\(isBefore && seconds == 0 ? "-" : "")\(seconds)"
        if nanoseconds != 0 {
            let digits = String(nanoseconds)
            text += "." + String(repeating: "0", count: 9 - digits.utf8.count) + digits
        }
        records.append(("mtime", Array(text.utf8)))
    }

    private func typeFlag(_ kind: TarEntry.Kind) -> UInt8 {
        switch kind {
        case .file: UInt8(ascii: "0")
        case .hardLink: UInt8(ascii: "1")
        case .symbolicLink: UInt8(ascii: "2")
        case .characterDevice: UInt8(ascii: "3")
        case .blockDevice: UInt8(ascii: "4")
        case .folder: UInt8(ascii: "5")
        case .fifo: UInt8(ascii: "6")
        case .other(let flag): flag
        }
    }
}
