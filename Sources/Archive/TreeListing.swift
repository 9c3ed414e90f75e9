import Report

/// What layers, lowest first, add up to, without unpacking them: every path with what is there.
///
/// It follows the rules of unpacking (OCI image-spec, layer.md): later entries replace earlier ones, whiteouts delete what lower
/// layers brought, a hard link is the file that it names.
public struct TreeListing: Sendable {
    /// What is at a path.
    public struct Node: Sendable, Hashable {
        /// What it is; hard links are told as the files that they are.
        public var kind: TarEntry.Kind
        /// The mode's lower twelve bits.
        public var permissions: UInt32
        /// Bytes of content.
        public var size: Int64
        /// What `apply` was told of a file's content, for instance its digest; a symbolic link's target.
        public var content: String
    }

    /// Every path but the root.
    public private(set) var nodes: [ArchivePath: Node] = [:]
    /// What is in each folder, so that a whiteout costs what it deletes.
    private var children: [ArchivePath: Set<ArchivePath>] = [:]

    private static let prefix = Array(".wh.".utf8)
    private static let opaque = Array(".wh..wh..opq".utf8)
    private static let metadata = Array(".wh..wh.".utf8)

    /// Makes the listing of an empty tree.
    public init() {}

    /// Applies a layer. Blocks.
    ///
    /// - Parameters:
    ///   - tar: the archive, unpacked already. It is read to its end.
    ///   - place: what it is, for messages.
    ///   - describe: gets a file's path, size and a function that passes its content on chunk by chunk, and says what the
    ///     content is; what it does not take is passed over.
    /// - Throws: `Failure` of kind `integrity` for damaged or hostile archives.
    public mutating func apply(
        _ tar: any ByteSource,
        limits: TarLimits = TarLimits(),
        place: String,
        describing describe: (
            _ path: ArchivePath, _ size: Int64, _ next: ((UnsafeRawBufferPointer) throws -> Void) throws -> Bool
        ) throws -> String
    ) throws {
        let reader = TarReader(tar, limits: limits, place: place)
        var made: Set<ArchivePath> = []
        while let entry = try reader.next() {
            let path = try ArchivePath(entry.name)
            if path.isRoot { continue }
            if path.components.contains(where: { $0.starts(with: Self.prefix) }) {
                try delete(path, keeping: made)
                continue
            }
            var node = Node(kind: entry.kind, permissions: entry.permissions, size: entry.size, content: "")
            switch entry.kind {
            case .file:
                node.content = try describe(path, entry.size) { chunk in
                    try reader.withContent { try chunk($0) } != nil
                }
            case .symbolicLink:
                node.content = String(decoding: entry.linkName, as: UTF8.self)
                node.permissions = 0o777
            case .hardLink:
                let target = try ArchivePath(entry.linkName)
                guard let linked = nodes[target], linked.kind != .folder else {
                    throw Failure(.integrity, "is a hard link to \(target), which is no file", at: "\(place): \(path)")
                }
                node = linked
            case .folder, .characterDevice, .blockDevice, .fifo: break
            case .other(let flag):
                throw Failure(.integrity, "is of the unknown type \(flag)", at: "\(place): \(path)")
            }
            put(node, at: path, &made)
        }
    }

    private mutating func put(_ node: Node, at path: ArchivePath, _ made: inout Set<ArchivePath>) {
        // A file in the place of a folder takes all that was in it away.
        if let old = nodes[path], old.kind == .folder, node.kind != .folder { remove(below: path, keeping: []) }
        nodes[path] = node
        made.insert(path)
        var path = path
        while !path.isRoot, children[path.parent, default: []].insert(path).inserted {
            path = path.parent
            guard !path.isRoot, nodes[path]?.kind != .folder else { return }
            nodes[path] = Node(kind: .folder, permissions: 0o755, size: 0, content: "")
            made.insert(path)
        }
    }

    private mutating func delete(_ path: ArchivePath, keeping made: Set<ArchivePath>) throws {
        if path.name.elementsEqual(Self.opaque) {
            remove(below: path.parent, keeping: made)
        } else if path.name.starts(with: Self.prefix), !path.name.starts(with: Self.metadata) {
            remove(try path.parent.child(path.name.dropFirst(Self.prefix.count)), keeping: made)
        }
    }

    private mutating func remove(_ path: ArchivePath, keeping made: Set<ArchivePath>) {
        remove(below: path, keeping: made)
        guard !made.contains(path), children[path] == nil, nodes.removeValue(forKey: path) != nil else { return }
        children[path.parent]?.remove(path)
        if children[path.parent]?.isEmpty == true { children[path.parent] = nil }
    }

    private mutating func remove(below folder: ArchivePath, keeping made: Set<ArchivePath>) {
        for child in children[folder] ?? [] { remove(child, keeping: made) }
    }
}
