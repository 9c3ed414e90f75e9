import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

@testable import Archive

/// Archives that try to write, link or delete outside the tree. Each runs with the kernel's resolution of paths and with our own.
///
/// Tests run as root on people's machines. So every attack aims at the scratch folder (`@` stands for its path), and the tree lies
/// so deep in it that no `..` leads out of it: if the extractor ever fails here, nothing but the test is harmed. Keep it so.
@Suite struct LayerAttackTests {
    struct Attack: CustomTestStringConvertible, Sendable {
        let name: String
        let entries: [(TarEntry, String)]
        /// What the refusal has to name.
        let place: String
        var testDescription: String { name }

        init(_ name: String, _ entries: [(TarEntry, String)], names place: String) {
            self.name = name
            self.entries = entries
            self.place = place
        }
    }

    static let attacks: [Attack] = [
        // Names.
        Attack("parent", [(.file("../evil"), "x")], names: "../evil"),
        Attack("parent inside", [(.file("a/../../evil"), "x")], names: "a/../../evil"),
        Attack("harmless looking ..", [(.file("a/../b"), "x")], names: "a/../b"),
        Attack("absolute", [(.file("@/outside/evil"), "x")], names: "@/outside/evil"),
        Attack("..", [(.file(".."), "x")], names: ".."),
        Attack("folder ..", [(.folder("../evil"), "")], names: "../evil"),
        Attack("file as root", [(.file("."), "x")], names: "."),
        Attack("link as root", [(.link(".", to: "@/outside"), "")], names: "."),
        Attack("prefix of the root's name", [(.file("../root-evil/x"), "x")], names: "../root-evil/x"),
        Attack("component too long", [(.file(String(repeating: "c", count: 256)), "x")], names: "ccc"),
        Attack("path too long", [(.file(String(repeating: "c/", count: 2100) + "x"), "x")], names: "c/c/"),
        // Through symbolic links.
        Attack("absolute link", [(.link("ln", to: "@/outside"), ""), (.file("ln/evil"), "x")], names: "ln/evil"),
        Attack(
            "absolute link with a namesake inside",
            [(.folder("d/inner"), ""), (.link("ln", to: "/d/inner"), ""), (.file("ln/evil"), "x")], names: "ln/evil"
        ),
        Attack("relative link", [(.link("ln", to: "../outside"), ""), (.file("ln/evil"), "x")], names: "ln/evil"),
        Attack(
            "folder through a link", [(.link("ln", to: "../outside"), ""), (.folder("ln/evil"), "")], names: "ln/evil"),
        Attack(
            "link through a link", [(.link("ln", to: "../outside"), ""), (.link("ln/evil", to: "x"), "")],
            names: "ln/evil"),
        Attack(
            "two steps", [(.link("a", to: "."), ""), (.link("a/b", to: ".."), ""), (.file("a/b/outside/evil"), "x")],
            names: "a/b/outside/evil"),
        Attack(
            "three steps",
            [
                (.folder("d"), ""), (.link("d/up", to: ".."), ""), (.link("d/top", to: "up/.."), ""),
                (.file("d/top/evil"), "x"),
            ],
            names: "d/top/evil"),
        Attack(
            "five steps",
            [
                (.link("l1", to: "l2"), ""), (.link("l2", to: "l3"), ""), (.link("l3", to: "l4"), ""),
                (.link("l4", to: "l5"), ""),
                (.link("l5", to: "../outside"), ""), (.file("l1/evil"), "x"),
            ], names: "l1/evil"),
        Attack(
            "a loop", [(.link("a", to: "b"), ""), (.link("b", to: "a"), ""), (.file("a/evil"), "x")], names: "a/evil"),
        Attack(
            "through /proc", [(.link("p", to: "/proc/self/root@/outside"), ""), (.file("p/evil"), "x")], names: "p/evil"
        ),
        Attack(
            "a checked folder becomes a link",
            [
                (.folder("d"), ""), (.file("d/good"), "x"), (.link("d", to: "../outside"), ""), (.file("d/evil"), "x"),
            ], names: "d/evil"),
        Attack("a link to nothing", [(.link("ln", to: "not/there"), ""), (.file("ln/evil"), "x")], names: "ln/evil"),
        Attack("below a file", [(.file("f"), "x"), (.file("f/evil"), "x")], names: "f/evil"),
        // Hard links.
        Attack("hard link outside", [(.hardLink("h", to: "../outside/secret"), "")], names: "../outside/secret"),
        Attack("hard link to absolute", [(.hardLink("h", to: "@/outside/secret"), "")], names: "@/outside/secret"),
        Attack("hard link to the working folder's file", [(.hardLink("h", to: "Package.swift"), "")], names: "h"),
        Attack(
            "hard link through a link", [(.link("ln", to: "../outside"), ""), (.hardLink("h", to: "ln/secret"), "")],
            names: "h"),
        Attack("hard link to a folder", [(.folder("d"), ""), (.hardLink("h", to: "d"), "")], names: "h"),
        Attack("hard link to the root", [(.hardLink("h", to: "."), "")], names: "h"),
        // Whiteouts.
        Attack("whiteout of ..", [(.file(".wh..."), "")], names: ".wh..."),
        Attack("whiteout of .", [(.file(".wh.."), "")], names: ".wh.."),
        Attack("whiteout of nothing", [(.file(".wh."), "")], names: ".wh."),
        Attack("whiteout in a whiteout", [(.file(".wh.../x"), "")], names: ".wh.../x"),
        Attack("below a whiteout", [(.file(".wh.a/.wh.b"), "")], names: ".wh.a/.wh.b"),
        Attack(
            "whiteout through a link", [(.link("ln", to: "../outside"), ""), (.file("ln/.wh.secret"), "")],
            names: "ln/.wh.secret"),
        Attack(
            "opaque through a link", [(.link("ln", to: "../outside"), ""), (.file("ln/.wh..wh..opq"), "")],
            names: "ln/.wh..wh..opq"),
        // Special files.
        Attack(
            "device", [(TarEntry(.blockDevice, name: Array("disk".utf8), deviceMajor: 8, deviceMinor: 0), "")],
            names: "disk"),
        Attack("named pipe", [(TarEntry(.fifo, name: Array("p".utf8)), "")], names: "p"),
        Attack("unknown type", [(TarEntry(.other(UInt8(ascii: "Z")), name: Array("z".utf8)), "")], names: "z"),
    ]

    /// A root with something precious beside it: `outside/secret`, and `root-evil`.
    func playground(_ scratch: borrowing Scratch) throws -> FilePath {
        // The kernel follows 40 links at most, and no link here goes up more than two folders.
        let cage = scratch.path.appending(String(repeating: "d/", count: 100))
        try Folder.make(cage)
        try shell(
            "cd '\(cage)' && mkdir root outside root-evil && echo secret > outside/secret && touch -d @1 outside/* outside"
        )
        return cage.appending("root")
    }

    /// All that lies in the scratch folder but in the root.
    func outside(_ root: FilePath) throws -> String {
        let scratch = FilePath(root: root.root, root.components.prefix(2))
        return try shell(
            """
            cd '\(scratch)' && find . -name root -prune -o -printf '%p %y %s %n %T@ %i\\n' | sort
            cat '\(root)/../outside/secret'
            """
        )
    }

    /// The archive, with `@` replaced by the path of the folder that the root lies in.
    func aimed(_ entries: [(TarEntry, String)], at root: FilePath) throws -> [UInt8] {
        let cage = Array(root.removingLastComponent().string.utf8)
        func aimed(_ bytes: [UInt8]) -> [UInt8] { bytes.flatMap { $0 == UInt8(ascii: "@") ? cage : [$0] } }
        return try archive(
            entries.map { entry, content in
                var entry = entry
                (entry.name, entry.linkName) = (aimed(entry.name), aimed(entry.linkName))
                return (entry, content)
            })
    }

    @Test(arguments: attacks, [TreeRoot.Resolution.kernel, .stepwise])
    func attacksAreRefusedAndHarmNothing(attack: Attack, resolution: TreeRoot.Resolution) throws {
        let scratch = try Scratch()
        let root = try playground(scratch)
        let before = try outside(root)
        let extractor = LayerExtractor(root: try TreeRoot(root, resolution: resolution), policy: ExtractionPolicy())
        let bytes = try aimed(attack.entries, at: root)
        let failure = #expect(throws: Failure.self) { try extractor.extract(MemorySource(bytes), place: "layer") }
        #expect(failure?.kind == .integrity)
        #expect(failure?.place?.hasPrefix("layer: ") == true)
        let named = attack.place.replacing("@", with: root.removingLastComponent().string)
        #expect(failure?.place?.contains(named) == true, "\(String(describing: failure?.place))")
        #expect(try outside(root) == before)
    }

    /// What looks dangerous and is not: links that are only made, and those that stay inside.
    @Test(arguments: [TreeRoot.Resolution.kernel, .stepwise])
    func linksInsideTheTreeAreFollowed(resolution: TreeRoot.Resolution) throws {
        let scratch = try Scratch()
        let root = try playground(scratch)
        let before = try outside(root)
        let extractor = LayerExtractor(root: try TreeRoot(root, resolution: resolution), policy: ExtractionPolicy())
        try extractor.extract(
            MemorySource(
                try aimed(
                    [
                        (.folder("./usr/"), ""), (.folder("usr/lib"), ""), (.link("lib", to: "usr/lib"), ""),
                        (.link("usr/back", to: "../usr/./lib/../lib"), ""), (.link("away", to: "@/outside/secret"), ""),
                        (.link("up", to: "../.."), ""),
                    ], at: root)), place: "lower")
        try extractor.extract(
            MemorySource(
                try aimed(
                    [
                        (.file("lib/a"), "a"), (.file("usr/back/b"), "b"), (.hardLink("c", to: "lib/a"), ""),
                        // The link itself is replaced, and its target left alone.
                        (.file("away"), "file"), (.folder("up"), ""), (.file("up/x"), "x"),
                        (.hardLink("c", to: "c"), ""),
                    ], at: root)), place: "upper")
        #expect(try shell("cd '\(root)' && cat usr/lib/a usr/lib/b c away up/x; readlink lib") == "abafilexusr/lib\n")
        #expect(try outside(root) == before)
    }

    /// The kernel may find a folder; afterwards somebody swaps it for a link. What is open stays what it was.
    @Test(arguments: [TreeRoot.Resolution.kernel, .stepwise])
    func aFolderSwappedMeanwhileLeadsNowhere(resolution: TreeRoot.Resolution) throws {
        let scratch = try Scratch()
        let root = try playground(scratch)
        let before = try outside(root)
        // Swaps `d` for a link to `outside` between two entries.
        final class Swapping: ByteSource {
            let parts: [[UInt8]]
            let swap: () throws -> Void
            private var next = 0
            init(_ parts: [[UInt8]], swap: @escaping () throws -> Void) {
                self.parts = parts
                self.swap = swap
            }
            func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
                guard next < parts.count else { return 0 }
                if next == 1 { try swap() }
                buffer.copyBytes(from: parts[next])
                next += 1
                return parts[next - 1].count
            }
        }
        let source = Swapping([
            RawTar.entry("5", "d/", mode: 0o755) + RawTar.entry("0", "d/one", Array("1".utf8)),
            RawTar.entry("0", "d/evil", Array("2".utf8)) + RawTar.entry("0", "e/then", Array("3".utf8))
                + RawTar.entry("0", "d/evil2", Array("4".utf8)) + RawTar.end,
        ]) { try shell("cd '\(root)' && mv d aside && ln -s ../outside d") }
        let extractor = LayerExtractor(root: try TreeRoot(root, resolution: resolution), policy: ExtractionPolicy())
        let failure = #expect(throws: Failure.self) { try extractor.extract(source, place: "layer") }
        #expect(failure?.place == "layer: d/evil2")
        #expect(try outside(root) == before)
    }

    /// Random archives out of a few names that collide as often as possible: nothing outside ever changes.
    @Test(arguments: 0..<16) func randomArchivesStayInside(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let scratch = try Scratch()
        let root = try playground(scratch)
        let before = try outside(root)
        let names = [
            "a", "b", "a/b", "a/b/a", "b/a", "..", "../outside", "a/..", ".", "/", ".wh.a", "a/.wh..wh..opq", ".wh...",
            "b/.wh.b",
        ]
        let targets = [
            "a", "b", "..", "../outside", "../..", "@/outside", ".", "a/b", "../outside/secret", "b/a",
            "/proc/self/root@/outside",
        ]
        for round in 0..<60 {
            let resolution: TreeRoot.Resolution = round.isMultiple(of: 2) ? .kernel : .stepwise
            let extractor = LayerExtractor(root: try TreeRoot(root, resolution: resolution), policy: ExtractionPolicy())
            let entries: [(TarEntry, String)] = (0..<Int.random(in: 1...8, using: &random)).map { _ in
                let name = names.randomElement(using: &random) ?? "a"
                let target = targets.randomElement(using: &random) ?? "a"
                switch Int.random(in: 0..<5, using: &random) {
                case 0: return (.folder(name), "")
                case 1, 2: return (.link(name, to: target), "")
                case 3: return (.hardLink(name, to: target), "")
                default: return (.file(name), "content")
                }
            }
            do {
                _ = try extractor.extract(MemorySource(try aimed(entries, at: root)), place: "layer")
            } catch let failure as Failure {
                #expect(failure.kind == .integrity, "\(failure) \(entries)")
            }
        }
        #expect(try outside(root) == before)
    }

    @Test(arguments: [
        ("a", "a"), ("./a", "a"), ("a/", "a"), ("a//b", "a/b"), ("./a/./b/.", "a/b"), (".", ""), ("./", ""),
        ("...", "..."),
        ("..a/b..", "..a/b.."),
    ])
    func pathsAreBroughtToOneForm(stated: String, expected: String) throws {
        #expect(try ArchivePath(Array(stated.utf8)).bytes == Array(expected.utf8))
    }

    @Test(arguments: ["", "/", "/a", "..", "a/..", "../a", "a/../b", "a\0b"])
    func pathsThatLeadAwayAreNone(stated: String) {
        #expect(throws: Failure.self) { try ArchivePath(Array(stated.utf8)) }
    }
}
