import Archive
import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage

/// Writes one archive: lists from memory, blobs from the store. Belongs to one thread.
struct ArchiveWriting {
    let plan: ArchivePlan
    let store: ImageStore
    let cancellation: CancellationFlag
    let step: Step?

    /// Reads and hashes the next chunks while this thread writes the last one.
    private let reading = WorkQueue()

    init(plan: ArchivePlan, store: ImageStore, cancellation: CancellationFlag, step: Step?) {
        self.plan = plan
        self.store = store
        self.cancellation = cancellation
        self.step = step
    }

    /// Writes everything and finishes the sink.
    func write(into sink: any ByteSink) throws {
        let tar = TarWriter(sink)
        for (name, content) in plan.lists {
            try tar.begin(TarEntry(.file, name: Array(name.utf8), size: Int64(content.count)))
            try content.withUnsafeBytes { try tar.write($0) }
        }
        let total = plan.blobs.reduce(0) { $0 + $1.size }
        var done: Int64 = 0
        var told: Int64 = 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        step?.advance(0, of: total)
        for blob in plan.blobs {
            try tar.begin(TarEntry(.file, name: Array(blob.digest.layoutPath.utf8), size: blob.size))
            try copy(blob, into: tar, through: buffer) { count in
                done += Int64(count)
                guard done - told >= 1 << 20 else { return }
                told = done
                step?.advance(done, of: total)
            }
        }
        try tar.finish()
        step?.advance(done, of: total)
    }

    private func copy(
        _ blob: Descriptor,
        into tar: TarWriter,
        through buffer: UnsafeMutableRawBufferPointer,
        counted: (Int) -> Void
    ) throws {
        let hashed = try HashedBlob(blob, in: store, cancellation)
        let source: any ByteSource = blob.size > 1 << 20 ? ReadAhead(hashed, on: reading) : hashed
        var written: Int64 = 0
        while true {
            try cancellation.check()
            let count = try source.read(into: buffer)
            guard count > 0 else { break }
            written += Int64(count)
            guard written <= blob.size else { break }
            try tar.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            counted(count)
        }
        // The end was seen, so the reading thread has nothing more to say to the hash.
        guard written == blob.size, hashed.digest == blob.digest else {
            throw Failure(
                .integrity, "the blob \(blob.digest) of the store is damaged", at: store.path(of: blob.digest).string,
                remedy: "sealer fsck --repair")
        }
    }
}

/// A blob of the store that is hashed while it is read.
private final class HashedBlob: ByteSource {
    private let file: FileSource
    private let cancellation: CancellationFlag
    private var hasher: ContentHasher

    init(_ blob: Descriptor, in store: ImageStore, _ cancellation: CancellationFlag) throws {
        let path = store.path(of: blob.digest)
        let descriptor: FileDescriptor
        do {
            descriptor = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .noFollow])
        } catch {
            throw FileSource.failure(error, "cannot open the blob \(blob.digest) of the store", at: path.string)
        }
        posix_fadvise(descriptor.rawValue, 0, 0, POSIX_FADV_SEQUENTIAL)
        file = FileSource(descriptor, name: path.string, closes: true)
        self.cancellation = cancellation
        hasher = ContentHasher(blob.digest.algorithm)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        try cancellation.check()
        let count = try file.read(into: buffer)
        hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        return count
    }

    /// The digest of all that was read.
    var digest: Digest { hasher.digest() }
}
