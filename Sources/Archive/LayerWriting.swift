import Glibc
import LinuxSystem
import Report
import SystemPackage

/// The writing of one layer's archive.
final class LayerWriting {
    private let tar: TarWriter
    private let timestamp: Int64
    private var meter: ByteMeter
    private var summary = LayerSummary()
    private var firstNames: [LayerWriter.FileIdentity: ArchivePath] = [:]
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)

    init(_ tar: TarWriter, timestamp: Int64, meter: ByteMeter) {
        self.tar = tar
        self.timestamp = timestamp
        self.meter = meter
    }

    deinit { buffer.deallocate() }

    func run(_ items: [(key: ArchivePath, value: LayerWriter.Item)]) throws -> LayerSummary {
        for (path, item) in items {
            try meter.add(0)
            summary.entries += 1
            try write(item, at: path)
        }
        try tar.finish()
        meter.finish()
        summary.bytes = meter.total
        return summary
    }

    private func write(_ item: LayerWriter.Item, at path: ArchivePath) throws {
        var entry = TarEntry(.file, name: path.bytes, modified: timestamp)
        switch item {
        case .folder(let permissions):
            entry.kind = .folder
            entry.permissions = permissions
            try tar.begin(entry)
        case .symbolicLink(let target):
            entry.kind = .symbolicLink
            entry.permissions = 0o777
            entry.linkName = target
            try tar.begin(entry)
        case .whiteout:
            try tar.begin(entry)
        case .content(let bytes, let permissions):
            entry.permissions = permissions
            entry.size = Int64(bytes.count)
            try tar.begin(entry)
            try bytes.withUnsafeBytes { try tar.write($0) }
            try meter.add(bytes.count)
        case .file(let source, let identity, let version, let permissions, let hasOtherNames):
            entry.permissions = permissions
            if hasOtherNames, let first = firstNames[identity] {
                entry.kind = .hardLink
                entry.linkName = first.bytes
                try tar.begin(entry)
            } else {
                firstNames[identity] = hasOtherNames ? path : nil
                try writeFile(source, identity, version, entry)
            }
        }
    }

    private func writeFile(
        _ source: FilePath,
        _ identity: LayerWriter.FileIdentity,
        _ version: LayerWriter.FileVersion,
        _ entry: TarEntry
    ) throws {
        let changed = Failure(
            .conflict,
            "changed while it was being packed",
            at: source.string,
            remedy: "run the command again when nothing writes to it"
        )
        do {
            // Not blocking and not through a link: something else may stand there by now.
            let file = try FileDescriptor.open(source, .readOnly, options: [.noFollow, .nonBlocking, .closeOnExec])
            try file.closeAfter {
                var information = stat()
                try check(fstat(file.rawValue, &information))
                guard information.isFile, LayerWriter.FileIdentity(information) == identity else { throw changed }
                posix_fadvise(file.rawValue, 0, 0, POSIX_FADV_SEQUENTIAL)
                var entry = entry
                entry.size = Int64(information.st_size)
                try tar.begin(entry)
                var written: Int64 = 0
                while true {
                    let count = try file.read(into: buffer)
                    guard count > 0 else { break }
                    written += Int64(count)
                    guard written <= entry.size else { throw changed }
                    try tar.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                    try meter.add(count)
                }
                guard written == entry.size else { throw changed }
                // A writer in the middle of it may have left the size as it was.
                try check(fstat(file.rawValue, &information))
                guard LayerWriter.FileVersion(information) == version else { throw changed }
            }
        } catch let error as Errno {
            throw FileSource.failure(error, "cannot read", at: source.string)
        }
    }
}
