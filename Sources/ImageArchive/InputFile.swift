import Archive
import Glibc
import LinuxSystem
import Report
import SystemPackage

/// A file, pipe or socket that an archive is read from; a file on disk is skipped over without reading.
final class InputFile: SkippableSource {
    private let descriptor: FileDescriptor
    private let name: String
    private let closes: Bool
    /// The bytes from where it stood when it was opened; nil for what is no file on disk.
    let size: Int64?
    private var end: Int64?
    private let cancellation: CancellationFlag?

    /// Opens a file.
    ///
    /// - Throws: `Failure` of kind `notFound`, `denied`, `system`, or `invalidInput` for a folder.
    convenience init(_ path: FilePath, _ cancellation: CancellationFlag? = nil) throws {
        let descriptor: FileDescriptor
        do {
            descriptor = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec])
        } catch {
            throw FileSource.failure(error, "cannot open the archive", at: path.string)
        }
        try self.init(descriptor, name: path.string, closes: true, cancellation)
    }

    /// Reads from an open descriptor, from where it stands.
    convenience init(_ descriptor: FileDescriptor, name: String, _ cancellation: CancellationFlag? = nil) throws {
        try self.init(descriptor, name: name, closes: false, cancellation)
    }

    private init(
        _ descriptor: FileDescriptor, name: String, closes: Bool, _ cancellation: CancellationFlag?
    ) throws {
        self.cancellation = cancellation
        self.descriptor = descriptor
        self.name = name
        self.closes = closes
        var information = stat()
        let isFile = fstat(descriptor.rawValue, &information) == 0 && information.st_mode & S_IFMT == S_IFREG
        let position = isFile ? lseek(descriptor.rawValue, 0, SEEK_CUR) : -1
        if isFile, position >= 0 {
            end = Int64(information.st_size)
            size = max(0, Int64(information.st_size) - Int64(position))
            posix_fadvise(descriptor.rawValue, 0, 0, POSIX_FADV_SEQUENTIAL)
        } else {
            size = nil
        }
        if information.st_mode & S_IFMT == S_IFDIR {
            throw Failure(.invalidInput, "this is a folder, not an archive", at: name)
        }
    }

    deinit {
        if closes { Glibc.close(descriptor.rawValue) }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        try waitForBytes()
        do {
            return try descriptor.read(into: buffer)
        } catch {
            throw FileSource.failure(error, "cannot read the archive", at: name)
        }
    }

    /// Waits until a pipe or socket has something: whoever writes into it may rest for long, and the user may give up meanwhile.
    private func waitForBytes() throws {
        guard size == nil, let cancellation else { return }
        var state = pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)
        while poll(&state, 1, 200) == 0 { try cancellation.check() }
    }

    func skip(_ count: Int64) throws -> Int64 {
        // Small gaps are read: the next header is then there already.
        guard let end, count >= 1 << 16 else { return 0 }
        do {
            let position = try descriptor.seek(offset: 0, from: .current)
            let target = min(end, position + count)
            guard target > position else { return 0 }
            try descriptor.seek(offset: target, from: .start)
            return target - position
        } catch {
            throw FileSource.failure(error, "cannot read the archive", at: name)
        }
    }
}
