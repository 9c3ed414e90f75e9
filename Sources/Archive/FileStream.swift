import Glibc
import Report
import SystemPackage

/// A source of the bytes of an open file, pipe or socket.
public final class FileSource: ByteSource {
    private let descriptor: FileDescriptor
    private let name: String
    private let closes: Bool

    /// Makes a source of an open descriptor, from where it stands.
    ///
    /// - Parameters:
    ///   - name: of the file, for messages.
    ///   - closes: whether the descriptor is closed when the source goes away.
    public init(_ descriptor: FileDescriptor, name: String, closes: Bool = false) {
        self.descriptor = descriptor
        self.name = name
        self.closes = closes
    }

    /// Opens a file for reading.
    ///
    /// - Throws: `Failure` of kind `notFound`, `denied` or `system`.
    public convenience init(_ path: FilePath) throws {
        self.init(try Self.open(path), name: path.string, closes: true)
    }

    private static func open(_ path: FilePath) throws -> FileDescriptor {
        do {
            let descriptor = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec])
            posix_fadvise(descriptor.rawValue, 0, 0, POSIX_FADV_SEQUENTIAL)
            return descriptor
        } catch {
            throw failure(error, "cannot open the file", at: path.string)
        }
    }

    deinit {
        if closes { Glibc.close(descriptor.rawValue) }
    }

    /// Reads the next bytes.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        do {
            return try descriptor.read(into: buffer)
        } catch {
            throw Self.failure(error, "cannot read", at: name)
        }
    }

    /// Makes a failure of what the system said of a file: `notFound`, `denied`, else `system`.
    public static func failure(_ error: any Error, _ what: String, at place: String) -> Failure {
        let kind: Failure.Kind =
            switch error as? Errno {
            case .noSuchFileOrDirectory: .notFound
            case .permissionDenied, .notPermitted: .denied
            default: .system
            }
        return Failure(kind, what, at: place, causes: [error])
    }
}

/// A sink into an open file, pipe or socket.
public final class FileSink: ByteSink {
    private let descriptor: FileDescriptor
    private let name: String

    /// Makes a sink into an open descriptor, from where it stands. The descriptor stays open, and its owner syncs it.
    ///
    /// - Parameter name: of the file, for messages.
    public init(_ descriptor: FileDescriptor, name: String) {
        self.descriptor = descriptor
        self.name = name
    }

    /// Writes all bytes.
    ///
    /// - Throws: `Failure` of kind `system`, for instance when the disk is full.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        do {
            try descriptor.writeAll(bytes)
        } catch {
            throw FileSource.failure(error, "cannot write", at: name)
        }
    }

    /// Does nothing: every write went to the descriptor at once.
    public func finish() {}
}
