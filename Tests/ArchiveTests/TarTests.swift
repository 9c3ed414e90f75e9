import Archive
import Report
import SystemPackage
import TestSupport
import Testing

@Suite struct TarTests {
    /// All entries with their content.
    func entries(_ bytes: [UInt8]) throws -> [(entry: TarEntry, content: [UInt8])] {
        let reader = TarReader(MemorySource(bytes), place: "test.tar")
        var found: [(TarEntry, [UInt8])] = []
        while let entry = try reader.next() { found.append((entry, try reader.readContent(limit: 1 << 24))) }
        return found
    }

    /// A name of one or more components, some of them long, some not ASCII, some not even text.
    func name(_ random: inout SeededGenerator) -> [UInt8] {
        let components = (0..<Int.random(in: 1...8, using: &random)).map { _ in
            let length =
                Bool.random(using: &random)
                ? Int.random(in: 1...12, using: &random) : Int.random(in: 1...120, using: &random)
            let alphabet: [UInt8] =
                switch Int.random(in: 0..<10, using: &random) {
                case 0: Array(0x80...0xff)
                case 1: Array("äöü€".utf8)
                default: Array("abcdefghij-._ XYZ0123".utf8)
                }
            return (0..<length).map {
                alphabet[(Int.random(in: 0..<alphabet.count, using: &random) + $0) % alphabet.count]
            }
        }
        return Array(components.joined(separator: [UInt8(ascii: "/")]))
    }

    @Test(arguments: 0..<40) func whatIsWrittenComesBack(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        var written: [(entry: TarEntry, content: [UInt8])] = []
        let sink = MemorySink()
        let tar = TarWriter(sink)
        for _ in 0..<30 {
            let kinds: [TarEntry.Kind] = [
                .file, .file, .folder, .symbolicLink, .hardLink, .fifo, .characterDevice, .blockDevice,
            ]
            let kind = kinds.randomElement(using: &random) ?? .file
            let content = kind == .file ? random.bytes(Int.random(in: 0...3000, using: &random)) : []
            let isLink = kind == .symbolicLink || kind == .hardLink
            let isDevice = kind == .characterDevice || kind == .blockDevice
            var entry = TarEntry(
                kind,
                name: name(&random) + (kind == .folder ? [UInt8(ascii: "/")] : []),
                linkName: isLink ? name(&random) : [],
                size: Int64(content.count),
                permissions: UInt32.random(in: 0...0o7777, using: &random),
                userID: Bool.random(using: &random) ? 0 : UInt32.random(in: 0...UInt32.max, using: &random),
                groupID: Bool.random(using: &random) ? 0 : UInt32.random(in: 0...UInt32.max, using: &random),
                modified: Bool.random(using: &random)
                    ? 1 << 40 : Int64.random(in: -1000...2_000_000_000, using: &random),
                modifiedNanoseconds: Bool.random(using: &random)
                    ? 0 : Int32.random(in: 0..<1_000_000_000, using: &random),
                deviceMajor: isDevice ? UInt32.random(in: 0...4095, using: &random) : 0,
                deviceMinor: isDevice ? UInt32.random(in: 0...4095, using: &random) : 0
            )
            if Bool.random(using: &random) {
                entry.extendedAttributes = ["user.test": random.bytes(20), "user.x": [1]]
            }
            written.append((entry, content))
            try tar.begin(entry)
            try content.withUnsafeBytes { try tar.write($0) }
        }
        try tar.finish()
        let read = try entries(sink.bytes)
        #expect(read.count == written.count)
        for (got, expected) in zip(read, written) {
            #expect(got.entry == expected.entry)
            #expect(got.content == expected.content)
        }
    }

    @Test func gnuTarReadsWhatWeWrite() throws {
        let scratch = try Scratch()
        let long = Array(repeating: "long-component-of-a-name", count: 12).joined(separator: "/")
        let split = String(repeating: "p", count: 120) + "/" + String(repeating: "n", count: 90)
        let tar = try archive([
            (.folder("a"), ""), (.file("a/plain", permissions: 0o755), "plain content"), (.file(long), "long"),
            (.file("a/größe €"), "umlauts"), (.file(split), "split"), (.link("a/link", to: "plain"), ""),
            (.link("a/far", to: long), ""), (.hardLink("a/hard", to: "a/plain"), ""),
            (TarEntry(.file, name: Array("old".utf8), modified: -5, modifiedNanoseconds: 250_000_000), "before 1970"),
        ])
        try write(tar, to: scratch.path.appending("t.tar"))
        try shell("cd '\(scratch.path)' && mkdir x && tar -xf t.tar -C x")
        let root = scratch.path.appending("x")
        #expect(try text(root.appending("a/plain")) == "plain content")
        #expect(try text(root.appending(long)) == "long")
        #expect(try text(root.appending("a/größe €")) == "umlauts")
        #expect(try text(root.appending(split)) == "split")
        #expect(try shell("readlink '\(root)/a/link' '\(root)/a/far'") == "plain\n\(long)\n")
        #expect(try shell("stat -c '%a %h' '\(root)/a/hard'") == "755 2\n")
        #expect(try shell("stat -c %.2Y '\(root)/old'") == "-4.75\n")
        // Without PAX headers where ustar suffices: other tools, and people, read it more easily.
        #expect(try archive([(.file(split), "")]).count == 512 + 1024)
    }

    @Test(arguments: ["v7", "oldgnu", "gnu", "ustar", "pax"]) func weReadWhatGnuTarWrites(format: String) throws {
        let scratch = try Scratch()
        let isOld = format == "v7" || format == "ustar"
        let long = Array(repeating: "component", count: isOld ? 6 : 40).joined(separator: "/")
        try shell(
            """
            cd '\(scratch.path)' && mkdir -p 't/\(long)' && echo hello > t/file && echo deep > 't/\(long)/file' && chmod 750 t/file
            ln -s file t/link; ln t/file t/hard; [ \(format) = v7 ] || mkfifo t/pipe
            \(isOld ? "" : "ln -s '\(long)' t/long-link")
            tar --format=\(format) --sort=name -cf t.tar t
            """
        )
        let found = try entries(try read(scratch.path.appending("t.tar")))
        let names = found.map(\.entry.displayName)
        #expect(names.contains("t/\(long)/file"))
        let listed = try shell("cd '\(scratch.path)' && tar -tf t.tar").split(separator: "\n").map(String.init)
        #expect(names == listed)
        let file = try #require(found.first { $0.entry.kind == .file && $0.content == Array("hello\n".utf8) })
        #expect(file.entry.permissions == 0o750)
        #expect(found.contains { $0.entry.kind == .hardLink && $0.content.isEmpty })
        #expect(found.contains { $0.entry.kind == .symbolicLink && $0.entry.linkName == Array("file".utf8) })
        if !isOld {
            #expect(found.contains { $0.entry.kind == .symbolicLink && $0.entry.linkName == Array(long.utf8) })
        }
        #expect(found.contains { $0.entry.kind == .fifo } == (format != "v7"))
    }

    @Test func sizesBeyondOctalAreRead() throws {
        // 8 GiB and more do not fit eleven octal digits: GNU writes base 256, POSIX a PAX record.
        let scratch = try Scratch()
        for format in ["gnu", "pax"] {
            try shell(
                """
                cd '\(scratch.path)' && truncate -s 9G big && tar --format=\(format) -cf - big | head -c 4096 > \(format).tar; rm big
                """
            )
            let reader = TarReader(try FileSource(scratch.path.appending("\(format).tar")), place: "t")
            #expect(try reader.next()?.size == 9 << 30)
        }
        let sink = MemorySink()
        try TarWriter(sink).begin(TarEntry(.file, name: Array("big".utf8), size: 9 << 30))
        #expect(try TarReader(MemorySource(sink.bytes), place: "t").next()?.size == 9 << 30)
    }

    @Test func unreadContentIsSkipped() throws {
        let tar = try archive([(.file("a"), String(repeating: "x", count: 700_000)), (.file("b"), "b")])
        let reader = TarReader(MemorySource(tar), place: "t")
        #expect(try reader.next()?.displayName == "a")
        var some = [UInt8](repeating: 0, count: 10)
        #expect(try some.withUnsafeMutableBytes { try reader.read(into: $0) } == 10)
        #expect(try reader.next()?.displayName == "b")
        #expect(try reader.readContent(limit: 10) == Array("b".utf8))
        #expect(try reader.next() == nil)
        #expect(try reader.next() == nil)
    }

    @Test func theWriterChecksItsCaller() throws {
        let tar = TarWriter(MemorySink())
        var entry = TarEntry.file("a")
        entry.size = 5
        try tar.begin(entry)
        #expect(throws: Failure.self) { try Array("123456".utf8).withUnsafeBytes { try tar.write($0) } }
        #expect(throws: Failure.self) { try tar.begin(.file("b")) }
        #expect(throws: Failure.self) { try tar.finish() }
        #expect(throws: Failure.self) { try TarWriter(MemorySink()).begin(.file("a\0b")) }
        #expect(throws: Failure.self) { try TarWriter(MemorySink()).begin(.file("")) }
    }
}
