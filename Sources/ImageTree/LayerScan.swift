import Archive
import FoundationEssentials
import LinuxSystem
import Report

/// What one layer says of some paths and of the folders above them, by the rules of unpacking (OCI image-spec, layer.md).
struct LayerScan {
    /// What a layer brings to a path.
    enum Own {
        /// A folder's own entry.
        case folder
        /// Something that lies below.
        case impliedFolder
        case file(ImageFile)
        case large(Int64)
        case symbolicLink
        /// Another name of the path, as it was before the entry of that number.
        case hardLink(ArchivePath, entry: Int)
        case special

        var isFolder: Bool {
            switch self {
            case .folder, .impliedFolder: true
            default: false
            }
        }
    }

    /// What it says of a path, level by level, the outermost first.
    struct Path {
        let levels: [ArchivePath]
        /// Only the entries before this one count.
        let bound: Int
        var own: [Own?]
        /// Whether what lower layers have there is gone.
        var isHidden: [Bool]
    }

    private(set) var paths: [Path]
    /// Which levels of which paths a name is.
    private var places: [ArchivePath: [(path: Int, level: Int)]] = [:]

    private static let prefix = Array(".wh.".utf8)
    private static let opaque = Array(".wh..wh..opq".utf8)
    private static let metadata = Array(".wh..wh.".utf8)

    init(_ asked: [(levels: [ArchivePath], bound: Int)]) {
        paths = asked.map { levels, bound in
            Path(
                levels: levels, bound: bound, own: Array(repeating: nil, count: levels.count),
                isHidden: Array(repeating: false, count: levels.count))
        }
        for (number, path) in paths.enumerated() {
            for (level, name) in path.levels.enumerated() { places[name, default: []].append((number, level)) }
        }
    }

    /// Reads the archive to its end. Blocks.
    mutating func read(_ tar: any ByteSource, place: String, limit: Int, _ cancellation: CancellationFlag) throws {
        let reader = TarReader(tar, place: place)
        var number = -1
        while let entry = try reader.next() {
            number += 1
            try cancellation.check()
            let path = try ArchivePath(entry.name)
            if path.isRoot { continue }
            if path.components.contains(where: { $0.starts(with: Self.prefix) }) {
                try hide(path, number)
                continue
            }
            imply(path, number)
            var file: ImageFile?
            for (asked, level) in places[path] ?? [] where number < paths[asked].bound {
                // Through a link: it lies elsewhere.
                if paths[asked].own[..<level].contains(where: { $0?.isFolder != true }) { continue }
                switch entry.kind {
                case .folder:
                    paths[asked].own[level] = .folder
                    continue
                case .file:
                    let isWanted = level == paths[asked].levels.count - 1 && entry.size <= Int64(limit)
                    if isWanted, file == nil {
                        file = ImageFile(
                            bytes: Data(try reader.readContent(limit: limit)), permissions: entry.permissions)
                    }
                    put(file.map { .file($0) } ?? .large(entry.size), asked, level)
                case .symbolicLink: put(.symbolicLink, asked, level)
                case .hardLink:
                    let target = try ArchivePath(entry.linkName)
                    // Another name of itself changes nothing.
                    if target != path { put(.hardLink(target, entry: number), asked, level) }
                case .characterDevice, .blockDevice, .fifo: put(.special, asked, level)
                case .other(let flag):
                    throw Failure(.integrity, "is of the unknown type \(flag)", at: "\(place): \(path)")
                }
            }
        }
    }

    /// Something that is no folder replaces all that was there.
    private mutating func put(_ own: Own, _ asked: Int, _ level: Int) {
        paths[asked].own[level] = own
        for deeper in paths[asked].levels.indices.dropFirst(level) {
            paths[asked].isHidden[deeper] = true
            if deeper > level { paths[asked].own[deeper] = nil }
        }
    }

    /// The folders above an entry are there on its account.
    private mutating func imply(_ path: ArchivePath, _ number: Int) {
        var folder = path.parent
        while !folder.isRoot {
            for (asked, level) in places[folder] ?? [] where number < paths[asked].bound {
                if paths[asked].own[level] == nil { paths[asked].own[level] = .impliedFolder }
            }
            folder = folder.parent
        }
    }

    /// A whiteout speaks of lower layers only.
    private mutating func hide(_ path: ArchivePath, _ number: Int) throws {
        guard !path.parent.components.contains(where: { $0.starts(with: Self.prefix) }) else { return }
        let isOpaque = path.name.elementsEqual(Self.opaque)
        guard isOpaque || !path.name.starts(with: Self.metadata) else { return }
        let target = isOpaque ? path.parent : try path.parent.child(path.name.dropFirst(Self.prefix.count))
        if target.isRoot {
            for asked in paths.indices where number < paths[asked].bound { hide(asked, from: 0) }
        }
        for (asked, level) in places[target] ?? [] where number < paths[asked].bound {
            hide(asked, from: isOpaque ? level + 1 : level)
        }
    }

    private mutating func hide(_ asked: Int, from level: Int) {
        for level in paths[asked].levels.indices.dropFirst(level) { paths[asked].isHidden[level] = true }
    }
}
