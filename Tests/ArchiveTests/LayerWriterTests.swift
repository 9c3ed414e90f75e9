import Archive
import Glibc
import Report
import SystemPackage
import TestSupport
import Testing

@Suite struct LayerWriterTests {
    /// The archive that a writer makes.
    func layer(timestamp: Int64 = 0, _ fill: (LayerWriter) throws -> Void) throws -> [UInt8] {
        let sink = MemorySink()
        let writer = LayerWriter(sink, timestamp: timestamp)
        try fill(writer)
        try writer.finish()
        return sink.bytes
    }

    func entries(_ bytes: [UInt8]) throws -> [TarEntry] {
        let reader = TarReader(MemorySource(bytes), place: "layer")
        var found: [TarEntry] = []
        while let entry = try reader.next() { found.append(entry) }
        return found
    }

    func names(_ bytes: [UInt8]) throws -> [String] { try entries(bytes).map(\.displayName) }

    @Test func severalSourcesBecomeOneSortedLayer() throws {
        let scratch = try Scratch()
        try shell(
            "cd '\(scratch.path)' && mkdir -p t/sub && echo 1 > t/z && echo 2 > t/sub/a && echo 3 > single && ln -s z t/l"
        )
        let bytes = try layer(timestamp: 77) { writer in
            try writer.add(scratch.path.appending("t"), as: "opt/app")
            try writer.add(scratch.path.appending("single"), as: "/etc/single.conf")
            try writer.add(content: Array("x".utf8), as: "opt/app/sub/made", permissions: [.ownerReadWrite])
            try writer.addSymbolicLink("opt/link", to: "/somewhere/else")
            try writer.addWhiteout(of: "opt/gone")
        }
        let found = try entries(bytes)
        #expect(
            found.map(\.displayName) == [
                "etc/", "etc/single.conf", "opt/", "opt/.wh.gone", "opt/app/", "opt/app/l", "opt/app/sub/",
                "opt/app/sub/a",
                "opt/app/sub/made", "opt/app/z", "opt/link",
            ])
        #expect(found.allSatisfy { $0.modified == 77 && $0.userID == 0 && $0.groupID == 0 })
        #expect(found[5].linkName == Array("z".utf8))
        #expect(found[8].permissions == 0o600)
    }

    @Test func theBytesDependOnContentOnly() throws {
        let one = try Scratch()
        let two = try Scratch()
        try shell(
            "cd '\(one.path)' && umask 022 && for n in c a b; do mkdir -p t/$n; echo $n > t/$n/f; done; chmod 755 t t/*"
        )
        try shell(
            "cd '\(two.path)' && umask 022 && for n in b c a; do mkdir -p t/$n; echo $n > t/$n/f; done; chmod 755 t t/*"
        )
        try shell("touch -d 2001-01-01 '\(two.path)/t/a/f'; chown -R 12:13 '\(two.path)/t' || true")
        func bytes(_ root: FilePath) throws -> [UInt8] { try layer { try $0.add(root.appending("t"), as: "x") } }
        #expect(try bytes(one.path) == bytes(two.path))
        try shell("chmod 700 '\(two.path)/t/a/f'")
        #expect(try bytes(one.path) != bytes(two.path))
    }

    @Test func permissionsLoseTheirSpecialBits() throws {
        let scratch = try Scratch()
        try shell("cd '\(scratch.path)' && mkdir t && touch t/f && chmod 4755 t/f && chmod 1777 t")
        let found = try entries(try layer { try $0.add(scratch.path.appending("t"), as: "t") })
        #expect(found.map(\.permissions) == [0o777, 0o755])
    }

    @Test func namesOfOneFileBecomeHardLinks() throws {
        let scratch = try Scratch()
        try shell(
            "cd '\(scratch.path)' && mkdir t && echo content > t/b && ln t/b t/a && ln t/b t/c && echo content > t/d")
        let found = try entries(try layer { try $0.add(scratch.path.appending("t"), as: "deep/t") })
        #expect(found.map(\.kind) == [.folder, .folder, .file, .hardLink, .hardLink, .file])
        #expect(found[3].linkName == Array("deep/t/a".utf8))
        #expect(found[4].linkName == Array("deep/t/a".utf8))
    }

    @Test func ignoredNamesAreLeftOutAndIgnoredFoldersNotEntered() throws {
        let scratch = try Scratch()
        try shell(
            "cd '\(scratch.path)' && mkdir -p t/.git/objects t/sub && touch t/.git/objects/x t/sub/keep t/sub/drop t/top"
        )
        var asked: [String] = []
        let found = try names(
            try layer { writer in
                try writer.add(scratch.path.appending("t"), as: "/") { path, isFolder in
                    asked.append(path.string + (isFolder ? "/" : ""))
                    return path == ".git" || path == "sub/drop"
                }
            })
        #expect(found == ["sub/", "sub/keep", "top"])
        #expect(asked.sorted() == [".git/", "sub/", "sub/drop", "sub/keep", "top"])
    }

    @Test func laterSourcesReplaceEarlierOnesAndFoldersMerge() throws {
        let scratch = try Scratch()
        try shell(
            "cd '\(scratch.path)' && mkdir a b && echo 1 > a/f && echo 2222 > b/f && echo 3 > b/g && chmod 700 b && touch a/x"
        )
        let bytes = try layer { writer in
            try writer.add(scratch.path.appending("a"), as: "t")
            try writer.add(scratch.path.appending("b"), as: "t")
        }
        let found = try entries(bytes)
        #expect(found.map(\.displayName) == ["t/", "t/f", "t/g", "t/x"])
        #expect(found[0].permissions == 0o700)
        #expect(found[1].size == 5)
    }

    @Test func aFileAndAFolderCannotShareAPlace() throws {
        let writer = LayerWriter(MemorySink())
        try writer.add(content: [], as: "a/b")
        for attempt in ["a", "a/b/c"] {
            let failure = #expect(throws: Failure.self) { try writer.add(content: [], as: FilePath(attempt)) }
            #expect(failure?.kind == .conflict)
        }
        #expect(throws: Failure.self) { try writer.addFolder("a/b") }
    }

    @Test func whatALayerCannotHoldIsRefusedByName() throws {
        let scratch = try Scratch()
        try shell("cd '\(scratch.path)' && mkdir -p pipe white/.wh.dir && mkfifo pipe/p && touch white/.wh.file")
        let pipe = #expect(throws: Failure.self) { try layer { try $0.add(scratch.path.appending("pipe"), as: "x") } }
        #expect(pipe?.kind == .invalidInput)
        #expect(pipe?.place == "\(scratch.path)/pipe/p")
        let white = #expect(throws: Failure.self) { try layer { try $0.add(scratch.path.appending("white"), as: "x") } }
        #expect(white?.place == "x/.wh.dir")
        let missing = #expect(throws: Failure.self) { try layer { try $0.add("/nowhere/at/all", as: "x") } }
        #expect(missing?.kind == .notFound)
        #expect(throws: Failure.self) { try layer { try $0.add(content: [], as: "../x") } }
        #expect(throws: Failure.self) { try layer { try $0.add(content: [], as: "/") } }
        if getuid() == 0 {
            #expect(throws: Failure.self) { try layer { try $0.add("/dev/null", as: "null") } }
        }
    }

    @Test func aSourceThatChangesIsNoticed() throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("f")
        for change in [
            "echo more >> f", "echo CONTENT > f", "echo other > g; mv g f", "rm f; mkfifo f",
            "rm f; ln -s /etc/passwd f",
            "rm -r f",
        ] {
            try shell("cd '\(scratch.path)' && rm -rf f && echo content > f && sleep 0.05")
            let writer = LayerWriter(MemorySink())
            try writer.add(file, as: "f")
            try shell("cd '\(scratch.path)' && \(change)")
            #expect(throws: Failure.self, "\(change)") { try writer.finish() }
        }
    }

    @Test func namesThatAreNoTextSurvive() throws {
        let scratch = try Scratch()
        try shell(
            "cd '\(scratch.path)' && mkdir t x && touch \"t/$(printf 'a\\377b')\" && ln -s \"$(printf '\\376')\" t/l")
        let bytes = try layer { try $0.add(scratch.path.appending("t"), as: "") }
        #expect(try entries(bytes).map(\.name) == [[0x61, 0xff, 0x62], [0x6c]])
        try LayerExtractor(into: scratch.path.appending("x")).extract(MemorySource(bytes), place: "layer")
        #expect(try snapshot(scratch.path.appending("x")) == snapshot(scratch.path.appending("t")))
    }

    @Test func progressEndsWithTheWhole() throws {
        let scratch = try Scratch()
        var random = SeededGenerator(seed: 1)
        try write(random.bytes(3_000_000), to: scratch.path.appending("f"))
        var told: [Int64] = []
        let writer = LayerWriter(MemorySink()) { told.append($0) }
        try writer.add(scratch.path.appending("f"), as: "f")
        let summary = try writer.finish()
        #expect(summary.entries == 1)
        #expect(summary.bytes == 3_000_000)
        #expect(told.last == 3_000_000)
        #expect(told == told.sorted())
        #expect(told.count >= 2)
    }
}
