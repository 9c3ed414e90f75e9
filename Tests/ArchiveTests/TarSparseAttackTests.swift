import Archive
import Report
import TestSupport
import Testing

/// Sparse maps that are damaged, that lie, or that two readers read in two ways.
@Suite struct TarSparseAttackTests {
    @discardableResult
    func refusal(
        _ bytes: [UInt8], of name: String = "sparse", limits: TarLimits = TarLimits(), _ comment: Comment = "",
        sourceLocation: SourceLocation = #_sourceLocation
    ) -> Failure? {
        let failure = #expect(throws: Failure.self, comment, sourceLocation: sourceLocation) {
            let tar = TarReader(MemorySource(bytes), limits: limits, place: "bad.tar")
            // The content as well: a map that does not fit must not be found out by whoever reads it.
            while try tar.next() != nil { Issue.record("was accepted: \(comment)", sourceLocation: sourceLocation) }
        }
        #expect(failure?.kind == .integrity, comment, sourceLocation: sourceLocation)
        #expect(failure?.place == "bad.tar: \(name)", comment, sourceLocation: sourceLocation)
        return failure
    }

    static let block = [UInt8](repeating: 7, count: 512)

    /// Maps that are wrong in every format. An archive goes on behind them, so that nothing is missing.
    @Test(arguments: SparseFormat.allCases) func mapsThatLieAreRefused(format: SparseFormat) {
        let (two, block) = (Self.block + Self.block, Self.block)
        let maps: [(String, RawSparse)] = [
            ("overlapping", RawSparse(size: 9000, pieces: [(0, 512), (511, 512)], data: two)),
            ("the same twice", RawSparse(size: 9000, pieces: [(0, 512), (0, 512)], data: two)),
            ("out of order", RawSparse(size: 9000, pieces: [(4096, 512), (0, 512)], data: two)),
            // Python goes over some of these.
            ("an empty piece before another", RawSparse(size: 9000, pieces: [(0, 0), (512, 512)], data: block)),
            ("two empty pieces", RawSparse(size: 9000, pieces: [(512, 0), (9000, 0)], data: [])),
            ("beyond the end", RawSparse(size: 1000, pieces: [(500, 512)], data: block)),
            ("wholly beyond the end", RawSparse(size: 1000, pieces: [(1001, 0)], data: [])),
            ("an offset that overflows", RawSparse(size: 1000, pieces: [(.max, 512)], data: block)),
            ("a length that overflows", RawSparse(size: 1000, pieces: [(0, 512), (512, .max)], data: two)),
            ("a negative offset", RawSparse(size: 1000, pieces: [(-512, 512)], data: block)),
            ("a negative length", RawSparse(size: 1000, pieces: [(512, -512)], data: block)),
            ("a negative size", RawSparse(size: -1, pieces: [], data: [])),
            ("more data than the map has", RawSparse(size: 9000, pieces: [(0, 512)], data: two)),
            ("less data than the map has", RawSparse(size: 9000, pieces: [(0, 512), (512, 512)], data: block)),
            ("data without a map", RawSparse(size: 9000, pieces: [], data: block)),
            ("no data for a map", RawSparse(size: 9000, pieces: [(0, 512)], data: [])),
            // GNU tar goes to the next block for the second piece, Go and libarchive do not.
            ("a piece that ends in a block", RawSparse(size: 9000, pieces: [(0, 511), (600, 513)], data: two)),
            // GNU tar ends the file with the last piece, others make it as long as it says.
            ("an end before the file's", RawSparse(size: 9000, pieces: [(0, 512)], data: block, isOpen: true)),
            ("an end without a piece", RawSparse(size: 9000, pieces: [], data: [], isOpen: true)),
            ("a petabyte", RawSparse(size: 1 << 50, pieces: [(0, 512)], data: block)),
            ("the largest size", RawSparse(size: .max, pieces: [(0, 512)], data: block)),
        ]
        for (what, map) in maps {
            refusal(map.entry(format) + RawTar.entry("0", "next", block) + RawTar.end, "\(what)")
        }
        // What is right about them is enough.
        let honest = RawSparse(size: 9000, pieces: [(0, 512), (512, 512)], data: two)
        let tar = TarReader(MemorySource(honest.entry(format) + RawTar.end), place: "t")
        #expect(throws: Never.self) { while try tar.next() != nil {} }
    }

    @Test(arguments: SparseFormat.allCases) func endlessMapsAreRefused(format: SparseFormat) {
        let pieces = (0..<50).map { (offset: $0 * 1000, length: 512) }
        let file = RawSparse(size: 100_000, pieces: pieces, data: pieces.flatMap { _ in Self.block })
        refusal(file.entry(format) + RawTar.end, limits: TarLimits(maximumSparsePieces: 50))
        let tar = TarReader(
            MemorySource(file.entry(format) + RawTar.end), limits: TarLimits(maximumSparsePieces: 51), place: "t")
        #expect(throws: Never.self) { while try tar.next() != nil {} }
        // By default some other limit may come first: that of the extension headers.
        let endless = (0..<200_000).map { (offset: $0 * 512, length: 512) }
        let many = RawSparse(size: 512 * 200_000, pieces: endless, data: [])
        let failure = #expect(throws: Failure.self) {
            let tar = TarReader(MemorySource(many.entry(format) + RawTar.end), place: "bad.tar")
            while try tar.next() != nil {}
        }
        #expect(failure?.kind == .integrity)
    }

    @Test(arguments: [SparseFormat.pax00, .pax01, .pax10]) func wrongCountsAreRefused(format: SparseFormat) {
        for count in [0, 1, 2, 4, 1_000_000, .max, -2] {
            var file = RawSparse(size: 9000, pieces: [(0, 512), (1024, 512)], data: Self.block + Self.block)
            file.count = count
            refusal(file.entry(format) + RawTar.end, "\(count)")
        }
    }

    @Test func recordsThatDoNotFitEachOtherAreRefused() {
        let size = ("size", "0")
        let none = ("numblocks", "0")
        let one = ("numblocks", "1")
        let records: [[(String, String)]] = [
            [("major", "1")], [("minor", "0")], [("name", "sparse")], [size], [("map", "0,0")], [("realsize", "0")],
            [size, none, ("offset", "0")], [size, one, ("numbytes", "0"), ("offset", "0")],
            [size, one, ("offset", "0"), ("offset", "0")],
            [size, one, ("map", "0,0"), ("offset", "0"), ("numbytes", "0")],
            [size, one, ("map", "0")], [size, one, ("map", "0,0,")],
            [size, one, ("map", "0, 0")], [size, one, ("map", "+0,0")],
            [size, none, ("map", "")], [size, size, none], [("size", ""), none], [("numblocks", "0"), ("map", "0,0")],
            [size, none, ("realsize", "0")], [size, none, ("colour", "red")], [("size", "1e3"), none],
            [("major", "0"), ("minor", "1"), size, none], [("major", "2"), ("minor", "0"), ("realsize", "0")],
            [("major", "1"), ("minor", "1"), ("realsize", "0")], [("major", "1"), ("minor", "0")],
            [("major", "1"), ("minor", "0"), ("realsize", "0"), size],
            [("major", "1"), ("minor", "0"), ("realsize", "0"), ("offset", "0"), ("numbytes", "0")],
            [("major", "1"), ("minor", "0"), ("realsize", "")],
        ]
        for records in records {
            // Each is followed by a map of no pieces, so that nothing but the records is wrong.
            let content = RawSparse.blocks(Array("0\n".utf8))
            let isFirst = records.contains { $0.0 == "major" }
            let entry = RawTar.entry("0", "sparse", isFirst ? content : [])
            refusal(RawSparse.pax(records) + entry + RawTar.end, "\(records)")
        }
    }

    @Test func mapsInTheContentAreReadToTheByte() {
        let records = RawSparse.pax([("major", "1"), ("minor", "0"), ("realsize", "6")])
        func entry(_ map: String) -> [UInt8] {
            records + RawTar.entry("0", "sparse", RawSparse.blocks(Array(map.utf8)) + [7]) + RawTar.end
        }
        let tar = TarReader(MemorySource(entry("1\n5\n1\n")), place: "t")
        #expect(throws: Never.self) { while try tar.next() != nil {} }
        for map in [
            "1\n5\n1", "1\n5\n", "2\n5\n1\n", "1\n\n5\n1\n", " 1\n5\n1\n", "1\n+5\n1\n", "1\n-5\n1\n", "1\n0x5\n1\n",
            "1 5 1\n", "1,5,1\n", "1\r\n5\r\n1\r\n", "1\n5\n1\nmore", "1\n5\n1\n\n", "1\n0000000000000000005\n1\n",
            "1\n5\n1\n\0\0x", "\n", String(repeating: "1", count: 600),
        ] {
            refusal(entry(map), "\(map.debugDescription)")
        }
        // A map that takes more than there is would have the next header read as its rest.
        let long = "100\n" + String(repeating: "0\n0\n", count: 100)
        refusal(records + RawTar.entry("0", "sparse", Array(long.utf8.prefix(100))) + RawTar.end)
        refusal(records + RawTar.entry("0", "sparse", []) + RawTar.end)
    }

    @Test func gnuMapsWithGapsAreRefused() {
        let many = RawSparse(
            size: 100_000, pieces: (0..<30).map { (offset: $0 * 1024, length: 512) },
            data: (0..<30).flatMap { _ in Self.block })
        let few = RawSparse(size: 9000, pieces: [(0, 512), (1024, 512)], data: Self.block + Self.block)
        var part = few
        part.isOpen = true
        let open = part.gnu(edit: { $0[482] = 1 })
        func clear(_ range: Range<Int>) -> (inout [UInt8]) -> Void {
            { $0.replaceSubrange(range, with: [UInt8](repeating: 0, count: range.count)) }
        }
        for bytes in [
            // A place in the middle is empty, in the header and behind it.
            few.gnu(edit: { block in
                block.replaceSubrange(434..<482, with: Array(block[410..<458]))
                clear(410..<434)(&block)
            }),
            many.gnu(editBlock: { block in
                guard block[504] == 0 else { return }
                block.replaceSubrange(24..<504, with: Array(block[0..<480]))
                clear(0..<24)(&block)
            }),
            // The header has places free, and still a block follows.
            open[..<512] + RawSparse.blocks(RawSparse.place((9000, 0))) + open[512...],
            // Half a place.
            few.gnu(edit: clear(410..<422)), few.gnu(edit: clear(422..<434)),
            // Digits that are none.
            few.gnu(edit: { $0[390] = UInt8(ascii: "x") }), few.gnu(edit: { $0[490] = UInt8(ascii: "x") }),
            // Another maker's format.
            few.gnu(edit: { $0.replaceSubrange(257..<265, with: Array("ustar\u{0}00".utf8)) }),
            few.gnu(edit: {
                $0.replaceSubrange(508..<512, with: Array("tar\0".utf8)); $0[262] = 0
            }),
        ] {
            refusal(bytes + RawTar.entry("0", "next") + RawTar.end)
        }
        // The map goes on where the archive ends.
        let whole = many.gnu()
        for length in [512, 700, 1024] { refusal(Array(whole[..<length])) }
    }

    @Test func twoMapsAreRefused() {
        let file = RawSparse(size: 1000, pieces: [(0, 512)], data: Self.block)
        for format in [SparseFormat.pax00, .pax01, .pax10] {
            let records = Array(file.entry(format).prefix(1024))
            refusal(records + file.gnu() + RawTar.end, "\(format)")
        }
        refusal(RawTar.pax([("size", "512")]) + file.gnu() + RawTar.end)
    }

    @Test func onlyFilesAreSparse() {
        for flag in ["1", "2", "3", "5", "6", "9"] as [Character] {
            let records = RawSparse.pax([("size", "0"), ("numblocks", "0")])
            refusal(records + RawTar.entry(flag, "sparse", linkName: "x") + RawTar.end, "\(flag)")
        }
        refusal(RawSparse(name: "sparse/", size: 0, pieces: [], data: []).gnu() + RawTar.end, of: "sparse/")
    }

    @Test func namesThatDifferAreRefused() {
        for format in [SparseFormat.pax01, .pax10] {
            var file = RawSparse(name: "etc/passwd", size: 512, pieces: [(0, 512)], data: Self.block)
            for header in [
                "etc/other", "usr/GNUSparseFile.1/passwd", "etc/GNUSparseFile.1/shadow", "etc/GNUSparseFile.x/passwd",
                "etc/GNUSparseFile./passwd", "etc/passwd/GNUSparseFile.1", "etc/GNUSparseFile.1/passwd-", "passwd",
                "etc/GNUSparseFile.1/",
            ] {
                file.headerName = header
                refusal(file.entry(format) + RawTar.end, of: "etc/passwd", "\(header)")
            }
            file.headerName = nil
            // The header's name gives way to PAX and to a long name, and they are what must fit.
            let map = Array(file.entry(format))
            let both = RawTar.pax(
                [("path", "etc/other"), ("GNU.sparse.size", "0"), ("GNU.sparse.numblocks", "0")]
                    + [("GNU.sparse.name", "etc/passwd")])
            refusal(both + RawTar.entry("0", "etc/passwd") + RawTar.end, of: "etc/passwd")
            refusal(
                RawTar.entry("L", "././@LongLink", Array("etc/other\0".utf8)) + map + RawTar.end, of: "etc/passwd")
        }
    }

    @Test func globalHeadersMakeNothingSparse() {
        for records in [[("GNU.sparse.name", "x")], [("GNU.sparse.offset", "0")]] {
            let failure = #expect(throws: Failure.self) {
                let bytes = RawTar.pax(records, flag: "g") + RawTar.entry("0", "a") + RawTar.end
                let tar = TarReader(MemorySource(bytes), place: "bad.tar")
                while try tar.next() != nil {}
            }
            #expect(failure?.place == "bad.tar")
            #expect(failure?.what.contains("global") == true)
        }
    }

    @Test(arguments: SparseFormat.allCases) func sparseBombsAreRefused(format: SparseFormat) throws {
        var limits = TarLimits()
        limits.sparse = DecompressionLimits(maximumSize: 10_000_000, maximumRatio: 100, ratioAppliesAbove: 1_000_000)
        func read(_ sizes: [Int], data: Int = 0) throws {
            let files = sizes.map { size in
                RawSparse(
                    name: "f\(size)", size: size, pieces: data > 0 ? [(0, data)] : [],
                    data: [UInt8](repeating: 1, count: data))
            }
            let bytes = files.flatMap { $0.entry(format) } + RawTar.end
            let tar = TarReader(MemorySource(bytes), limits: limits, place: "t")
            while try tar.next() != nil {}
        }
        try read([1_000_000])
        try read([1_000_001], data: 100_000)
        try read([9_999_990], data: 110_000)
        #expect(throws: Failure.self) { try read([1_000_001]) }
        #expect(throws: Failure.self) { try read([10_000_001], data: 110_000) }
        // Many that are each small enough.
        let sum = #expect(throws: Failure.self) { try read(Array(400_000..<400_010)) }
        #expect(sum?.place == "t: f400002")
        let ratio = #expect(throws: Failure.self) { try read([5_000_000], data: 20_000) }
        #expect(ratio?.what.contains("bomb") == true)
    }

    @Test(arguments: SparseFormat.allCases) func aCutAnywhereIsAnError(format: SparseFormat) {
        let file = RawSparse(
            size: 50_000, pieces: (0..<30).map { (offset: $0 * 1024, length: 512) },
            data: (0..<30).flatMap { _ in Self.block })
        let whole = file.entry(format)
        for length in stride(from: 1, to: whole.count, by: 61) {
            let failure = #expect(throws: Failure.self, "cut at \(length)") {
                let tar = TarReader(MemorySource(Array(whole[..<length])), place: "bad.tar")
                while try tar.next() != nil {
                    while try tar.withContent({ _ in }) != nil {}
                }
            }
            #expect(failure?.kind == .integrity)
        }
    }

    /// Random damage to maps: refused, or read as a file of exactly the size that the entry says.
    @Test(arguments: SparseFormat.allCases, 0..<5) func randomDamageNeverCrashes(format: SparseFormat, seed: Int) throws
    {
        var random = SeededGenerator(seed: UInt64(seed))
        let file = RawSparse(
            size: 60_000, pieces: (0..<28).map { (offset: $0 * 2000, length: 512) }, data: random.bytes(28 * 512))
        let healthy = file.entry(format) + RawTar.entry("0", "next", random.bytes(700)) + RawTar.end
        let digits = Array("0123456789,\n\0 -".utf8)
        var limits = TarLimits()
        limits.sparse.ratioAppliesAbove = 1 << 22
        for _ in 0..<300 {
            var bytes = healthy
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                // Mostly where headers and maps are.
                let index = Int.random(in: 0..<min(bytes.count, 3000), using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                default: bytes[index] = digits.randomElement(using: &random) ?? 0
                }
            }
            TarDamageTests.repairChecksums(&bytes)
            do {
                let tar = TarReader(MemorySource(bytes), limits: limits, place: "bad.tar")
                while let entry = try tar.next() {
                    var size: Int64 = 0
                    while try tar.withContent({ size += Int64($0.count) }) != nil {}
                    #expect(size == entry.size)
                }
            } catch let failure as Failure {
                #expect(failure.kind == .integrity)
            }
        }
    }
}
