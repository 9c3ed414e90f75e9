import Archive
import LinuxSystem
import Report
import SystemPackage

/// Where an archive is read from.
public enum ArchiveInput: Sendable {
    /// A file, plain or packed.
    case file(FilePath)
    /// The parts that `save --split` wrote, in any order, with or without their list. What is not given lies beside what is.
    case parts([FilePath])
    /// An open file, pipe or socket from where it stands, for instance standard input; `name` is for messages. It stays open.
    case descriptor(FileDescriptor, name: String)

    /// The input that the paths of a command line mean: one file, or parts of one archive.
    ///
    /// - Throws: `Failure` of kind `usage` for several files that are no parts.
    public init(_ paths: [FilePath]) throws {
        guard let first = paths.first else { throw Failure(.usage, "no archive is given") }
        if paths.allSatisfy({ PartsList.isPart($0) || PartsList.isList($0) }) {
            self = .parts(paths)
        } else {
            guard paths.count == 1 else {
                let other = paths.first { !PartsList.isPart($0) && !PartsList.isList($0) } ?? first
                throw Failure(
                    .usage, "several files are given, and this is no part of an archive", at: other.string,
                    remedy: "load one archive at a time")
            }
            self = .file(first)
        }
    }

    /// What messages call it.
    var name: String {
        switch self {
        case .file(let path): path.string
        case .parts(let paths): paths.first?.string ?? "parts"
        case .descriptor(_, let name): name
        }
    }
}

/// An archive that is open for reading, unpacked on the way. Belongs to the thread that opened it.
struct OpenArchive {
    /// The tar stream.
    let tar: TarReader
    /// How many bytes there are to read, packed; nil when nobody knows.
    let size: Int64?

    /// Opens an archive and finds out how it is packed.
    ///
    /// - Parameter advanced: gets the packed bytes that were read or skipped so far.
    init(
        _ input: ArchiveInput,
        limits: ArchiveLimits,
        cancellation: CancellationFlag,
        advanced: @escaping (_ done: Int64, _ total: Int64?) -> Void = { _, _ in }
    ) throws {
        let source: any SkippableSource
        let size: Int64?
        switch input {
        case .file(let path):
            let file = try InputFile(path, cancellation)
            (source, size) = (file, file.size)
        case .descriptor(let descriptor, let name):
            let file = try InputFile(descriptor, name: name, cancellation)
            (source, size) = (file, file.size)
        case .parts(let paths):
            let parts = try PartsSource(PartsList.found(paths))
            (source, size) = (parts, parts.size)
        }
        self.size = size
        let metered = MeteredSource(source, cancellation) { advanced($0, size) }
        let (compression, unpacked) = try Self.unpacked(metered, limits, input.name)
        // A plain file is left as it is: then content that is not needed is not even read.
        let stream: any ByteSource =
            compression == .none ? unpacked : ReadAhead(unpacked, on: WorkQueue())
        tar = TarReader(stream, limits: limits.tar, place: input.name)
    }

    private static func unpacked(
        _ source: MeteredSource, _ limits: ArchiveLimits, _ place: String
    ) throws -> (Compression, any ByteSource) {
        var start = [UInt8](repeating: 0, count: 4)
        let count = try start.withUnsafeMutableBytes { try source.readFully(into: $0) }
        start.removeLast(start.count - count)
        guard count > 0 else {
            throw Failure(.integrity, "the archive is empty", at: place, remedy: "fetch it again")
        }
        let compression = Compression.detect(start)
        source.putBack(start)
        return (compression, try compression.decoder(source, limits: limits.decompression, place: place))
    }
}

/// Counts what is read or skipped of a source, and asks for cancellation at each chunk.
final class MeteredSource: SkippableSource {
    private let source: any SkippableSource
    private let cancellation: CancellationFlag
    private let advanced: (Int64) -> Void
    private var front: [UInt8] = []
    private var done: Int64 = 0
    private var told: Int64 = 0

    init(_ source: any SkippableSource, _ cancellation: CancellationFlag, advanced: @escaping (Int64) -> Void) {
        self.source = source
        self.cancellation = cancellation
        self.advanced = advanced
    }

    /// Lets bytes that were looked at be read again.
    func putBack(_ bytes: [UInt8]) { front = bytes }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        guard front.isEmpty else {
            let count = min(front.count, buffer.count)
            buffer.copyBytes(from: front.prefix(count))
            front.removeFirst(count)
            return count
        }
        return Int(try counted { Int64(try source.read(into: buffer)) })
    }

    func skip(_ count: Int64) throws -> Int64 {
        let fromFront = min(count, Int64(front.count))
        front.removeFirst(Int(fromFront))
        return fromFront + (try counted { try source.skip(count - fromFront) })
    }

    private func counted(_ body: () throws -> Int64) throws -> Int64 {
        try cancellation.check()
        let count = try body()
        done += count
        if count == 0 ? done > told : done - told >= 1 << 20 {
            told = done
            advanced(done)
        }
        return count
    }
}
