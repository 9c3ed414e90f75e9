/// The PAX records of a sparse file, keys without `GNU.sparse.`.
///
/// GNU tar's three formats share some keys, and readers guess in different ways which one is meant. So only sets that one of the
/// formats has are taken, each key once; all but `offset` and `numbytes`, which 0.0 repeats in turn.
struct TarSparseRecords {
    private var values: [Substring: [UInt8]] = [:]
    private var numbers: [Int64] = []

    /// Takes records in the order of the header.
    init(_ records: [(key: Substring, value: [UInt8])]) throws(TarDamage) {
        for (key, value) in records {
            guard key == "offset" || key == "numbytes" else {
                // Elsewhere the last one holds, and an empty one is as good as none. Maps are not for guessing.
                guard values[key] == nil, !value.isEmpty else {
                    throw TarDamage("has a PAX record GNU.sparse.\(key) that is there twice, or empty")
                }
                values[key] = value
                continue
            }
            guard numbers.count.isMultiple(of: 2) == (key == "offset") else {
                throw TarDamage("has a sparse map whose offsets and lengths do not come in turn")
            }
            numbers.append(try Self.number(value[...]))
        }
    }

    /// Which format they are of.
    func format() throws(TarDamage) -> TarReader.SparseFormat {
        if values["major"] != nil || values["minor"] != nil {
            guard try number("major") == 1, try number("minor") == 0 else {
                throw TarDamage("is a sparse file of an unknown version")
            }
            guard numbers.isEmpty else { throw TarDamage("has two sparse maps") }
            try allowOnly("major", "minor", "name", "realsize")
            return .content(size: try number("realsize"))
        }
        try allowOnly("size", "numblocks", "name", "map")
        var numbers = numbers
        if let map = values["map"] {
            guard numbers.isEmpty else { throw TarDamage("has two sparse maps") }
            for digits in map.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
                numbers.append(try Self.number(digits))
            }
        }
        let size = try number("size")
        guard numbers.count.isMultiple(of: 2), try number("numblocks") == numbers.count / 2 else {
            throw TarDamage("has a sparse map of another length than it says")
        }
        return .records(numbers: numbers, size: size)
    }

    private func number(_ key: Substring) throws(TarDamage) -> Int64 {
        guard let digits = values[key] else {
            throw TarDamage("is a sparse file without the PAX record GNU.sparse.\(key)")
        }
        return try Self.number(digits[...])
    }

    private static func number(_ digits: ArraySlice<UInt8>) throws(TarDamage) -> Int64 {
        guard let number = PaxRecords.decimal(digits) else { throw TarDamage("has a sparse map of damaged numbers") }
        return Int64(number)
    }

    private func allowOnly(_ known: Substring...) throws(TarDamage) {
        for key in values.keys where !known.contains(key) {
            throw TarDamage("is a sparse file with a PAX record GNU.sparse.\(key) that does not fit the others")
        }
    }
}
