import Glibc
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

@testable import Archive

@Suite struct LayerExtractorTests {
    /// Unpacks layers made by hand, lowest first.
    @discardableResult
    func unpack(_ layers: [[(TarEntry, String)]], into root: FilePath, policy: ExtractionPolicy = ExtractionPolicy())
        throws
        -> [ExtractionSummary]
    {
        let extractor = try LayerExtractor(into: root, policy: policy)
        return try layers.map { try extractor.extract(MemorySource(try archive($0)), place: "layer") }
    }

    func tree(_ root: FilePath) throws -> [String] {
        try shell("cd '\(root)' && find . -mindepth 1 -printf '%P\\n' | LC_ALL=C sort").split(separator: "\n").map(
            String.init)
    }

    /// A random tree made with the shell's own tools.
    func makeTree(_ root: FilePath, seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        try Folder.make(root)
        var folders = [""]
        var files: [String] = []
        for number in 0..<60 {
            let parent = folders.randomElement(using: &random) ?? ""
            let pad = String(
                repeating: "x", count: Bool.random(using: &random) ? 0 : Int.random(in: 0...150, using: &random))
            let path = (parent.isEmpty ? "" : parent + "/") + "n\(number)é\(pad)"
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1:
                try Folder.make(root.appending(path))
                folders.append(path)
            case 2:
                try shell("ln -s 'target \(number)' '\(root)/\(path)'")
            case 3 where !files.isEmpty:
                try shell("ln '\(root)/\(files.randomElement(using: &random) ?? "")' '\(root)/\(path)'")
            default:
                let size =
                    Int.random(in: 0..<10, using: &random) == 0 ? 700_000 : Int.random(in: 0...5000, using: &random)
                try write(random.bytes(size), to: root.appending(path))
                let mode = String(UInt32.random(in: 0...0o777, using: &random) | 0o400, radix: 8)
                try shell("chmod \(mode) '\(root)/\(path)'")
                files.append(path)
            }
        }
    }

    @Test(arguments: 0..<12) func randomTreesComeBack(seed: UInt64) throws {
        let scratch = try Scratch()
        let (source, packed, target) = (
            scratch.path.appending("s"), scratch.path.appending("p"), scratch.path.appending("t")
        )
        try makeTree(source, seed: seed)
        try Folder.make(target)
        let compression = Compression.allCases[Int(seed % 3)]
        let file = try FileDescriptor.open(packed, .writeOnly, options: [.create], permissions: [.ownerReadWrite])
        try file.closeAfter {
            let writer = LayerWriter(try compression.encoder(into: FileSink(file, name: packed.string)))
            try writer.add(source, as: "")
            try writer.finish()
        }
        let unpacked = try compression.decoder(try FileSource(packed), place: "layer")
        try LayerExtractor(into: target).extract(unpacked, place: "layer")
        #expect(try snapshot(target) == snapshot(source))
        // GNU tar sees the same in it.
        try shell("cd '\(scratch.path)' && mkdir g && tar -xpf p -C g")
        #expect(try snapshot(scratch.path.appending("g"), times: true) == snapshot(target, times: true))
    }

    @Test(arguments: ["gnu", "pax"]) func weUnpackWhatGnuTarPacks(format: String) throws {
        let scratch = try Scratch()
        let (source, target) = (scratch.path.appending("s"), scratch.path.appending("t"))
        try makeTree(source, seed: 99)
        try Folder.make(target)
        try shell(
            "cd '\(scratch.path)' && find s -exec touch -h -d @1600000000 {} + && tar --format=\(format) -C s -czf p.tgz ."
        )
        let (compression, unpacked) = try Compression.decoderByContent(
            try FileSource(scratch.path.appending("p.tgz")), place: "p.tgz")
        #expect(compression == .gzip)
        try LayerExtractor(into: target).extract(unpacked, place: "p.tgz")
        #expect(try snapshot(target, times: true) == snapshot(source, times: true))
    }

    @Test func laterEntriesReplaceEarlierOnes() throws {
        let scratch = try Scratch()
        try unpack(
            [
                [
                    (.file("file"), "old"), (.folder("folder"), ""), (.file("folder/inner"), "inner"),
                    (.link("link", to: "file"), ""),
                    (.folder("kept"), ""), (.file("kept/inner"), "kept"), (.file("one"), "one"),
                    (.hardLink("two", to: "one"), ""),
                ],
                [
                    (.file("file"), "new"), (.file("folder"), "now a file"), (.file("link"), "now a file"),
                    (.folder("kept", permissions: 0o700), ""), (.file("two"), "alone"), (.folder("one"), ""),
                    (.link("one", to: "file"), ""),
                ],
            ], into: scratch.path)
        #expect(try tree(scratch.path) == ["file", "folder", "kept", "kept/inner", "link", "one", "two"])
        #expect(try text(scratch.path.appending("file")) == "new")
        #expect(try text(scratch.path.appending("folder")) == "now a file")
        #expect(try text(scratch.path.appending("link")) == "now a file")
        #expect(try text(scratch.path.appending("two")) == "alone")
        #expect(try shell("cd '\(scratch.path)'; stat -c %a kept; readlink one") == "700\nfile\n")
    }

    @Test func permissionsAndTimesAreAppliedLast() throws {
        let scratch = try Scratch()
        var locked = TarEntry.folder("locked", permissions: 0o555)
        locked.modified = 1_000_000
        var file = TarEntry.file("locked/file", permissions: 0o4751)
        file.modified = 2_000_000
        try unpack([[(locked, ""), (file, "x")]], into: scratch.path)
        // Set user id is dropped, the folder's time is that of the archive although a file was made in it.
        #expect(try shell("cd '\(scratch.path)'; stat -c '%a %Y' locked locked/file") == "555 1000000\n751 2000000\n")
        var policy = ExtractionPolicy()
        policy.keepsSetuid = true
        try unpack([[(file, "x")]], into: scratch.path, policy: policy)
        #expect(try shell("stat -c %a '\(scratch.path)/locked/file'") == "4751\n")
    }

    @Test(.enabled(if: getuid() == 0, "needs root")) func ownersAreKeptOnlyWhenAsked() throws {
        let scratch = try Scratch()
        var file = TarEntry.file("file")
        (file.userID, file.groupID) = (1234, 5678)
        let target = scratch.path.appending("target")
        try write([1], to: target)
        var link = TarEntry.link("link", to: target.string)
        (link.userID, link.groupID) = (1234, 5678)
        try unpack([[(file, ""), (link, "")]], into: scratch.path)
        #expect(try shell("cd '\(scratch.path)'; stat -c '%u %g' file link") == "0 0\n0 0\n")
        var policy = ExtractionPolicy()
        policy.ownership = .asArchived
        try unpack([[(file, ""), (link, "")]], into: scratch.path, policy: policy)
        #expect(try shell("cd '\(scratch.path)'; stat -c '%u %g' file link") == "1234 5678\n1234 5678\n")
        #expect(try shell("stat -c %u '\(target)'") == "0\n")
    }

    @Test func whiteoutsDeleteWhatLowerLayersLeft() throws {
        let scratch = try Scratch()
        let lower: [(TarEntry, String)] = [
            (.file("a/one"), "1"), (.file("a/two"), "2"), (.file("b/deep/er/file"), "3"), (.file("c/one"), "4"),
            (.file("d"), "5"),
        ]
        let upper: [(TarEntry, String)] = [
            (.file("a/.wh.one"), ""), (.file(".wh.b"), ""),
            // What the layer itself brings stays, wherever the opaque mark stands.
            (.file("c/new"), "6"), (.file("c/.wh..wh..opq"), ""), (.file("c/sub/newer"), "7"),
            (.file(".wh.nothing-there"), ""), (.file("no/where/.wh.x"), ""), (.file("d"), "8"), (.file(".wh.d"), ""),
            // AUFS's own bookkeeping means nothing.
            (.folder(".wh..wh.plnk"), ""), (.file(".wh..wh.plnk/12.34"), ""), (.file(".wh..wh.aufs"), ""),
        ]
        let summaries = try unpack([lower, upper], into: scratch.path)
        #expect(try tree(scratch.path) == ["a", "a/two", "c", "c/new", "c/sub", "c/sub/newer", "d"])
        #expect(try text(scratch.path.appending("d")) == "8")
        #expect(summaries[1].deleted == 3)
    }

    @Test func anOpaqueMarkAtTheRootEmptiesTheTreeAndNothingElse() throws {
        let scratch = try Scratch()
        let root = scratch.path.appending("root")
        try Folder.make(root)
        try write([1], to: scratch.path.appending("outside"))
        try unpack(
            [[(.file("x/y"), ""), (.link("l", to: ".."), "")], [(.file("new/er"), ""), (.file(".wh..wh..opq"), "")]],
            into: root)
        #expect(try tree(scratch.path) == ["outside", "root", "root/new", "root/new/er"])
    }

    @Test func aWhiteoutOfALinkDeletesTheLinkOnly() throws {
        let scratch = try Scratch()
        let root = scratch.path.appending("root")
        try Folder.make(root)
        try Folder.make(scratch.path.appending("precious/inner"))
        try unpack([[(.link("l", to: "../precious"), "")], [(.file(".wh.l"), "")]], into: root)
        #expect(try tree(scratch.path) == ["precious", "precious/inner", "root"])
    }

    @Test func plainArchivesMayHaveNoWhiteouts() throws {
        let scratch = try Scratch()
        var policy = ExtractionPolicy()
        policy.appliesWhiteouts = false
        let failure = #expect(throws: Failure.self) {
            try unpack([[(.file(".wh.x"), "")]], into: scratch.path, policy: policy)
        }
        #expect(failure?.kind == .integrity)
    }

    @Test(.enabled(if: getuid() == 0, "needs root")) func specialFilesFollowThePolicy() throws {
        let scratch = try Scratch()
        let entries: [(TarEntry, String)] = [
            (TarEntry(.fifo, name: Array("pipe".utf8), permissions: 0o640), ""),
            (
                TarEntry(
                    .characterDevice, name: Array("null".utf8), permissions: 0o666, deviceMajor: 1, deviceMinor: 3), ""
            ),
            (.file("file"), "content"),
        ]
        let failure = #expect(throws: Failure.self) { try unpack([entries], into: scratch.path) }
        #expect(failure?.what.contains("named pipe") == true)
        #expect(try tree(scratch.path) == [])
        var policy = ExtractionPolicy()
        policy.specialFiles = .skip
        #expect(try unpack([entries], into: scratch.path, policy: policy)[0].skipped == ["pipe", "null"])
        #expect(try tree(scratch.path) == ["file"])
        policy.specialFiles = .create
        try unpack([entries], into: scratch.path, policy: policy)
        #expect(
            try shell("cd '\(scratch.path)'; stat -c '%F %a %t %T' pipe null")
                == "fifo 640 0 0\ncharacter special file 666 1 3\n")
    }

    @Test func attributesAreSetOnlyWhenAskedAndOnlySomeOfThem() throws {
        let scratch = try Scratch()
        var entry = TarEntry.file("file")
        entry.extendedAttributes = ["user.colour": Array("red".utf8), "trusted.overlay.opaque": Array("y".utf8)]
        func attributes() throws -> String {
            try shell("python3 -c 'import os,sys; print(os.listxattr(sys.argv[1]))' '\(scratch.path)/file'")
        }
        try unpack([[(entry, "")]], into: scratch.path)
        #expect(try attributes() == "[]\n")
        var policy = ExtractionPolicy()
        policy.keepsExtendedAttributes = true
        try unpack([[(entry, "")]], into: scratch.path, policy: policy)
        #expect(try attributes() == "['user.colour']\n")
    }

    @Test func theSizeLimitHolds() throws {
        let scratch = try Scratch()
        var policy = ExtractionPolicy()
        policy.maximumSize = 1_000_000
        let half = String(repeating: "x", count: 600_000)
        let failure = #expect(throws: Failure.self) {
            try unpack([[(.file("a"), half), (.file("b"), half)]], into: scratch.path, policy: policy)
        }
        #expect(failure?.kind == .integrity)
        #expect(failure?.place == "layer: b")
    }

    @Test func cancellationEndsTheWork() async throws {
        let scratch = try Scratch()
        let root = scratch.path
        // An archive without an end: only cancellation stops it.
        final class Endless: ByteSource {
            private var head = Array(RawTar.entry("0", "endless", statedSize: 0o77777777777))
            func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
                let count = min(buffer.count, 512)
                for index in 0..<count { buffer[index] = head.isEmpty ? 0 : head[index] }
                head = []
                return count
            }
        }
        let (stream, started) = AsyncStream.makeStream(of: Void.self)
        let work = Task {
            try await BlockingPool.shared.run { (flag: CancellationFlag) in
                var policy = ExtractionPolicy()
                policy.maximumSize = 1 << 28
                let extractor = try LayerExtractor(into: root, policy: policy, cancellation: flag) { _ in
                    started.yield()
                }
                try extractor.extract(Endless(), place: "endless")
            }
        }
        for await _ in stream { break }
        work.cancel()
        await #expect(throws: CancellationError.self) { try await work.value }
    }

    @Test func aFullDiskIsAFailureOfTheSystem() throws {
        try #require(getuid() == 0)
        let scratch = try Scratch()
        let small = scratch.path.appending("small")
        try shell("mkdir '\(small)' && mount -t tmpfs -o size=1m none '\(small)'")
        defer { umount2(small.string, Int32(MNT_DETACH)) }
        let failure = #expect(throws: Failure.self) {
            try unpack([[(.file("big"), String(repeating: "x", count: 3_000_000))]], into: small)
        }
        #expect(failure?.kind == .system)
        #expect(failure?.place == "layer: big")
    }

    @Test func aFolderThatIsNotThereIsNamed() {
        let failure = #expect(throws: Failure.self) { try LayerExtractor(into: "/nowhere/at/all") }
        #expect(failure?.kind == .notFound)
    }
}
