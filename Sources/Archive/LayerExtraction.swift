import CLinux
import Glibc
import LinuxSystem
import Report
import SystemPackage

/// The unpacking of one layer.
final class LayerExtraction {
    let root: TreeRoot
    let policy: ExtractionPolicy
    let place: String
    var summary = ExtractionSummary()
    /// What this layer itself brought: its whiteouts speak of lower layers only (OCI image-spec, layer.md, "Whiteouts").
    var made: Set<ArchivePath> = []
    private let reader: TarReader
    private var meter: ByteMeter
    /// Folders get their permissions and times last: until then they must be writable, and each new name changes the time.
    private var folders: [ArchivePath: TarEntry] = [:]
    private var recent: (path: ArchivePath, handle: FolderHandle)?

    init(_ reader: TarReader, into root: TreeRoot, policy: ExtractionPolicy, meter: ByteMeter, place: String) {
        self.reader = reader
        self.root = root
        self.policy = policy
        self.meter = meter
        self.place = place
    }

    func run() throws -> ExtractionSummary {
        while let entry = try reader.next() {
            summary.entries += 1
            try meter.add(0)
            do {
                try unpack(entry)
            } catch let error as Errno {
                throw explained(error, entry)
            } catch let failure as Failure {
                throw located(failure, entry)
            }
        }
        recent = nil
        try finishFolders()
        if policy.syncs, sealer_syncfs(root.handle.descriptor) != 0 {
            throw Failure(.system, "cannot sync what was unpacked", at: place, causes: [Errno(rawValue: errno)])
        }
        summary.bytes = meter.total
        meter.finish()
        return summary
    }

    private func unpack(_ entry: TarEntry) throws {
        let path = try ArchivePath(entry.name)
        if try applyWhiteout(path) { return }
        if path.isRoot {
            guard entry.kind == .folder else { throw refused("would replace the root of the tree", entry) }
            folders[path] = entry
            return
        }
        switch entry.kind {
        case .file: try unpackFile(path, entry)
        case .folder: try unpackFolder(path, entry)
        case .symbolicLink: try unpackSymbolicLink(path, entry)
        case .hardLink: try unpackHardLink(path, entry)
        case .characterDevice, .blockDevice, .fifo: try unpackSpecialFile(path, entry)
        case .other(let flag): throw refused("is of the unknown type \(flag)", entry)
        }
    }

    // MARK: Kinds of entries

    private func unpackFile(_ path: ArchivePath, _ entry: TarEntry) throws {
        let parent = try parentFolder(of: path)
        let name = path.name.cName
        let file = try replacing(path, in: parent) { try parent.makeFile(name) }
        try file.closeAfter {
            var endsInHole = false
            while let isHole = try reader.withStretch({ try write($0, to: file, entry) }) { endsInHole = isHole }
            if endsInHole { try file.resize(to: entry.size) }
            try setAttributes(of: file.rawValue, entry)
        }
    }

    /// Writes data, or goes over a hole.
    ///
    /// - Returns: whether it was a hole.
    private func write(_ stretch: TarStretch, to file: FileDescriptor, _ entry: TarEntry) throws -> Bool {
        switch stretch {
        case .data(let chunk):
            try count(Int64(chunk.count), entry)
            try file.writeAll(chunk)
            return false
        case .hole(let length):
            try count(length, entry)
            // The file is new: what is never written stays a hole.
            try file.seek(offset: length, from: .current)
            return true
        }
    }

    /// Counts bytes of content, written or left out as a hole, before they reach the disk.
    private func count(_ bytes: Int64, _ entry: TarEntry) throws {
        guard bytes <= policy.maximumSize - meter.total else {
            throw refused("brings the content to more than the allowed \(policy.maximumSize) bytes", entry)
        }
        try meter.add(Int(bytes))
    }

    private func unpackFolder(_ path: ArchivePath, _ entry: TarEntry) throws {
        let parent = try parentFolder(of: path)
        let name = path.name.cName
        if try parent.status(name)?.isFolder != true {
            try replacing(path, in: parent) { try parent.makeFolder(name, permissions: 0o700) }
        }
        made.insert(path)
        folders[path] = entry
    }

    private func unpackSymbolicLink(_ path: ArchivePath, _ entry: TarEntry) throws {
        guard !entry.linkName.isEmpty else { throw refused("is a link to nothing", entry) }
        let parent = try parentFolder(of: path)
        let name = path.name.cName
        let target = entry.linkName.cName
        try replacing(path, in: parent) { try parent.makeSymbolicLink(name, to: target) }
        if policy.ownership == .asArchived {
            try check(fchownat(parent.descriptor, name, entry.userID, entry.groupID, AT_SYMLINK_NOFOLLOW))
        }
        var times = times(of: entry)
        try check(utimensat(parent.descriptor, name, &times, AT_SYMLINK_NOFOLLOW))
    }

    private func unpackHardLink(_ path: ArchivePath, _ entry: TarEntry) throws {
        let target = try ArchivePath(entry.linkName)
        let parent = try parentFolder(of: path)
        let targetName = target.name.cName
        guard let targetParent = try present(target.parent), let information = try targetParent.status(targetName)
        else {
            throw refused("is a hard link to \(target), which is not there", entry)
        }
        guard !target.isRoot, !information.isFolder else { throw refused("is a hard link to a folder", entry) }
        let name = path.name.cName
        // A link to itself must not delete itself first.
        if let present = try parent.status(name), present.st_ino == information.st_ino,
            present.st_dev == information.st_dev
        {
            made.insert(path)
            return
        }
        try replacing(path, in: parent) {
            try parent.makeHardLink(name, to: targetName, in: targetParent)
        }
    }

    private func unpackSpecialFile(_ path: ArchivePath, _ entry: TarEntry) throws {
        switch policy.specialFiles {
        case .refuse:
            throw refused("is a \(entry.kind == .fifo ? "named pipe" : "device"), which is not allowed here", entry)
        case .skip:
            summary.skipped.append(path.description)
        case .create:
            let type: mode_t =
                switch entry.kind {
                case .characterDevice: S_IFCHR
                case .blockDevice: S_IFBLK
                default: S_IFIFO
                }
            let parent = try parentFolder(of: path)
            let name = path.name.cName
            let device = sealer_makedev(entry.deviceMajor, entry.deviceMinor)
            try replacing(path, in: parent) {
                try parent.makeNode(name, mode: type | 0o600, device: device)
            }
            if policy.ownership == .asArchived {
                try check(fchownat(parent.descriptor, name, entry.userID, entry.groupID, AT_SYMLINK_NOFOLLOW))
            }
            // It was made here a moment ago by that name, and is no link.
            try check(fchmodat(parent.descriptor, name, permissions(of: entry), 0))
            var times = times(of: entry)
            try check(utimensat(parent.descriptor, name, &times, AT_SYMLINK_NOFOLLOW))
        }
    }

    // MARK: Places

    /// The open folder of a path, made when it is missing. Entries of one folder mostly follow each other.
    private func parentFolder(of path: ArchivePath) throws(Errno) -> FolderHandle {
        let parent = path.parent
        if let recent, recent.path == parent { return recent.handle }
        let handle = try root.folder(making: parent)
        recent = (parent, handle)
        // A folder without an entry of its own is there on account of this layer all the same.
        var ancestor = parent
        while !ancestor.isRoot, made.insert(ancestor).inserted { ancestor = ancestor.parent }
        return handle
    }

    /// An open folder if there is one.
    func present(_ path: ArchivePath) throws(Errno) -> FolderHandle? {
        do {
            return try root.folder(path)
        } catch Errno.noSuchFileOrDirectory {
            return nil
        } catch Errno.notDirectory {
            return nil
        }
    }

    /// Runs `make` at a name, and again after removing what stands there when it is taken.
    private func replacing<Result>(
        _ path: ArchivePath,
        in parent: FolderHandle,
        _ make: () throws -> Result
    ) throws -> Result {
        made.insert(path)
        do {
            return try make()
        } catch Errno.fileExists {
            try parent.remove(path.name.cName)
            forget(path)
            return try make()
        }
    }

    /// Drops what is known of a path that was removed: the folder that was found there, and what its folders should become.
    func forget(_ path: ArchivePath) {
        recent = nil
        if folders.isEmpty { return }
        for folder in folders.keys where folder.isWithin(path) { folders[folder] = nil }
    }

    // MARK: Attributes

    private func setAttributes(of descriptor: Int32, _ entry: TarEntry) throws(Errno) {
        // The owner first, for changing it clears setuid bits and capabilities.
        if policy.ownership == .asArchived { try check(fchown(descriptor, entry.userID, entry.groupID)) }
        try check(fchmod(descriptor, permissions(of: entry)))
        if policy.keepsExtendedAttributes { try setExtendedAttributes(of: descriptor, entry) }
        var times = times(of: entry)
        try check(futimens(descriptor, &times))
    }

    private func setExtendedAttributes(of descriptor: Int32, _ entry: TarEntry) throws(Errno) {
        for (name, value) in entry.extendedAttributes where name.hasPrefix("user.") || name == "security.capability" {
            try check(sealer_fsetxattr(descriptor, name, value, value.count))
        }
    }

    private func permissions(of entry: TarEntry) -> mode_t {
        entry.permissions & (policy.keepsSetuid ? 0o7777 : 0o1777)
    }

    private func times(of entry: TarEntry) -> [timespec] {
        let time = timespec(tv_sec: Int(entry.modified), tv_nsec: Int(entry.modifiedNanoseconds))
        return [time, time]
    }

    private func finishFolders() throws {
        // Those deep down first: a folder may lose the right to be entered.
        for (path, entry) in folders.sorted(by: { $1.key < $0.key }) {
            do {
                let handle = path.isRoot ? root.handle : try root.folder(path.parent).folder(path.name.cName)
                try setAttributes(of: handle.descriptor, entry)
            } catch {
                throw explained(error, entry)
            }
        }
    }

    // MARK: Messages

    func refused(_ what: String, _ entry: TarEntry) -> Failure {
        Failure(.integrity, what, at: "\(place): \(entry.displayName)")
    }

    /// The failure with the archive named, if it does not yet name it.
    private func located(_ failure: Failure, _ entry: TarEntry) -> Failure {
        if let stated = failure.place, stated.hasPrefix(place) { return failure }
        var located = failure
        located.place = "\(place): \(failure.place ?? entry.displayName)"
        return located
    }

    private func explained(_ error: Errno, _ entry: TarEntry) -> Failure {
        let entryPlace = "\(place): \(entry.displayName)"
        switch error {
        case .improperLink, .tooManySymbolicLinkLevels:
            return Failure(.integrity, "would be written through a link that leads out of the tree", at: entryPlace)
        case .notDirectory:
            return Failure(.integrity, "would be written below something that is no folder", at: entryPlace)
        case .fileExists, .noSuchFileOrDirectory:
            return Failure(.integrity, "would be written through a link that leads nowhere", at: entryPlace)
        default:
            return Failure(.system, "cannot be unpacked", at: entryPlace, causes: [error])
        }
    }
}
