import Archive
import Report
import SystemPackage
import TestSupport
import Testing

@Suite struct CompressionTests {
    static let packings = [Compression.gzip, .zstd]

    /// Packs in chunks of random sizes.
    func pack(_ bytes: [UInt8], _ compression: Compression, seed: UInt64 = 1) throws -> [UInt8] {
        var random = SeededGenerator(seed: seed)
        let sink = MemorySink()
        let encoder = try compression.encoder(into: sink)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = min(rest.count, Int.random(in: 1...70_000, using: &random))
            try encoder.write(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        try encoder.finish()
        return sink.bytes
    }

    func unpack(_ bytes: [UInt8], _ compression: Compression, limits: DecompressionLimits = .standard) throws -> [UInt8]
    {
        try readAll(try compression.decoder(MemorySource(bytes), limits: limits, place: "test"))
    }

    @Test(arguments: [Compression.none, .gzip, .zstd], [0, 1, 511, 65_536, 3_000_000])
    func whatIsPackedComesBack(compression: Compression, size: Int) throws {
        var random = SeededGenerator(seed: UInt64(size))
        let bytes = random.bytes(size)
        #expect(try unpack(try pack(bytes, compression), compression) == bytes)
    }

    @Test(arguments: packings) func packingDoesNotDependOnChunks(compression: Compression) throws {
        var random = SeededGenerator(seed: 7)
        let bytes = random.bytes(5_000_000)
        #expect(try pack(bytes, compression, seed: 1) == pack(bytes, compression, seed: 2))
    }

    @Test(arguments: packings, [3_000_000, 8 << 20, 20_000_000]) func packingDoesNotDependOnTheNumberOfWorkers(
        compression: Compression, size: Int
    ) throws {
        var random = SeededGenerator(seed: 8)
        let bytes = random.bytes(size)
        let packed = try [1, 2, 4].map { workers in
            let sink = MemorySink()
            let encoder: any ByteSink =
                compression == .gzip
                ? try GzipEncoder(into: sink, workers: workers) : try ZstdEncoder(into: sink, workers: workers)
            try encoder.write(bytes)
            try encoder.finish()
            return sink.bytes
        }
        #expect(packed[0] == packed[1])
        #expect(packed[0] == packed[2])
        #expect(try unpack(packed[0], compression) == bytes)
    }

    @Test(arguments: packings) func aSinkThatFailsEndsThePacking(compression: Compression) throws {
        final class Full: ByteSink {
            func write(_ bytes: UnsafeRawBufferPointer) throws { throw Failure(.system, "is full", at: "disk") }
            func finish() {}
        }
        var random = SeededGenerator(seed: 9)
        let bytes = random.bytes(30_000_000)
        let failure = #expect(throws: Failure.self) {
            let encoder = try compression.encoder(into: Full())
            try encoder.write(bytes)
            try encoder.finish()
        }
        #expect(failure?.place == "disk")
    }

    @Test(arguments: packings) func severalMembersAreOneStream(compression: Compression) throws {
        let packed = try ["one ", "", "two"].flatMap { try pack(Array($0.utf8), compression) }
        #expect(try unpack(packed, compression) == Array("one two".utf8))
    }

    @Test(arguments: packings) func bytesBehindTheEndAreAnError(compression: Compression) throws {
        for garbage in [[0], [0x1f], [1, 2, 3, 4, 5, 6, 7, 8], Array("garbage".utf8)] as [[UInt8]] {
            let packed = try pack(Array("content".utf8), compression) + garbage
            let failure = #expect(throws: Failure.self) { try unpack(packed, compression) }
            #expect(failure?.kind == .integrity)
            #expect(failure?.place == "test")
        }
    }

    @Test(arguments: packings) func aCutAnywhereIsAnError(compression: Compression) throws {
        var random = SeededGenerator(seed: 3)
        let packed = try pack(random.bytes(2000), compression)
        for length in 0..<packed.count {
            let failure = #expect(throws: Failure.self, "cut at \(length)") {
                try unpack(Array(packed[..<length]), compression)
            }
            #expect(failure?.kind == .integrity)
        }
    }

    @Test(arguments: packings) func changedBytesAreNoticed(compression: Compression) throws {
        var random = SeededGenerator(seed: 4)
        let bytes = random.bytes(20_000)
        let packed = try pack(bytes, compression)
        for _ in 0..<500 {
            var changed = packed
            changed[Int.random(in: 0..<changed.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            do {
                // Some header bits mean nothing (gzip's time, for instance): then the content must be right.
                #expect(try unpack(changed, compression) == bytes)
            } catch let failure as Failure {
                #expect(failure.kind == .integrity)
            }
        }
    }

    @Test(arguments: packings) func aBombIsStopped(compression: Compression) throws {
        let packed = try pack([UInt8](repeating: 0, count: 50_000_000), compression)
        let bySize = #expect(throws: Failure.self) {
            try unpack(packed, compression, limits: DecompressionLimits(maximumSize: 10_000_000))
        }
        #expect(bySize?.what.contains("10000000 bytes") == true)
        let byRatio = #expect(throws: Failure.self) {
            try unpack(
                packed, compression, limits: DecompressionLimits(maximumRatio: 100, ratioAppliesAbove: 1_000_000))
        }
        #expect(byRatio?.what.contains("100 times") == true)
        #expect(try unpack(packed, compression).count == 50_000_000)
    }

    @Test func aHugeZstdWindowIsRefused() throws {
        let scratch = try Scratch()
        // 200 MB, so that zstd does not shrink the window to the content.
        try shell("head -c 200000000 /dev/zero | zstd -q --ultra --long=30 -o '\(scratch.path)/z'")
        let packed = try read(scratch.path.appending("z"))
        let failure = #expect(throws: Failure.self) { try unpack(packed, .zstd) }
        #expect(failure?.kind == .integrity)
    }

    @Test(arguments: packings) func theCommandsUnderstandUsAndWeThem(compression: Compression) throws {
        let scratch = try Scratch()
        let (plain, ours, theirs) = (
            scratch.path.appending("a"), scratch.path.appending("b"), scratch.path.appending("c")
        )
        var random = SeededGenerator(seed: 5)
        let bytes = random.bytes(2_500_000)
        try write(bytes, to: plain)
        try write(try pack(bytes, compression), to: ours)
        let tool = compression.rawValue
        try shell("\(tool) -t < '\(ours)' && \(tool) -dc < '\(ours)' | cmp - '\(plain)'")
        // Two members, as `cat a.gz b.gz` makes them.
        try shell("(head -c 1000000 '\(plain)' | \(tool) -c; tail -c +1000001 '\(plain)' | \(tool) -c) > '\(theirs)'")
        #expect(try readAll(try compression.decoder(try FileSource(theirs), place: "theirs")) == bytes)
    }

    @Test func contentTellsTheCompression() throws {
        for compression in Compression.allCases {
            let packed = try pack(Array("some content".utf8), compression)
            let (found, source) = try Compression.decoderByContent(MemorySource(packed), place: "test")
            #expect(found == compression)
            #expect(try readAll(source) == Array("some content".utf8))
        }
        let (found, source) = try Compression.decoderByContent(MemorySource([0x1f]), place: "test")
        #expect(found == .none)
        #expect(try readAll(source) == [0x1f])
        #expect(Compression.detect([0x51, 0x2a, 0x4d, 0x18]) == .zstd)
    }

    @Test(arguments: [
        ("application/vnd.oci.image.layer.v1.tar", Compression.none),
        ("application/vnd.oci.image.layer.v1.tar+gzip", .gzip),
        ("application/vnd.oci.image.layer.v1.tar+zstd", .zstd),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", .gzip),
        ("application/json", nil),
    ])
    func mediaTypesTellTheCompression(type: String, expected: Compression?) {
        #expect(Compression(mediaType: type) == expected)
    }

    @Test func aFileThatIsNotThereIsNamed() {
        let failure = #expect(throws: Failure.self) { try FileSource("/nowhere/at/all") }
        #expect(failure?.kind == .notFound)
        #expect(failure?.place == "/nowhere/at/all")
    }
}
