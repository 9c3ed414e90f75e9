import Archive
import FoundationEssentials
import Glibc
import ImageStore
import ImageTree
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

/// An entry of a layer.
private enum Item {
    case file(String, String, permissions: UInt32 = 0o644)
    case folder(String)
    case link(String, to: String)
    case hardLink(String, to: String)
    case whiteout(String)
    case opaque(String)

    var path: String {
        switch self {
        case .file(let path, _, _), .folder(let path), .link(let path, _), .hardLink(let path, _), .whiteout(let path),
            .opaque(let path):
            path
        }
    }

    func write(to tar: TarWriter) throws {
        func begin(_ kind: TarEntry.Kind, _ name: String, link: String = "", size: Int = 0, _ permissions: UInt32)
            throws
        {
            try tar.begin(
                TarEntry(
                    kind, name: Array(name.utf8), linkName: Array(link.utf8), size: Int64(size),
                    permissions: permissions))
        }
        switch self {
        case .file(let path, let content, let permissions):
            try begin(.file, path, size: content.utf8.count, permissions)
            if !content.isEmpty { try Array(content.utf8).withUnsafeBytes { try tar.write($0) } }
        case .folder(let path): try begin(.folder, path, 0o755)
        case .link(let path, let target): try begin(.symbolicLink, path, link: target, 0o777)
        case .hardLink(let path, let target): try begin(.hardLink, path, link: target, 0o644)
        case .whiteout(let path):
            var parts = path.split(separator: "/").map(String.init)
            parts[parts.count - 1] = ".wh." + parts[parts.count - 1]
            try begin(.file, parts.joined(separator: "/"), 0o644)
        case .opaque(let path): try begin(.file, "\(path)/.wh..wh..opq", 0o644)
        }
    }
}

private func archive(_ items: [Item]) throws -> [UInt8] {
    let sink = MemorySink()
    let tar = TarWriter(sink)
    for item in items { try item.write(to: tar) }
    try tar.finish()
    return sink.bytes
}

/// An image of these layers, base first, in a store of its own.
private struct TestImage: ~Copyable {
    let scratch: Scratch
    let store: ImageStore
    let manifest: ImageManifest
    let descriptor: Descriptor

    static func make(_ layers: [[Item]], compression: Compression = .none) async throws -> TestImage {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        var descriptors: [Descriptor] = []
        for items in layers {
            let sink = MemorySink()
            let packed = try compression.encoder(into: sink)
            try packed.write(try archive(items))
            try packed.finish()
            let suffix = compression == .none ? "" : "+\(compression.rawValue)"
            descriptors.append(
                try await store.put(
                    Data(sink.bytes), mediaType: "application/vnd.oci.image.layer.v1.tar\(suffix)"))
        }
        let config = try await store.put(Data("{}".utf8), mediaType: MediaType.config)
        let manifest = ImageManifest(config: config, layers: descriptors)
        let descriptor = try await store.put(canonicalJSON(manifest), mediaType: MediaType.manifest)
        return TestImage(scratch: scratch, store: store, manifest: manifest, descriptor: descriptor)
    }

    func read(_ paths: String..., limit: Int = ImageFiles.sizeLimit) async throws -> [String: String] {
        try await ImageFiles(store).read(Set(paths), of: manifest, limit: limit).mapValues {
            String(decoding: $0.bytes, as: UTF8.self)
        }
    }

    /// Puts other bytes in the place of a layer's.
    func replace(_ layer: Int, by bytes: [UInt8]) throws {
        try AtomicFile.write(bytes, to: store.path(of: manifest.layers[layer].digest))
    }
}

@Suite("Single files of an image")
struct ImageFilesTests {
    @Test("are those of the topmost layer that has them", arguments: Compression.allCases)
    func topmost(compression: Compression) async throws {
        let image = try await TestImage.make(
            [
                [.folder("etc"), .file("etc/a", "old"), .file("etc/b", "base"), .file("etc/c", "gone")],
                [.folder("etc"), .file("etc/a", "new", permissions: 0o600), .whiteout("etc/c")],
            ], compression: compression)
        #expect(
            try await image.read("etc/a", "etc/b", "etc/c", "etc/d", "no/such") == ["etc/a": "new", "etc/b": "base"])
        let files = try await ImageFiles(image.store).read(["etc/a", "etc/b"], of: image.manifest)
        #expect(files.mapValues(\.permissions) == ["etc/a": 0o600, "etc/b": 0o644])
    }

    @Test("are gone with what is above them: whiteouts, opaque folders, what takes a folder's place")
    func hidden() async throws {
        let base: [Item] = [.file("a/b/f", "1"), .file("a/b/g", "2"), .file("f", "3")]
        #expect(try await TestImage.make([base, [.whiteout("a")]]).read("a/b/f", "f") == ["f": "3"])
        let opaque = try await TestImage.make([base, [.file("a/b/g", "new"), .opaque("a/b")]])
        #expect(try await opaque.read("a/b/f", "a/b/g") == ["a/b/g": "new"])
        let again = try await TestImage.make([base, [.file("a", "x")], [.whiteout("a"), .file("a/b/h", "4")]])
        #expect(try await again.read("a/b/f", "a/b/h") == ["a/b/h": "4"])
        let replaced = try await TestImage.make([base, [.file("a", "x"), .folder("a"), .file("a/n", "5")]])
        #expect(try await replaced.read("a/b/f", "a/n") == ["a/n": "5"])
    }

    @Test("are found through hard links, as their targets were at that moment")
    func hardLinks() async throws {
        let image = try await TestImage.make([
            [.file("bin/tool", "one", permissions: 0o755), .hardLink("bin/same", to: "bin/tool")],
            [
                .hardLink("bin/other", to: "bin/same"), .file("bin/tool", "two"), .whiteout("bin/same"),
                .hardLink("bin/third", to: "bin/tool"), .file("bin/tool", "three"),
            ],
        ])
        #expect(
            try await image.read("bin/tool", "bin/same", "bin/other", "bin/third")
                == ["bin/tool": "three", "bin/other": "one", "bin/third": "two"])
        let files = try await ImageFiles(image.store).read(["bin/other"], of: image.manifest)
        #expect(files["bin/other"]?.permissions == 0o755)
        let chain = (1...20).map { Item.hardLink("l\($0)", to: "l\($0 - 1)") }
        let long = try await TestImage.make([[.file("l0", "x")] + chain])
        #expect(try await long.read("l5") == ["l5": "x"])
        await #expect(throws: Failure.self) { _ = try await long.read("l20") }
    }

    private func refusal(_ layers: [[Item]], _ path: String, limit: Int = ImageFiles.sizeLimit) async throws -> Failure
    {
        let image = try await TestImage.make(layers)
        do {
            _ = try await image.read(path, limit: limit)
        } catch let failure as Failure {
            return failure
        }
        Issue.record("\(path) was not refused")
        return Failure(.software, "")
    }

    @Test("are refused when they are no files, or lie below links, and links are never followed")
    func refused() async throws {
        let base: [Item] = [.folder("real"), .file("real/f", "x"), .link("way", to: "real"), .link("l", to: "real/f")]
        let cases = [
            ("l", "l: is a symbolic link in the image: these are not followed"),
            ("way/f", "way/f: lies below way, which is a symbolic link in the image: these are not followed"),
            ("way/none", "way/none: lies below way, which is a symbolic link in the image: these are not followed"),
            ("real", "real: is a folder in the image, a file was expected"),
            ("real/f/g", "real/f/g: cannot be there: real/f is a file in the image"),
        ]
        for (path, message) in cases {
            let failure = try await refusal([base], path)
            #expect(failure.kind == .invalidInput)
            #expect(failure.description == message)
        }
        // What an upper layer writes below a lower one's link lies elsewhere.
        let through = try await refusal([base, [.file("way/new", "y")]], "way/new")
        #expect(through.what.contains("symbolic link"))
        // A folder in the link's place is one.
        let replaced = try await TestImage.make([base, [.folder("way"), .file("way/f", "own")]])
        #expect(try await replaced.read("way/f", "way/none") == ["way/f": "own"])
        // A folder that only its content tells of.
        #expect(try await refusal([[.file("a/b/c", "1")]], "a/b").what.contains("is a folder"))
    }

    @Test("are refused when they are too large, unless another has taken their place")
    func large() async throws {
        let layers: [[Item]] = [[.file("f", "123456789")]]
        let failure = try await refusal(layers, "f", limit: 8)
        #expect(failure.description == "f: has 9 bytes in the image, a file of at most 8 was expected")
        #expect(try await TestImage.make(layers).read("f", limit: 9) == ["f": "123456789"])
        #expect(try await TestImage.make(layers + [[.file("f", "1")]]).read("f", limit: 8) == ["f": "1"])
    }

    @Test("come of layers that have their digest, and no further layer is read than is needed")
    func integrity() async throws {
        let image = try await TestImage.make([[.file("etc/a", "old")], [.folder("etc"), .file("etc/a", "new")]])
        try image.replace(0, by: archive([.file("etc/a", "bad")]))
        #expect(try await image.read("etc/a") == ["etc/a": "new"])
        let failure = await #expect(throws: Failure.self) { _ = try await image.read("etc/a", "etc/b") }
        #expect(failure?.kind == .integrity)
        // One byte behind the end of the archive is enough.
        try image.replace(1, by: archive([.folder("etc"), .file("etc/a", "new")]) + [0])
        let longer = await #expect(throws: Failure.self) { _ = try await image.read("etc/a") }
        #expect(longer?.kind == .integrity)
    }

    // MARK: - What unpacking says

    private static let folders = ["d", "e"]
    private static let files = ["f", "g"]

    private func randomLayer(_ dice: inout SeededGenerator, _ number: Int, _ known: inout [String]) -> [Item] {
        (0..<Int.random(in: 1...7, using: &dice)).map { index in
            var parts = (0..<Int.random(in: 0...2, using: &dice)).map { _ in
                Int.random(in: 0..<12, using: &dice) == 0 ? "x" : Self.folders.randomElement(using: &dice) ?? "d"
            }
            let folder = parts.joined(separator: "/")
            let choice = Int.random(in: 0..<20, using: &dice)
            let isOdd = Int.random(in: 0..<10, using: &dice) == 0
            let names = choice < 4 ? Self.folders : choice < 5 ? ["l"] : Self.files
            parts.append(isOdd && choice != 4 ? "x" : names.randomElement(using: &dice) ?? "f")
            let path = parts.joined(separator: "/")
            let target = known.randomElement(using: &dice)
            defer { if choice >= 5, choice < 13 { known.append(path) } }
            return switch choice {
            case 0..<4: .folder(path)
            case 4: .link(path, to: Self.folders[0])
            case 5..<13: .file(path, "\(number).\(index)", permissions: [0o644, 0o600, 0o755][index % 3])
            case 13..<16: target.map { .hardLink(path, to: $0) } ?? .folder("d")
            case 16..<19: .whiteout(known.randomElement(using: &dice) ?? path)
            default: folder.isEmpty ? .whiteout("d") : .opaque(folder)
            }
        }
    }

    /// What the unpacked tree has at a path: `nothing`, `refused`, or permissions and content.
    private func onDisk(_ path: String, in root: FilePath) throws -> String {
        var place = root
        let parts = path.split(separator: "/")
        for (index, part) in parts.enumerated() {
            place.append(String(part))
            var status = stat()
            guard lstat(place.string, &status) == 0 else { return "nothing" }
            let isLast = index == parts.count - 1
            switch status.st_mode & S_IFMT {
            case S_IFDIR: if isLast { return "refused" }
            case S_IFREG:
                guard isLast else { return "refused" }
                let bytes = try LinuxSystem.readFile(place)
                return "\(status.st_mode & 0o777) \(String(decoding: bytes, as: UTF8.self))"
            default: return "refused"
            }
        }
        return "nothing"
    }

    @Test("are what unpacking the image leaves, for any layers")
    func property() async throws {
        var compared = 0
        var found: Set<String> = []
        for seed in UInt64(0)..<600 {
            var dice = SeededGenerator(seed: seed)
            var known: [String] = []
            let layers = (0..<Int.random(in: 1...4, using: &dice)).map { randomLayer(&dice, $0, &known) }
            let image = try await TestImage.make(layers)
            let tree = image.scratch.path.appending("tree")
            do {
                try await TreeUnpacker(image.store).unpack(image.descriptor, to: tree)
            } catch is Failure {
                // Random layers contradict each other now and then.
                continue
            }
            compared += 1
            var paths = Set(layers.joined().map(\.path))
            for path in paths {
                paths.formUnion([path + "/f", path + "/l/f"])
                let parts = path.split(separator: "/")
                for count in 1..<max(parts.count, 2) { paths.insert(parts.prefix(count).joined(separator: "/")) }
            }
            var readable: Set<String> = []
            for path in paths.sorted() {
                let expected = try onDisk(path, in: tree)
                var seen = "refused"
                do {
                    let file = try await ImageFiles(image.store).read([path], of: image.manifest)[path]
                    seen = file.map { "\($0.permissions) \(String(decoding: $0.bytes, as: UTF8.self))" } ?? "nothing"
                    readable.insert(path)
                } catch let failure as Failure where failure.kind == .invalidInput {}
                #expect(seen == expected, "seed \(seed): \(path) of \(layers)")
                found.insert(expected.count > 7 || expected == "refused" ? "refused" : expected)
            }
            // All at once are the same as one by one.
            let all = try await ImageFiles(image.store).read(readable, of: image.manifest)
            for path in readable {
                let expected = try onDisk(path, in: tree)
                #expect((all[path] != nil) == (expected != "nothing"), "seed \(seed): \(path) of \(layers)")
            }
        }
        #expect(compared > 200, "only \(compared) of the random images can be unpacked")
        #expect(found.count > 20)
    }
}
