import Archive
import Report
import TestSupport
import Testing

/// Archives that are damaged, or made so that two readers see different things.
@Suite struct TarDamageTests {
    func names(_ bytes: [UInt8]) throws -> [String] {
        let reader = TarReader(MemorySource(bytes), place: "bad.tar")
        var names: [String] = []
        while let entry = try reader.next() {
            names.append(entry.displayName)
            _ = try reader.readContent(limit: 1 << 20)
        }
        return names
    }

    func refusal(_ bytes: [UInt8]) -> Failure? {
        let failure = #expect(throws: Failure.self) { try names(bytes) }
        #expect(failure?.kind == .integrity)
        #expect(failure?.place?.hasPrefix("bad.tar") == true)
        return failure
    }

    let honest = RawTar.entry("0", "a", Array("content".utf8)) + RawTar.entry("0", "b") + RawTar.end

    @Test func aCutAnywhereIsAnError() throws {
        #expect(try names(honest) == ["a", "b"])
        // Up to the first block of zeros; GNU tar too is content with one.
        for length in 0..<(honest.count - 1024) { _ = refusal(Array(honest[..<length])) }
        #expect(refusal(Array(honest[..<600]))?.place == "bad.tar: a")
        #expect(refusal(Array(honest[..<1024]))?.what.contains("end mark") == true)
    }

    @Test func bytesBehindTheEndMarkAreAnError() throws {
        #expect(try names(honest + [UInt8](repeating: 0, count: 10_240)) == ["a", "b"])
        #expect(refusal(honest + [UInt8](repeating: 0, count: 300_000) + [1])?.what.contains("behind") == true)
        _ = refusal(honest + RawTar.entry("0", "hidden") + RawTar.end)
    }

    @Test func aWrongChecksumNamesTheEntry() {
        var bytes = honest
        bytes[1024 + 100] ^= 1
        #expect(refusal(bytes)?.place == "bad.tar: b")
    }

    @Test func signedChecksumsOfOldWritersAreAccepted() throws {
        let bytes = RawTar.entry("0", "\u{e9}")  // two bytes above 127
        var sum = 0
        var block = Array(bytes[..<512])
        block.replaceSubrange(148..<156, with: [UInt8](repeating: 0x20, count: 8))
        for byte in block { sum += Int(Int8(bitPattern: byte)) }
        let digits = String(sum, radix: 8)
        let field = String(repeating: "0", count: 6 - digits.utf8.count) + digits + "\0"
        block.replaceSubrange(148..<155, with: field.utf8)
        #expect(try names(block + RawTar.end) == ["é"])
    }

    @Test func paxSizeWins() throws {
        // A reader that believes the ustar size of 0 would take the content for a header and see `hidden`.
        let inner = RawTar.entry("0", "hidden")
        let bytes =
            RawTar.pax([("size", "512")]) + RawTar.entry("0", "outer", statedSize: 0) + inner
            + RawTar.entry("0", "last")
            + RawTar.end
        #expect(try names(bytes) == ["outer", "last"])
    }

    @Test func paxSizeIsNotForTheExtensionHeadersBetween() throws {
        // The size belongs to `real`; a reader that gave it to the long name in between would go astray.
        let long = String(repeating: "n", count: 150)
        let bytes =
            RawTar.pax([("size", "1024")]) + RawTar.entry("L", "././@LongLink", Array(long.utf8) + [0])
            + RawTar.entry("0", "short", statedSize: 0) + [UInt8](repeating: 7, count: 1024) + RawTar.end
        #expect(try names(bytes) == [long])
    }

    @Test func linksAndFoldersHaveNoContent() throws {
        // As containerd's reader: whatever their size says, the next block is a header.
        for flag in ["1", "2", "5", "6", "3"] as [Character] {
            let bytes = RawTar.entry(flag, "x", linkName: "y", statedSize: 512) + RawTar.entry("0", "next") + RawTar.end
            #expect(try names(bytes) == ["x", "next"])
        }
    }

    @Test func globalHeadersApplyUntilOverridden() throws {
        let bytes =
            RawTar.pax([("mtime", "1234567890"), ("comment", "hi")], flag: "g") + RawTar.entry("0", "a")
            + RawTar.pax([("mtime", "5.5")]) + RawTar.entry("0", "b") + RawTar.entry("0", "c") + RawTar.end
        let reader = TarReader(MemorySource(bytes), place: "t")
        #expect(try reader.next()?.modified == 1_234_567_890)
        let second = try reader.next()
        #expect(second?.modified == 5)
        #expect(second?.modifiedNanoseconds == 500_000_000)
        #expect(try reader.next()?.modified == 1_234_567_890)
    }

    @Test(arguments: ["path", "linkpath", "size"]) func globalHeadersMayNotRenameEverything(key: String) {
        _ = refusal(RawTar.pax([(key, "1")], flag: "g") + RawTar.entry("0", "a") + RawTar.end)
    }

    @Test func disagreeingLongNamesAreRefused() {
        let name = RawTar.entry("L", "././@LongLink", Array("gnu\0".utf8))
        _ = refusal(RawTar.pax([("path", "pax")]) + name + RawTar.entry("0", "a") + RawTar.end)
        let link = RawTar.entry("K", "././@LongLink", Array("gnu\0".utf8))
        _ = refusal(RawTar.pax([("linkpath", "pax")]) + link + RawTar.entry("2", "a", linkName: "b") + RawTar.end)
        _ = refusal(name + name + RawTar.entry("0", "a") + RawTar.end)
        _ = refusal(RawTar.pax([("path", "a")]) + RawTar.pax([("path", "b")]) + RawTar.entry("0", "a") + RawTar.end)
    }

    @Test func damagedNumbersAreRefused() {
        for field in [100, 108, 116, 124, 136] {
            _ = refusal(RawTar.entry("0", "a") { $0[field + 2] = UInt8(ascii: "x") } + RawTar.end)
        }
        // Base 256: negative, and beyond 63 bits.
        _ = refusal(RawTar.entry("0", "a") { $0.replaceSubrange(124..<136, with: [UInt8](repeating: 0xff, count: 12)) })
        _ = refusal(
            RawTar.entry("0", "a") { $0.replaceSubrange(124..<136, with: [0x80] + [UInt8](repeating: 0x7f, count: 11)) }
        )
    }

    @Test(arguments: [
        "5 a=b\n", "6 a=b", "x a=b\n", "99 a=b\n", "0 a=b\n", "-6 a=b\n", "5 =b\n", "6 abc\n", "8 a=b\0c\n", "6 a=b\n6",
    ])
    func damagedPaxRecordsAreRefused(records: String) {
        _ = refusal(RawTar.entry("x", "p", Array(records.utf8)) + RawTar.entry("0", "a") + RawTar.end)
    }

    @Test(arguments: [
        ("size", "-1"), ("size", "12x"), ("size", "99999999999999999999"), ("mtime", "x"), ("uid", "1.5"),
    ])
    func damagedPaxNumbersAreRefused(key: String, value: String) {
        _ = refusal(RawTar.pax([(key, value)]) + RawTar.entry("0", "a") + RawTar.end)
    }

    @Test func hugeExtensionsAreRefusedBeforeTheyAreRead() {
        for flag in ["x", "g", "L", "K"] as [Character] {
            #expect(refusal(RawTar.entry(flag, "big", statedSize: 1 << 30))?.what.contains("extension") == true)
        }
        // Many global headers that are each small enough.
        let many = (0..<20).flatMap { RawTar.pax([("key\($0)", String(repeating: "v", count: 100_000))], flag: "g") }
        _ = refusal(many + RawTar.end)
    }

    @Test func aLoneExtensionHeaderIsRefused() {
        _ = refusal(RawTar.pax([("path", "a")]) + RawTar.end)
        _ = refusal(RawTar.entry("L", "././@LongLink", Array("gnu\0".utf8)) + RawTar.end)
    }

    @Test func filesWithNamesOfFoldersAreRefused() throws {
        _ = refusal(RawTar.entry("0", "a/") + RawTar.end)
        #expect(try names(RawTar.entry("\0", "a/") + RawTar.end) == ["a/"])
    }

    @Test func tooManyEntriesAreRefused() {
        let reader = TarReader(MemorySource(honest), limits: TarLimits(maximumEntries: 1), place: "t")
        #expect(throws: Failure.self) { while try reader.next() != nil {} }
    }

    /// Random damage: whatever comes, the reader ends, with entries or with a failure.
    @Test(arguments: 0..<20) func randomDamageNeverCrashes(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        let long = String(repeating: "n", count: 200)
        let healthy =
            RawTar.pax([("path", long), ("mtime", "1.5"), ("SCHILY.xattr.user.a", "b")])
            + RawTar.entry("0", "a", random.bytes(700)) + RawTar.entry("L", "././@LongLink", Array(long.utf8))
            + RawTar.entry("2", "b", linkName: "c") + RawTar.pax([("comment", "c")], flag: "g")
            + RawTar.entry("5", "d/")
            + RawTar.end
        for _ in 0..<300 {
            var bytes = healthy
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: index)
                case 2: bytes.insert(UInt8.random(in: 0...255, using: &random), at: index)
                default: bytes[index] ^= 0x80
                }
            }
            // Checksums that fit let the damage reach what is behind them.
            if Bool.random(using: &random) { Self.repairChecksums(&bytes) }
            do {
                _ = try names(bytes)
            } catch let failure as Failure {
                #expect(failure.kind == .integrity)
            }
        }
    }

    static func repairChecksums(_ bytes: inout [UInt8]) {
        for start in stride(from: 0, to: bytes.count - 511, by: 512) where bytes[start + 257] == UInt8(ascii: "u") {
            bytes.replaceSubrange(start + 148..<start + 156, with: [UInt8](repeating: 0x20, count: 8))
            let sum = bytes[start..<start + 512].reduce(0) { $0 + Int($1) }
            let digits = String(sum, radix: 8)
            let field = String(repeating: "0", count: 6 - digits.utf8.count) + digits + "\0"
            bytes.replaceSubrange(start + 148..<start + 155, with: field.utf8)
        }
    }
}
