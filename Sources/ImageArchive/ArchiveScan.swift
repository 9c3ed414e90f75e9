import Archive
import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage

/// What one pass over an archive found: lists in memory, blobs in the store.
struct ArchiveScan: Sendable {
    /// `index.json`.
    var index: Data?
    /// `manifest.json`.
    var dockerManifest: Data?
    /// Whether `oci-layout` was there.
    var hasLayout = false
    /// The files that a docker-archive's `manifest.json` may name, by name.
    var files: [String: PartFile] = [:]
    /// Links by name: what they point to, not yet followed.
    var links: [String: [UInt8]] = [:]
    /// How many blobs came that the store lacked.
    var added = 0
    /// How many blobs the store had already.
    var present = 0

    /// A file of a docker-archive, which is in the store under its own digest.
    struct PartFile: Sendable, Hashable {
        var digest: Digest
        var size: Int64
        var compression: Compression
    }
}

/// Reads an archive once, from its first byte to its last, and brings its blobs into the store. Belongs to one thread.
///
/// Names in the archive are looked up and compared, and never become paths. The rule for entries: regular files are
/// taken by their name (`ArchiveEntryRole`), links outside `blobs/` are notes that `manifest.json` may use, folders mean nothing,
/// and anything else (devices, pipes, links as lists or blobs, two entries of one name) refuses the whole archive.
struct ArchiveScanner {
    let store: ImageStore
    let input: ArchiveInput
    let limits: ArchiveLimits
    let cancellation: CancellationFlag
    let advanced: (Int64, Int64?) -> Void
    /// Notes what is written, also when the pass fails.
    let commits: CommitQueue

    private var scan = ArchiveScan()
    private var seen: Set<ArchivePath> = []
    private var content: Int64 = 0

    init(
        store: ImageStore,
        input: ArchiveInput,
        limits: ArchiveLimits,
        commits: CommitQueue,
        cancellation: CancellationFlag,
        advanced: @escaping (Int64, Int64?) -> Void
    ) {
        self.store = store
        self.input = input
        self.limits = limits
        self.commits = commits
        self.cancellation = cancellation
        self.advanced = advanced
    }

    /// Reads everything, and waits until all blobs are durable.
    mutating func run() throws -> ArchiveScan {
        do {
            // The last words of a pass: also a failed one must not leave blobs that are still being committed.
            defer { commits.drain() }
            let archive = try OpenArchive(input, limits: limits, cancellation: cancellation, advanced: advanced)
            while let entry = try archive.tar.next() { try take(entry, archive.tar) }
        } catch let error as CancellationError {
            throw error
        } catch {
            if case .parts(let paths) = input { try PartsList.checkAll(paths, cancellation, cause: error) }
            throw error
        }
        for (name, file) in try commits.result() { scan.files[name] = file }
        return scan
    }

    private mutating func take(_ entry: TarEntry, _ tar: TarReader) throws {
        // Writers of whole folders begin with an entry for the folder itself.
        if entry.kind == .folder { return }
        let path = try ArchivePath(entry.name)
        let place = "\(input.name): \(path.description.prefix(200))"
        guard seen.insert(path).inserted else {
            throw Failure(.integrity, "the archive has two entries of this name", at: place)
        }
        let role = try ArchiveEntryRole(path, at: input.name)
        switch entry.kind {
        case .file: break
        case .symbolicLink, .hardLink:
            guard role != .list, !path.description.hasPrefix("blobs/") else {
                throw Failure(.integrity, "the archive has a link where a file must be", at: place)
            }
            // A hard link's target is counted from the archive's root, a symbolic one's from where the link is.
            let isHard = entry.kind == .hardLink
            scan.links[path.description] = isHard ? [UInt8(ascii: "/")] + entry.linkName : entry.linkName
            return
        default:
            throw Failure(.integrity, "the archive has something that is neither a file nor a link", at: place)
        }
        guard entry.size <= limits.size - content else {
            throw Failure(.integrity, "the archive holds more than \(limits.size) bytes", at: place)
        }
        content += entry.size
        switch role {
        case .list: try takeList(path.description, tar)
        case .blob(let digest): try takeBlob(digest, entry.size, tar, place)
        case .part(let hint): try takePart(path.description, hint, entry.size, tar, place)
        case .other: break
        }
    }

    // MARK: Lists

    private mutating func takeList(_ name: String, _ tar: TarReader) throws {
        switch name {
        case ArchiveLayout.layout:
            let bytes = Data(try tar.readContent(limit: 4096))
            guard let layout = try? JSONDecoder().decode(Layout.self, from: bytes),
                layout.imageLayoutVersion.hasPrefix("1.")
            else {
                throw Failure(.integrity, "oci-layout does not say version 1", at: input.name)
            }
            scan.hasLayout = true
        case ArchiveLayout.index:
            scan.index = Data(try tar.readContent(limit: Int(Document.sizeLimit)))
        case ArchiveLayout.dockerManifest:
            scan.dockerManifest = Data(try tar.readContent(limit: limits.listSize))
        default:
            let delta = try DeltaDocument(parsing: Data(try tar.readContent(limit: limits.listSize)), at: input.name)
            try check(delta)
        }
    }

    private struct Layout: Decodable {
        var imageLayoutVersion: String
    }

    /// Refuses an archive that builds on what this store does not have.
    private func check(_ delta: DeltaDocument) throws {
        let missing = try delta.omitted.filter { try size(of: $0.digest) != $0.size }
        guard missing.isEmpty else {
            throw Failure(
                .notFound,
                "the archive leaves out what the other side should have, and the store lacks \(missing.count) of these"
                    + " \(delta.omitted.count) blobs: \(ImageContents.list(missing.map(\.digest)))",
                at: input.name,
                remedy: "load the archive that this one was made against first, or save a whole one"
            )
        }
    }

    // MARK: Blobs

    private mutating func takeBlob(_ digest: Digest, _ size: Int64, _ tar: TarReader, _ place: String) throws {
        guard try self.size(of: digest) != size else {
            scan.present += 1
            return
        }
        let expected = Descriptor(mediaType: "application/octet-stream", digest: digest, size: size)
        try commits.add(try write(expected, size, tar, place).ingest, name: nil, compression: .none)
        scan.added += 1
    }

    /// Takes a file whose digest nobody has told.
    private mutating func takePart(
        _ name: String, _ hint: Digest?, _ size: Int64, _ tar: TarReader, _ place: String
    ) throws {
        // Names as `HEX.tar` tell the digest. When the store has that content, the archive's is not looked at: the image is made
        // of the digest, and what it must be is checked against the configuration like all others.
        if let hint, try self.size(of: hint) == size, size > 0 {
            var start: [UInt8] = []
            while start.count < 4, try tar.withContent(atMost: 4 - start.count, { start.append(contentsOf: $0) }) != nil
            {}
            scan.files[name] = .init(digest: hint, size: size, compression: Compression.detect(start))
            scan.present += 1
            return
        }
        let (ingest, compression) = try write(nil, size, tar, place)
        try commits.add(ingest, name: name, compression: compression)
        scan.added += 1
    }

    private func write(
        _ expected: Descriptor?, _ size: Int64, _ tar: TarReader, _ place: String
    ) throws -> (ingest: BlobIngest, compression: Compression) {
        try checkSpace(size, place)
        let ingest = try store.beginBlob(expected)
        // A chunk may be shorter than what tells the packing.
        var start: [UInt8] = []
        do {
            while try tar.withContent(
                atMost: 1 << 20,
                { (chunk: UnsafeRawBufferPointer) -> Void in
                    if start.count < 4 { start.append(contentsOf: chunk.prefix(4 - start.count)) }
                    try ingest.write(chunk)
                }) != nil
            {}
        } catch {
            ingest.abandon()
            throw error
        }
        return (ingest, Compression.detect(start))
    }

    /// The size of a blob of the store; nil when it is not there.
    private func size(of digest: Digest) throws -> Int64? {
        var information = stat()
        guard lstat(store.path(of: digest).string, &information) == 0, information.st_mode & S_IFMT == S_IFREG else {
            return nil
        }
        return Int64(information.st_size)
    }

    private func checkSpace(_ size: Int64, _ place: String) throws {
        var information = statvfs()
        guard statvfs(store.root.string, &information) == 0 else { return }
        let free = Int64(
            clamping: UInt64(information.f_bavail).multipliedReportingOverflow(by: UInt64(information.f_frsize))
                .partialValue)
        guard size <= free else {
            throw Failure(
                .system, "the archive has a blob of \(size) bytes, and the store's disk has \(free) free", at: place,
                remedy: "free some space, or name another folder with --root")
        }
    }
}
