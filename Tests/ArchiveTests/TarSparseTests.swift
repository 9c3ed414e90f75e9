import Archive
import Glibc
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

/// Sparse files in archives, from honest writers.
@Suite struct TarSparseTests {
    /// Files with holes in the middle, at either end, everywhere, and none; long names; more pieces than a header has room for.
    func makeFiles(_ root: FilePath) throws {
        let long = Array(repeating: "component", count: 14).joined(separator: "/")
        try shell(
            """
            mkdir -p '\(root)/\(long)' && cd '\(root)'
            for n in $(seq 0 59); do echo "piece $n" | dd of=many bs=65536 seek=$n conv=notrunc status=none; done
            truncate -s 5M many; truncate -s 3M hole; truncate -s 1M odd; echo 'an odd end' >> odd
            head -c 70000 /dev/urandom > front; truncate -s 2M front; head -c 9999 /dev/urandom > plain
            cp --sparse=always many '\(long)/deep'; : > empty
            """
        )
    }

    @Test(arguments: SparseFormat.allCases) func whatGnuTarPacksComesBack(format: SparseFormat) throws {
        let scratch = try Scratch()
        let (source, target) = (scratch.path.appending("s"), scratch.path.appending("t"))
        try makeFiles(source)
        try Folder.make(target)
        // Looking for zeros makes the same map on every file system.
        try shell(
            "cd '\(scratch.path)' && tar \(format.options) --hole-detection=raw -C s -cf t.tar . && gzip -k t.tar")
        try #require(read(scratch.path.appending("t.tar")).count < 500_000)

        let (compression, layer) = try Compression.decoderByContent(
            try FileSource(scratch.path.appending("t.tar.gz")), place: "layer")
        #expect(compression == .gzip)
        let summary = try LayerExtractor(into: target).extract(layer, place: "layer")
        #expect(try snapshot(target) == snapshot(source))
        #expect(
            summary.bytes
                == Int64(
                    try shell("find '\(source)' -type f -printf '%s\\n' | paste -sd+ | bc")
                        .split(separator: "\n")[0]))
        // Holes take no blocks: 60 pieces are at most 60 pages.
        #expect(
            try shell("cd '\(target)' && stat -c '%n %s %b' many hole | awk '{ print $1, $2, $3 * 512 <= 300000 }'")
                == "many 5242880 1\nhole 3145728 1\n")

        // Whoever reads the content sees it whole.
        let tar = TarReader(try FileSource(scratch.path.appending("t.tar")), place: "t.tar")
        var files = 0
        while let entry = try tar.next() {
            guard entry.kind == .file else { continue }
            files += 1
            let expected = try read(source.appending(FilePath(entry.displayName).lexicallyNormalized().string))
            #expect(entry.size == Int64(expected.count))
            #expect(try tar.readContent(limit: 1 << 24).elementsEqual(expected), "\(entry.displayName)")
        }
        #expect(files == 7)
    }

    /// A map as no honest file system makes it, but an honest one; every piece but the last fills its blocks.
    func random(_ random: inout SeededGenerator, name: String) -> RawSparse {
        var pieces: [(offset: Int, length: Int)] = []
        var end = 0
        // Without any piece GNU tar refuses 0.0 and 0.1.
        let count = Int.random(in: 1...40, using: &random)
        for index in 0..<count {
            let gap = Bool.random(using: &random) ? 0 : Int.random(in: 0...20_000, using: &random)
            var length = 512 * Int.random(in: 1...20, using: &random)
            if index == count - 1 { length = Int.random(in: 0...3000, using: &random) }
            pieces.append((end + gap, length))
            end += gap + length
        }
        let size = end + (Bool.random(using: &random) ? 0 : Int.random(in: 1...300_000, using: &random))
        return RawSparse(
            name: name, size: size, pieces: pieces, data: random.bytes(pieces.reduce(0) { $0 + $1.length }))
    }

    @Test(arguments: SparseFormat.allCases, 0..<10) func randomMapsReadAsGnuTarReadsThem(
        format: SparseFormat, seed: Int
    ) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        let scratch = try Scratch()
        let files = (0..<12).map { self.random(&random, name: "f\($0)") }
        let bytes = files.flatMap { $0.entry(format) + RawTar.entry("0", "\($0.name).next", [1, 2, 3]) } + RawTar.end
        try write(bytes, to: scratch.path.appending("t.tar"))
        try shell("cd '\(scratch.path)' && mkdir gnu ours && tar -C gnu -xf t.tar")
        try LayerExtractor(into: scratch.path.appending("ours")).extract(MemorySource(bytes), place: "layer")
        #expect(try snapshot(scratch.path.appending("ours")) == snapshot(scratch.path.appending("gnu")))

        let tar = TarReader(MemorySource(bytes), place: "t.tar")
        for file in files {
            let entry = try #require(try tar.next())
            #expect(entry.displayName == file.name)
            #expect(entry.size == Int64(file.size))
            #expect(entry.kind == .file)
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                #expect(try readAll(tar, chunk: Int.random(in: 1...5000, using: &random)).elementsEqual(file.content))
            case 1: #expect(try tar.readContent(limit: file.size).elementsEqual(file.content))
            case 2: #expect(try stretches(tar).elementsEqual(file.content))
            default:
                // The rest of a file is passed over, wherever its reading stands.
                let part = Int.random(in: 0...file.size, using: &random)
                var start: [UInt8] = []
                while start.count < part,
                    try tar.withContent(atMost: part - start.count, { start += $0 }) != nil
                {}
                #expect(start.elementsEqual(file.content.prefix(part)))
            }
            #expect(try tar.next()?.displayName == "\(file.name).next")
            #expect(try tar.readContent(limit: 3) == [1, 2, 3])
        }
        #expect(try tar.next() == nil)
    }

    /// The content by stretches: data and holes in turn, no hole in two parts.
    func stretches(_ tar: TarReader) throws -> [UInt8] {
        var content: [UInt8] = []
        var wasHole = false
        while let isHole = try tar.withStretch({ stretch in
            switch stretch {
            case .data(let chunk):
                content += chunk
                return false
            case .hole(let length):
                content += [UInt8](repeating: 0, count: Int(length))
                return true
            }
        }) {
            #expect(!(wasHole && isHole))
            wasHole = isHole
        }
        return content
    }

    @Test func namesInHeadersMayBeThoseForOtherReaders() throws {
        for (header, name) in [
            ("GNUSparseFile.0/f", "f"), ("./GNUSparseFile.123/f", "./f"), ("./a/b/GNUSparseFile.1/f", "a/b/f"),
            ("a/b/GNUSparseFile.1/f", "./a/b/f"), ("f", "f"), ("a/GNUSparseFile.0/lon", "a/bc/longer"),
        ] {
            var file = RawSparse(name: name, size: 600, pieces: [(0, 1)], data: [7])
            file.headerName = header
            for format in [SparseFormat.pax01, .pax10] {
                let tar = TarReader(MemorySource(file.entry(format) + RawTar.end), place: "t.tar")
                #expect(try tar.next()?.displayName == name)
                #expect(try tar.readContent(limit: 600) == [7] + [UInt8](repeating: 0, count: 599))
            }
        }
    }

    @Test func listingsSeeTheContentWhole() throws {
        let file = RawSparse(
            size: 600_000, pieces: [(1000, 512), (500_000, 9)], data: (0..<521).map { UInt8($0 & 255) })
        var whole = TarEntry.file("sparse")
        whole.size = 600_000
        let sink = MemorySink()
        let writer = TarWriter(sink)
        try writer.begin(whole)
        try file.content.withUnsafeBytes { try writer.write($0) }
        try writer.finish()
        let listings = try ([sink.bytes] + SparseFormat.allCases.map { file.entry($0) + RawTar.end }).map { bytes in
            var listing = TreeListing()
            try listing.apply(MemorySource(bytes), place: "layer") { _, size, next in
                #expect(size == 600_000)
                var sum = 0
                while try next({ for byte in $0 { sum = (sum &* 31) &+ Int(byte) } }) {}
                return "\(sum)"
            }
            return listing.nodes
        }
        #expect(Set(listings).count == 1)
    }

    @Test func holesCountAgainstTheSizeThatMayBeUnpacked() throws {
        let scratch = try Scratch()
        var policy = ExtractionPolicy()
        policy.maximumSize = 1_000_000
        for format in SparseFormat.allCases {
            let fits = RawSparse(name: "fits", size: 999_999, pieces: [], data: [])
            let isTooMuch = RawSparse(name: "more", size: 1002, pieces: [(1000, 1)], data: [1])
            let failure = #expect(throws: Failure.self) {
                _ = try LayerExtractor(into: scratch.path, policy: policy).extract(
                    MemorySource(fits.entry(format) + isTooMuch.entry(format) + RawTar.end), place: "layer")
            }
            #expect(failure?.kind == .integrity)
            #expect(failure?.place == "layer: more")
            #expect(try shell("stat -c '%s %b' '\(scratch.path)/fits'") == "999999 0\n")
        }
    }
}
