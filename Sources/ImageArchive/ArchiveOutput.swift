import Archive
import Glibc
import LinuxSystem
import Report
import SystemPackage

/// The place that an archive is written to, which shows nothing of it before it is whole. Belongs to one thread.
final class ArchiveOutput {
    /// Where the bytes go.
    let sink: any ByteSink
    private var kind: Kind
    private let counter: ObservedSink

    private enum Kind {
        case file(TemporaryFile)
        case parts(PartsSink)
        case stream(closing: FileDescriptor?)
    }

    /// Opens the target.
    ///
    /// - Throws: `Failure` of kind `system` or `denied`, `usage` for parts that are too small, `conflict` when the target is a folder.
    init(_ target: ArchiveTarget) throws {
        switch target {
        case .descriptor(let descriptor, let name):
            kind = .stream(closing: nil)
            counter = ObservedSink(FileSink(descriptor, name: name))
        case .parts(let path, let size):
            let parts = try PartsSink(path, partSize: size)
            kind = .parts(parts)
            counter = ObservedSink(parts)
        case .file(let path):
            var information = stat()
            let isThere = stat(path.string, &information) == 0
            if isThere, information.st_mode & S_IFMT == S_IFDIR {
                throw Failure(.conflict, "a folder is in the way of the archive", at: path.string)
            }
            if isThere, information.st_mode & S_IFMT != S_IFREG {
                // `/dev/stdout` or a pipe: there is nothing to replace.
                let descriptor: FileDescriptor
                do {
                    descriptor = try FileDescriptor.open(path, .writeOnly, options: [.closeOnExec])
                } catch {
                    throw FileSource.failure(error, "cannot write the archive", at: path.string)
                }
                kind = .stream(closing: descriptor)
                counter = ObservedSink(FileSink(descriptor, name: path.string))
            } else {
                let file = try TemporaryFile(for: path)
                kind = .file(file)
                counter = ObservedSink(file)
            }
        }
        sink = counter
    }

    /// The bytes that were written.
    var size: Int64 { counter.count }

    /// Makes the archive durable and gives it its name.
    ///
    /// - Returns: the files that it consists of.
    func complete() throws -> [FilePath] {
        switch kind {
        case .file(let file):
            try file.complete()
            return [file.target]
        case .parts(let parts): return try parts.complete()
        case .stream(let descriptor):
            // Closed once only: after a failure the number may be another file's.
            kind = .stream(closing: nil)
            try descriptor?.close()
            return []
        }
    }

    /// Takes back what was written.
    func abandon() {
        switch kind {
        case .file(let file): file.abandon()
        case .parts(let parts): parts.abandon()
        case .stream(let descriptor): if let descriptor { Glibc.close(descriptor.rawValue) }
        }
    }
}

/// A file that is written beside its place: `.NAME.PID.NUMBER`.
final class TemporaryFile: ByteSink {
    let target: FilePath
    private let path: FilePath
    private var file: FileDescriptor?

    init(for target: FilePath) throws {
        guard let name = target.lastComponent else {
            throw Failure(.usage, "this is not the name of a file", at: target.string)
        }
        self.target = target
        path = target.removingLastComponent().appending(
            ".\(name.string).\(getpid()).\(UInt32.random(in: 0...UInt32.max))")
        do {
            file = try FileDescriptor.open(
                path, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead])
        } catch {
            throw FileSource.failure(error, "cannot write the archive", at: target.string)
        }
    }

    deinit { abandon() }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        guard let file else { throw Failure(.software, "an archive was written to after its end", at: target.string) }
        do {
            try file.writeAll(bytes)
        } catch {
            throw Failure(
                .system, "cannot write the archive", at: target.string,
                remedy: error as? Errno == .noSpace ? "free some space there, or write to another disk" : nil,
                causes: [error])
        }
    }

    func finish() {}

    /// Syncs the file and renames it to its place.
    func complete() throws {
        guard let file else { return }
        self.file = nil
        do {
            try file.closeAfter { guard fsync(file.rawValue) == 0 else { throw Errno(rawValue: errno) } }
            guard rename(path.string, target.string) == 0 else { throw Errno(rawValue: errno) }
            try AtomicFile.syncFolder(target.removingLastComponent())
        } catch {
            unlink(path.string)
            throw Failure(.system, "cannot complete the archive", at: target.string, causes: [error])
        }
    }

    func abandon() {
        guard let file else { return }
        self.file = nil
        close(file.rawValue)
        unlink(path.string)
    }
}
