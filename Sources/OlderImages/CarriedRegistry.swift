import Archive
import FoundationEssentials
import ImageStore
import ImageTree
import LinuxSystem
import OCI
import Report

/// The files of a docker-distribution registry that the layers of an older image add up to: its blobs, which go into the store as
/// they are met, and what the tags of its repositories stand for.
struct CarriedRegistry: Sendable {
    /// Where those images have the tree.
    static let folder = "registry/docker/registry/v2"

    /// What a tag stands for.
    struct Tag: Sendable, Hashable {
        var repository: String
        var tag: String
        var digest: Digest
    }

    /// The tags, sorted by repository and tag.
    var tags: [Tag] = []
    /// The manifests of each repository, tagged or not.
    var revisions: [String: Set<Digest>] = [:]
    /// Blobs whose bytes were not what their name says; they were not stored.
    var damaged: Set<Digest> = []
    /// Which of the layers hold files of the tree.
    var layers: Set<Int> = []
    /// The rootfs' file `Metadata`, if there is one.
    var metadata: Data?
    /// The names of the folders in `application/apps`.
    var applications: [String] = []

    private static let linkLimit = 4096
    private static let metadataLimit = 1 << 16

    /// Reads the layers, base first. Blocks. Hold a `StoreSession`.
    ///
    /// - Throws: `Failure` of kind `integrity` for damaged or hostile layers.
    static func read(_ layers: [PackedLayer], into store: ImageStore, _ cancellation: CancellationFlag) throws
        -> CarriedRegistry
    {
        var registry = CarriedRegistry()
        let root = try ArchivePath(Array(folder.utf8))
        let metadata = try ArchivePath(Array("Metadata".utf8))
        var listing = TreeListing()
        for (number, layer) in layers.enumerated() {
            try listing.apply(try layer.open(), place: layer.place) { path, size, next in
                try cancellation.check()
                if path == metadata {
                    return try text(next, limit: metadataLimit) ?? ""
                }
                guard path.isWithin(root) else { return "" }
                registry.layers.insert(number)
                let names = path.components.dropFirst(root.components.count).map { String(decoding: $0, as: UTF8.self) }
                if names.last == "link" { return try text(next, limit: linkLimit) ?? "" }
                if let digest = blob(names) {
                    if try !keep(digest, size, next, in: store, cancellation) { registry.damaged.insert(digest) }
                }
                return ""
            }
        }
        registry.metadata = listing.nodes[metadata].map { Data($0.content.utf8) }
        registry.interpret(listing, below: root)
        return registry
    }

    /// `blobs/sha256/ab/abcd…/data`
    private static func blob(_ names: [String]) -> Digest? {
        guard names.count == 5, names[0] == "blobs", names[4] == "data" else { return nil }
        return try? Digest("\(names[1]):\(names[3])")
    }

    /// Stores a blob; false when it is not what its name says.
    private static func keep(
        _ digest: Digest,
        _ size: Int64,
        _ next: ((UnsafeRawBufferPointer) throws -> Void) throws -> Bool,
        in store: ImageStore,
        _ cancellation: CancellationFlag
    ) throws -> Bool {
        let blob = Descriptor(mediaType: "application/octet-stream", digest: digest, size: size)
        guard try !store.has(blob) else { return true }
        let ingest = try store.beginBlob(blob)
        while try next({ try ingest.write($0) }) { try cancellation.check() }
        do {
            try ingest.commit()
            return true
        } catch let failure as Failure where failure.kind == .integrity {
            return false
        }
    }

    /// A small file's text; nil when it is not small.
    private static func text(
        _ next: ((UnsafeRawBufferPointer) throws -> Void) throws -> Bool, limit: Int
    ) throws -> String? {
        var bytes: [UInt8] = []
        while bytes.count <= limit, try next({ bytes.append(contentsOf: $0.prefix(limit + 1)) }) {}
        return bytes.count <= limit ? String(decoding: bytes, as: UTF8.self) : nil
    }

    /// Finds out what the links mean, once whiteouts and replacements are through.
    private mutating func interpret(_ listing: TreeListing, below root: ArchivePath) {
        let applications = Array("application/apps".utf8)
        for (path, node) in listing.nodes {
            if node.kind == .folder, path.parent.bytes == applications {
                self.applications.append(String(decoding: path.name, as: UTF8.self))
            }
            guard node.kind == .file, path.isWithin(root) else { continue }
            let names = path.components.dropFirst(root.components.count).map { String(decoding: $0, as: UTF8.self) }
            guard names.first == "repositories", names.last == "link",
                let end = names.firstIndex(of: "_manifests"),
                let digest = try? Digest(node.content.filter { !$0.isWhitespace })
            else { continue }
            let repository = names[1..<end].joined(separator: "/")
            switch (names.count - end, names.dropFirst(end + 1).first) {
            // _manifests/tags/TAG/current/link
            case (5, "tags") where names[end + 3] == "current":
                tags.append(Tag(repository: repository, tag: names[end + 2], digest: digest))
            // _manifests/revisions/sha256/HEX/link
            case (5, "revisions"): revisions[repository, default: []].insert(digest)
            default: continue
            }
        }
        tags.sort { ($0.repository, $0.tag) < ($1.repository, $1.tag) }
        self.applications.sort()
    }
}
