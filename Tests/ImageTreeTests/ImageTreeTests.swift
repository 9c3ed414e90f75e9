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

/// A layer of these files in their order; nil is a whiteout, a text with `->` before it a hard link.
private func layer(_ files: [(path: String, content: String?)]) throws -> [UInt8] {
    let sink = MemorySink()
    let tar = TarWriter(sink)
    for (path, content) in files {
        if path.hasSuffix("/") {
            try tar.begin(TarEntry(.folder, name: Array(path.utf8), permissions: 0o755))
        } else if let content, content.hasPrefix("->") {
            try tar.begin(TarEntry(.hardLink, name: Array(path.utf8), linkName: Array(content.dropFirst(2).utf8)))
        } else {
            let bytes = Array((content ?? "").utf8)
            let parts = path.split(separator: "/")
            let name =
                content == nil
                ? (parts.dropLast().map(String.init) + [".wh.\(parts.last ?? "")"]).joined(separator: "/") : path
            try tar.begin(TarEntry(.file, name: Array(name.utf8), size: Int64(bytes.count)))
            if !bytes.isEmpty { try bytes.withUnsafeBytes { try tar.write($0) } }
        }
    }
    try tar.finish()
    return sink.bytes
}

private typealias Files = [(path: String, content: String?)]

/// Stores a ClusterImage of these layers.
private func image(
    _ layers: [Files],
    labels: [String: String] = [:],
    launch: [ClusterImageConfig.Launch] = [],
    members: [(name: String, content: String)] = [],
    in store: ImageStore
) async throws -> ClusterImage {
    var descriptors: [Descriptor] = []
    for files in layers {
        descriptors.append(try await store.put(Data(try layer(files)), mediaType: MediaType.layer))
    }
    let labelText = labels.map { "\"\($0.key)\":\"\($0.value)\"" }.joined(separator: ",")
    let launchText = String(decoding: try canonicalJSON(launch), as: UTF8.self)
    let config = try await store.put(
        Data(
            """
            {"architecture":"amd64","os":"linux","config":{"Labels":{\(labelText)}},"rootfs":{"type":"layers","diff_ids":[]},\
            "sealer":{"formatVersion":1,"kind":"app-installer","launch":\(launchText),"apps":[],"args":{},"env":{},"images":[]}}
            """.utf8),
        mediaType: MediaType.config)
    var rootfs = try await store.put(
        canonicalJSON(ImageManifest(config: config, layers: descriptors)), mediaType: MediaType.manifest)
    rootfs.annotations = [AnnotationKey.content: "rootfs"]
    rootfs.platform = .current
    var entries = [rootfs]
    for member in members {
        let blob = try await store.put(Data(member.content.utf8), mediaType: MediaType.layer)
        var entry = try await store.put(
            canonicalJSON(ImageManifest(config: config, layers: [blob])), mediaType: MediaType.manifest)
        entry.annotations = [AnnotationKey.content: "image", AnnotationKey.imageName: member.name]
        entries.append(entry)
    }
    let index = try await store.put(
        canonicalJSON(ImageIndex(artifactType: MediaType.clusterImage, manifests: entries)), mediaType: MediaType.index)
    return try await store.clusterImage(index, named: "test")
}

private func text(_ path: FilePath) throws -> String { String(decoding: try LinuxSystem.readFile(path), as: UTF8.self) }

@Suite("What a second image adds, drops and changes")
struct ImageDifferenceTests {
    private let base: Files = [("etc/", ""), ("etc/a", "one"), ("etc/b", "two"), ("bin/tool", "x")]

    @Test("nothing, when they bring the same by other layers")
    func same() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let first = try await image([base], in: store)
        let second = try await image(
            [
                [("etc/", ""), ("etc/a", "0"), ("etc/c", "3"), ("bin/tool", "x")],
                [("etc/c", nil), ("etc/a", "one"), ("etc/b", "two")],
            ], in: store)
        let difference = try await ImageDifference.between(first, second, in: store)
        #expect(difference.isEmpty, "\(difference)")
        #expect(difference.newBytes > 0)
    }

    @Test("files, through whiteouts, hard links and replaced folders")
    func files() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let first = try await image([base], in: store)
        let second = try await image(
            [base, [("etc/a", "1!"), ("etc/b", nil), ("etc/c", "->bin/tool"), ("new/deep/file", "y")]], in: store)
        let difference = try await ImageDifference.between(first, second, in: store)
        #expect(
            difference.files.map { "\($0.sign) \($0.name)" }
                == ["~ etc/a", "- etc/b", "+ etc/c", "+ new", "+ new/deep", "+ new/deep/file"])
        let third = try await image([base, [("etc", "a file now")]], in: store)
        let other = try await ImageDifference.between(first, third, in: store)
        #expect(other.files.map { "\($0.sign) \($0.name)" } == ["~ etc", "- etc/a", "- etc/b"])
        let emptied = try await image([base, [("etc/.wh..wh..opq", ""), ("etc/d", "4")]], in: store)
        let last = try await ImageDifference.between(first, emptied, in: store)
        #expect(last.files.map { "\($0.sign) \($0.name)" } == ["- etc/a", "- etc/b", "+ etc/d"])
    }

    @Test("contained images and configuration")
    func imagesAndConfig() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let first = try await image(
            [base], labels: ["tier": "web", "old": "1"], launch: [.shell("a")],
            members: [("docker.io/library/a:1", "a"), ("docker.io/library/b:1", "b")], in: store)
        let second = try await image(
            [base], labels: ["tier": "db"], launch: [.shell("a"), .shell("b")],
            members: [("docker.io/library/b:1", "B"), ("docker.io/library/c:1", "c")], in: store)
        let difference = try await ImageDifference.between(first, second, in: store)
        #expect(difference.files.isEmpty)
        #expect(
            difference.images.map { "\($0.sign) \($0.name)" } == [
                "- docker.io/library/a:1", "~ docker.io/library/b:1", "+ docker.io/library/c:1",
            ])
        #expect(
            difference.config.map { "\($0.sign) \($0.name)" } == ["- label old", "~ label tier", "+ launch 2"])
    }

    @Test("a damaged or hostile layer is an error, not a difference")
    func hostile() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let first = try await image([base], in: store)
        let second = try await image([[("../x", "y")]], in: store)
        let failure = await #expect(throws: Failure.self) {
            try await ImageDifference.between(first, second, in: store)
        }
        #expect(failure?.kind == .integrity)
    }
}

@Suite("Mounted images")
struct ImageMountTests {
    private let files: Files = [("etc/a", "one"), ("bin/tool", "x")]

    @Test("are files of their own without an overlay, and gone afterwards")
    func plain() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let mounts = ImageMounts(scratch.path.appending("mounts"), store: store)
        let image = try await image([files], in: store)
        let own = scratch.path.appending("own")
        let mount = try await mounts.mount(image, named: "a:1", at: own, plain: true)
        #expect(mount.kind == .plain)
        #expect(try text(own.appending("etc/a")) == "one")
        #expect(try await mounts.all() == [mount])
        #expect(try await mounts.unmount(own) == mount)
        #expect(try Folder.names(in: own).isEmpty)
        #expect(try await mounts.all().isEmpty)
        #expect(try await mounts.unmount(own) == nil)
    }

    @Test("do not go where there is something")
    func occupied() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let mounts = ImageMounts(scratch.path.appending("mounts"), store: store)
        let image = try await image([files], in: store)
        let failure = await #expect(throws: Failure.self) {
            try await mounts.mount(image, named: "a:1", at: scratch.path, plain: true)
        }
        #expect(failure?.kind == .conflict)
        #expect(try await mounts.all().isEmpty)
    }

    @Test("a failure leaves no record and no files")
    func damaged() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let mounts = ImageMounts(scratch.path.appending("mounts"), store: store)
        let image = try await image([[("../x", "y")]], in: store)
        let own = scratch.path.appending("own")
        for plain in [true, false] {
            await #expect(throws: Failure.self) { try await mounts.mount(image, named: "a:1", at: own, plain: plain) }
            #expect(try Folder.names(in: own).isEmpty)
            #expect(try await mounts.all().isEmpty)
        }
    }

    @Test("share one tree by overlays, written to without changing it", .enabled(if: getuid() == 0, "needs root"))
    func overlay() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let root = scratch.path.appending("mounts")
        let mounts = ImageMounts(root, store: store)
        let image = try await image([files], in: store)
        let first = try await mounts.mount(image, named: "a:1", at: nil)
        // Where this machine has no overlays on its temporary folder, the fallback is what is shown.
        let trees = Folder.exists(root.appending("trees")) ? try Folder.names(in: root.appending("trees")).count : 0
        #expect(trees == (first.kind == .overlay ? 1 : 0))
        let second = try await mounts.mount(image, named: "a:1", at: nil)
        try AtomicFile.write(Array("changed".utf8), to: FilePath(first.folder).appending("etc/a"))
        #expect(try text(FilePath(first.folder).appending("etc/a")) == "changed")
        #expect(try text(FilePath(second.folder).appending("etc/a")) == "one")
        for mount in try await mounts.all() { _ = try await mounts.unmount(FilePath(mount.folder)) }
        #expect(try await mounts.all().isEmpty)
        #expect(try Folder.names(in: root.appending("merged")).isEmpty)
        if trees == 1 {
            #expect(try Folder.names(in: root.appending("trees")).isEmpty)
            #expect(try Folder.names(in: root.appending("work")).isEmpty)
        }
    }
}
