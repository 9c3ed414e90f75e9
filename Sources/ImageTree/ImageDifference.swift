import Archive
import ImageStore
import LinuxSystem
import OCI
import Report

/// What a second ClusterImage adds to a first one, drops and changes.
public struct ImageDifference: Sendable, Encodable, Hashable {
    /// What changed about one thing.
    public struct Change: Sendable, Encodable, Hashable {
        /// Which thing: a path, the name of an image, a field of the configuration.
        public var name: String
        /// What it was; nil when it is new.
        public var before: String?
        /// What it is; nil when it is gone.
        public var after: String?

        /// `+`, `-` or `~`.
        public var sign: String { before == nil ? "+" : after == nil ? "-" : "~" }
    }

    /// Files of the rootfs, by path.
    public var files: [Change]
    /// Contained images, by name: their manifests' digests.
    public var images: [Change]
    /// Labels, environment, launch commands, applications.
    public var config: [Change]
    /// Bytes that a store with the first image lacks of the second.
    public var newBytes: Int64

    /// Whether the two bring the same.
    public var isEmpty: Bool { files.isEmpty && images.isEmpty && config.isEmpty }

    /// Compares two images of a store.
    ///
    /// - Throws: `Failure` of kind `integrity` when a layer is damaged.
    public static func between(
        _ first: ClusterImage,
        _ second: ClusterImage,
        in store: ImageStore
    ) async throws -> ImageDifference {
        let had = Set(try await store.closure(of: first.descriptor).map(\.digest))
        let new = try await store.closure(of: second.descriptor).filter { !had.contains($0.digest) }
        return ImageDifference(
            files: try await files(first.manifest, second.manifest, in: store),
            images: changes(images(of: first), images(of: second)),
            config: changes(config(of: first), config(of: second)),
            newBytes: new.reduce(0) { $0 + $1.size }
        )
    }

    static func changes(_ before: [String: String], _ after: [String: String]) -> [Change] {
        Set(before.keys).union(after.keys).sorted().compactMap { name in
            before[name] == after[name] ? nil : Change(name: name, before: before[name], after: after[name])
        }
    }

    private static func images(of image: ClusterImage) -> [String: String] {
        image.members.reduce(into: [:]) { result, member in
            let platform = member.manifest.platform.map { " (\($0))" } ?? ""
            result["\(member.name)\(platform)"] = member.manifest.digest.description
        }
    }

    private static func config(of image: ClusterImage) -> [String: String] {
        var result: [String: String] = ["kind": image.sealer.kind.rawValue, "platform": "\(image.config.platform)"]
        for (name, value) in image.labels { result["label \(name)"] = value }
        for (name, value) in image.sealer.env { result["env \(name)"] = value }
        for (name, value) in image.sealer.args { result["arg \(name)"] = value }
        for entry in image.config.config?.env ?? [] {
            let pair = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            result["env \(pair[0])"] = pair.count > 1 ? String(pair[1]) : ""
        }
        for app in image.sealer.apps { result["application \(app.name)"] = "\(app.type.rawValue), \(app.path)" }
        for (number, launch) in image.sealer.launch.enumerated() {
            result["launch \(number + 1)"] =
                switch launch {
                case .app(let name): "application \(name)"
                case .shell(let command): command
                }
        }
        return result
    }

    private static func files(_ first: ImageManifest, _ second: ImageManifest, in store: ImageStore) async throws
        -> [Change]
    {
        guard first.layers.map(\.digest) != second.layers.map(\.digest) else { return [] }
        let before = try first.layers.map { try PackedLayer($0, in: store) }
        let after = try second.layers.map { try PackedLayer($0, in: store) }
        return try await BlockingPool.shared.run { cancellation in
            // What both begin with is read once.
            let shared = zip(before, after).prefix { $0.digest == $1.digest }.count
            var base = TreeListing()
            try base.apply(before.prefix(shared), cancellation)
            var (old, new) = (base, base)
            try old.apply(before.dropFirst(shared), cancellation)
            try new.apply(after.dropFirst(shared), cancellation)
            return changes(words(of: old), words(of: new))
        }
    }

    private static func words(of listing: TreeListing) -> [String: String] {
        listing.nodes.reduce(into: [:]) { $0[$1.key.description] = $1.value.inWords }
    }
}

extension TreeListing {
    /// Applies layers with the files' contents told by their digests. Blocks.
    fileprivate mutating func apply(_ layers: some Sequence<PackedLayer>, _ cancellation: CancellationFlag) throws {
        for layer in layers {
            try apply(try layer.open(), place: layer.place) { _, _, next in
                var hasher = ContentHasher()
                while try next({ hasher.update($0) }) { try cancellation.check() }
                return hasher.digest().description
            }
        }
    }
}

extension TreeListing.Node {
    /// What it is, so that two that differ in what counts differ in their words: `-rw-r--r-- 12 sha256:…`.
    fileprivate var inWords: String {
        let letters = Array("rwxrwxrwx")
        let mode = String((0..<9).map { permissions & (0o400 >> UInt32($0)) == 0 ? "-" : letters[$0] })
        let special = permissions & 0o7000 == 0 ? "" : " (special bits \(permissions >> 9))"
        return switch kind {
        case .folder: "d\(mode)\(special)"
        case .symbolicLink: "link to \(content)"
        case .file, .hardLink: "-\(mode)\(special) \(size) bytes \(content)"
        case .characterDevice: "c\(mode)"
        case .blockDevice: "b\(mode)"
        case .fifo: "p\(mode)"
        case .other(let flag): "of type \(flag)"
        }
    }
}
