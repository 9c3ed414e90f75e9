import Archive
import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage

/// Cuts an archive into parts of a size; each gets its name when it is whole, and the list comes last.
final class PartsSink: ByteSink {
    /// The smallest size of a part in bytes: smaller ones are a mistake in the unit.
    static let smallest: Int64 = 64 << 10

    private let archive: FilePath
    private let name: String
    private let partSize: Int64
    private var part: (file: TemporaryFile, hasher: ContentHasher, size: Int64)?
    private var done: [PartsList.Part] = []
    private let previous: [PartsList.Part]

    /// - Throws: `Failure` of kind `usage` for a size that is too small.
    init(_ archive: FilePath, partSize: Int64) throws {
        guard partSize >= Self.smallest else {
            throw Failure(.usage, "parts of \(partSize) bytes are too small, the least is \(Self.smallest)")
        }
        guard let name = archive.lastComponent?.string else {
            throw Failure(.usage, "this is not the name of a file", at: archive.string)
        }
        self.archive = archive
        self.name = name
        self.partSize = partSize
        let list = archive.removingLastComponent().appending(PartsList.listName(name))
        do {
            previous = try PartsList(at: list).parts
        } catch let failure as Failure where [.notFound, .integrity].contains(failure.kind) {
            previous = []
        }
        // An older list must not stand beside parts of a newer archive.
        guard unlink(list.string) == 0 || errno == ENOENT else {
            throw Failure(.system, "cannot replace the parts", at: list.string, causes: [Errno(rawValue: errno)])
        }
    }

    private func path(_ name: String) -> FilePath { archive.removingLastComponent().appending(name) }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            var open = try part ?? begin()
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(Int(clamping: partSize - open.size)))
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(piece.count))
            try open.file.write(piece)
            open.hasher.update(piece)
            open.size += Int64(piece.count)
            part = open
            if open.size == partSize { try end() }
        }
    }

    private func begin() throws -> (file: TemporaryFile, hasher: ContentHasher, size: Int64) {
        let name = PartsList.partName(name, done.count + 1)
        return (try TemporaryFile(for: path(name)), ContentHasher(), 0)
    }

    private func end() throws {
        guard let open = part else { return }
        part = nil
        try open.file.complete()
        done.append(
            .init(name: PartsList.partName(name, done.count + 1), size: open.size, digest: open.hasher.digest()))
    }

    func finish() throws { try end() }

    /// Writes the list, and deletes parts of an older, longer archive of that name.
    func complete() throws -> [FilePath] {
        try end()
        let list = path(PartsList.listName(name))
        try AtomicFile.write(canonicalJSON(PartsList(parts: done)), to: list)
        for part in previous.dropFirst(done.count) { unlink(path(part.name).string) }
        return done.map { path($0.name) } + [list]
    }

    func abandon() {
        part?.file.abandon()
        part = nil
        for part in done { unlink(path(part.name).string) }
        done = []
    }
}
