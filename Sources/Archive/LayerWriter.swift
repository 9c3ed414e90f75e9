import Glibc
import LinuxSystem
import Report
import SystemPackage

/// Writes one layer out of files and folders from several places.
///
/// First everything is added, which only looks at the sources; `finish` writes the archive. Its bytes depend on nothing but names,
/// kinds, contents, permissions and the timestamp: entries are sorted by their bytes, owners are 0, permissions keep the bits
/// `rwx` (setuid, setgid and sticky are dropped), names that share a file become hard links, extended attributes and holes are not kept.
/// Everything blocks: use it on the `BlockingPool`.
public final class LayerWriter {
    enum Item {
        case folder(permissions: UInt32)
        case file(FilePath, FileIdentity, FileVersion, permissions: UInt32, hasOtherNames: Bool)
        case content([UInt8], permissions: UInt32)
        case symbolicLink(target: [UInt8])
        case whiteout
    }

    /// Which file a name stood for when it was looked at.
    struct FileIdentity: Hashable {
        var device: dev_t
        var inode: ino_t

        init(_ information: stat) {
            device = information.st_dev
            inode = information.st_ino
        }
    }

    /// What changes when a file's content does: the kernel sets the time of the last change, no program can set it back.
    struct FileVersion: Hashable {
        var size: Int64
        var modified: ChangeTime
        var changed: ChangeTime

        init(_ information: stat) {
            size = Int64(information.st_size)
            modified = ChangeTime(information.st_mtim)
            changed = ChangeTime(information.st_ctim)
        }
    }

    private let sink: any ByteSink
    private let timestamp: Int64
    private let cancellation: CancellationFlag?
    private let progress: ((Int64) -> Void)?
    private var items: [ArchivePath: Item] = [:]

    /// Makes a writer; nothing is written before `finish`.
    ///
    /// - Parameters:
    ///   - sink: gets the tar archive, not compressed (wrap it: `Compression.zstd.encoder(into:)`).
    ///   - timestamp: the time of every entry in seconds since 1970, for instance `SOURCE_DATE_EPOCH`.
    ///   - progress: gets the bytes of content written so far, at most once a MiB.
    public init(
        _ sink: any ByteSink,
        timestamp: Int64 = 0,
        cancellation: CancellationFlag? = nil,
        progress: ((Int64) -> Void)? = nil
    ) {
        self.sink = sink
        self.timestamp = timestamp
        self.cancellation = cancellation
        self.progress = progress
    }

    /// Whether nothing was added.
    public var isEmpty: Bool { items.isEmpty }

    /// Adds a file, a link (as it is, not followed), or a folder with all that is in it.
    ///
    /// What an earlier call added at the same place is replaced; folders are merged.
    ///
    /// - Parameters:
    ///   - destination: where it stands in the layer; a leading slash means the layer's root.
    ///   - isIgnored: asked for each name in the folder, with its path relative to `source` and whether it is a folder; an
    ///     ignored folder is not entered.
    /// - Throws: `Failure` of kind `notFound`, `invalidInput` for sockets, pipes, devices and names that begin with `.wh.`,
    ///   `conflict` when a file and a folder claim the same place, `system`.
    public func add(
        _ source: FilePath,
        as destination: FilePath,
        ignoring isIgnored: (_ path: FilePath, _ isFolder: Bool) -> Bool = { _, _ in false }
    ) throws {
        var information = stat()
        guard lstat(source.string, &information) == 0 else {
            throw FileSource.failure(Errno(rawValue: errno), "cannot read", at: source.string)
        }
        let path = try ArchivePath(inTree: destination)
        guard information.isFolder else {
            guard !path.isRoot else { throw Self.rootTaken(source) }
            try addLeaf(information, source, path) {
                let parent = source.removingLastComponent()
                return try FolderHandle.open(parent.isEmpty ? "." : parent).linkTarget(source.lastName)
            }
            return
        }
        do {
            try addFolder(try FolderHandle.open(source), information, source, FilePath(""), path, isIgnored)
        } catch let error as Errno {
            throw FileSource.failure(error, "cannot read", at: source.string)
        }
    }

    /// Adds a file with the given content.
    public func add(
        content: [UInt8], as destination: FilePath,
        permissions: FilePermissions = [.ownerReadWrite, .groupRead, .otherRead]
    )
        throws
    {
        let path = try ArchivePath(inTree: destination)
        guard !path.isRoot else { throw Self.rootTaken(destination) }
        try place(.content(content, permissions: UInt32(permissions.rawValue) & 0o777), at: path)
    }

    /// Adds an empty folder, or sets the permissions of one that was added.
    public func addFolder(_ destination: FilePath, permissions: FilePermissions = FilePermissions(rawValue: 0o755))
        throws
    {
        try place(.folder(permissions: UInt32(permissions.rawValue) & 0o777), at: ArchivePath(inTree: destination))
    }

    /// Adds a symbolic link.
    public func addSymbolicLink(_ destination: FilePath, to target: FilePath) throws {
        let path = try ArchivePath(inTree: destination)
        guard !path.isRoot else { throw Self.rootTaken(destination) }
        try place(.symbolicLink(target: target.bytes), at: path)
    }

    /// Adds a whiteout: the layer deletes what a lower one has at this place.
    public func addWhiteout(of destination: FilePath) throws {
        let path = try ArchivePath(inTree: destination)
        guard !path.isRoot else { throw Self.rootTaken(destination) }
        let marker = try path.parent.child(Array(".wh.".utf8) + path.name)
        try prepareParents(of: marker)
        items[marker] = .whiteout
    }

    /// Tells everything that the archive's bytes depend on, as the key of a cache: names, kinds, permissions, the timestamp; and
    /// files by which file it is, its size and its times, without reading them.
    ///
    /// - Parameter take: gets the pieces; the same pieces mean the same archive.
    /// - Returns: when the youngest of the files was changed last; nil without files. A file that is changed again within the
    ///   same tick of the kernel's clock looks the same, so a key made so soon must not be trusted.
    public func fingerprint(_ take: (UnsafeRawBufferPointer) -> Void) -> ChangeTime? {
        var newest: ChangeTime?
        func tell(_ pieces: [UInt8]...) {
            for piece in pieces {
                withUnsafeBytes(of: UInt64(piece.count)) { take($0) }
                piece.withUnsafeBytes { take($0) }
            }
        }
        func number(_ value: some BinaryInteger) -> [UInt8] { Array("\(value)".utf8) }
        tell(number(timestamp))
        for (path, item) in items.sorted(by: { $0.key < $1.key }) {
            switch item {
            case .folder(let permissions): tell([0], path.bytes, number(permissions))
            case .content(let bytes, let permissions): tell([1], path.bytes, bytes, number(permissions))
            case .symbolicLink(let target): tell([2], path.bytes, target)
            case .whiteout: tell([3], path.bytes)
            case .file(_, let identity, let version, let permissions, let hasOtherNames):
                newest = max(newest ?? version.changed, version.changed)
                tell([4], path.bytes, number(identity.device), number(identity.inode), number(version.size))
                tell(number(version.modified.seconds), number(version.modified.nanoseconds))
                tell(number(version.changed.seconds), number(version.changed.nanoseconds))
                tell(number(permissions), [hasOtherNames ? 1 : 0])
            }
        }
        return newest
    }

    /// Writes the layer and finishes the sink. The writer is used up then.
    ///
    /// - Throws: `Failure` of kind `conflict` when a source changed since it was added, `system`; `CancellationError`.
    @discardableResult
    public func finish() throws -> LayerSummary {
        let writing = LayerWriting(
            TarWriter(sink),
            timestamp: timestamp,
            meter: ByteMeter(cancellation, progress)
        )
        return try writing.run(items.sorted { $0.key < $1.key })
    }

    // MARK: Looking at sources

    private func addFolder(
        _ folder: FolderHandle,
        _ information: stat,
        _ source: FilePath,
        _ relative: FilePath,
        _ path: ArchivePath,
        _ isIgnored: (FilePath, Bool) -> Bool
    ) throws {
        try cancellation?.check()
        try place(.folder(permissions: information.st_mode & 0o777), at: path)
        for name in try folder.names() {
            let cName = name.cName
            let component = FilePath(platformString: cName)
            let childSource = source.pushing(component)
            let childRelative = relative.pushing(component)
            guard let status = try folder.status(cName) else { continue }
            if isIgnored(childRelative, status.isFolder) { continue }
            let childPath = try path.child(name)
            if status.isFolder {
                try addFolder(try folder.folder(cName), status, childSource, childRelative, childPath, isIgnored)
            } else {
                try addLeaf(status, childSource, childPath) { try folder.linkTarget(cName) }
            }
        }
    }

    private func addLeaf(
        _ information: stat,
        _ source: FilePath,
        _ path: ArchivePath,
        linkTarget: () throws -> [UInt8]
    ) throws {
        if information.isFile {
            let item = Item.file(
                source,
                FileIdentity(information),
                FileVersion(information),
                permissions: information.st_mode & 0o777,
                hasOtherNames: information.st_nlink > 1
            )
            try place(item, at: path)
        } else if information.isSymbolicLink {
            do {
                try place(.symbolicLink(target: try linkTarget()), at: path)
            } catch let error as Errno {
                throw FileSource.failure(error, "cannot read the link", at: source.string)
            }
        } else {
            throw Failure(
                .invalidInput,
                "is a socket, a pipe or a device, which a layer cannot hold",
                at: source.string,
                remedy: "delete it, or leave it out of the build context"
            )
        }
    }

    // MARK: The plan

    private func place(_ item: Item, at path: ArchivePath) throws {
        if path.name.starts(with: Array(".wh.".utf8)) {
            throw Failure(
                .invalidInput,
                "a name that begins with .wh. would delete files when the layer is unpacked",
                at: path.description,
                remedy: "rename it"
            )
        }
        try prepareParents(of: path)
        switch (items[path], item) {
        case (.folder, .folder), (nil, _): break
        case (.folder, _), (_, .folder): throw Self.conflict(path)
        default: break
        }
        // The layer's root gets no entry: its permissions are not the layer's business.
        if !path.isRoot { items[path] = item }
    }

    private func prepareParents(of path: ArchivePath) throws {
        var parent = path.parent
        while !parent.isRoot {
            switch items[parent] {
            case .folder: return
            case nil: items[parent] = .folder(permissions: 0o755)
            default: throw Self.conflict(parent)
            }
            parent = parent.parent
        }
    }

    private static func conflict(_ path: ArchivePath) -> Failure {
        Failure(.conflict, "would be a file and a folder in the same layer", at: path.description)
    }

    private static func rootTaken(_ source: FilePath) -> Failure {
        Failure(.invalidInput, "a file cannot take the place of the layer's root", at: source.string)
    }
}

/// A moment as a file system notes it.
public struct ChangeTime: Hashable, Comparable, Sendable {
    /// Seconds since 1970.
    public var seconds: Int
    /// Nanoseconds beyond them.
    public var nanoseconds: Int

    init(_ time: timespec) {
        seconds = time.tv_sec
        nanoseconds = time.tv_nsec
    }

    /// The present moment, by the clock that file systems use.
    public static func now() -> ChangeTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &time)
        return ChangeTime(time)
    }

    /// How long before another moment it was.
    public func duration(until later: ChangeTime) -> Duration {
        .seconds(later.seconds - seconds) + .nanoseconds(later.nanoseconds - nanoseconds)
    }

    /// Whether it was earlier.
    public static func < (left: ChangeTime, right: ChangeTime) -> Bool {
        (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds)
    }
}

/// What a written layer holds.
public struct LayerSummary: Sendable, Equatable {
    /// Entries.
    public var entries = 0
    /// Bytes of content.
    public var bytes: Int64 = 0
}

extension FilePath {
    /// The last component as system calls take it.
    fileprivate var lastName: CName { (lastComponent.map { FilePath(root: nil, [$0]).bytes } ?? Array(".".utf8)).cName }
}
