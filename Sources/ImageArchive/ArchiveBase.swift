import Archive
import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage

/// What the other side of a `save --since` has.
public enum ArchiveBase: Sendable {
    /// An image of this store: all of its blobs.
    case image(Descriptor)
    /// An archive that was loaded there: all that is in it, and what it left out itself.
    case archive(ArchiveInput)
    /// A text file with one digest a line; empty lines and lines that begin with `#` do not count.
    case digests(FilePath)

    /// The base that an argument means: a path when it begins with `/` or `.`, else an image of the store if there is one, else a path.
    ///
    /// - Throws: `Failure` of kind `notFound` that says both, and what `ImageStore.select` throws.
    public static func find(_ text: String, in store: ImageStore) async throws -> ArchiveBase {
        let path = FilePath(text)
        if text.hasPrefix("/") || text.hasPrefix(".") { return try await file(path) }
        do {
            return .image(try await store.select(text).descriptor)
        } catch let failure as Failure where failure.kind == .notFound {
            do {
                return try await file(path)
            } catch let other as Failure where other.kind == .notFound {
                throw Failure(
                    .notFound, "\(text) is neither an image of the store nor a file", at: store.root.string,
                    remedy: "see what there is with: sealer images")
            }
        }
    }

    /// Tells archives from lists of digests by their first bytes.
    private static func file(_ path: FilePath) async throws -> ArchiveBase {
        let input = try ArchiveInput([path])
        if case .parts = input { return .archive(input) }
        return try await BlockingPool.shared.run {
            var start = [UInt8](repeating: 0, count: 512)
            let file = try InputFile(path)
            let count = try start.withUnsafeMutableBytes { try file.readFully(into: $0) }
            let isPacked = Compression.detect(start.prefix(count)) != .none
            return isPacked || start.prefix(count).contains(0) ? .archive(input) : .digests(path)
        }
    }

    /// The digests of all blobs that the other side has.
    func blobs(in store: ImageStore) async throws -> Set<Digest> {
        switch self {
        case .image(let descriptor): Set(try await store.closure(of: descriptor).map(\.digest))
        case .archive(let input): try await BlockingPool.shared.run { try Self.blobs(of: input, $0) }
        case .digests(let path): try await BlockingPool.shared.run { try Self.digests(in: path) }
        }
    }

    /// Reads the headers of an archive; the blobs of a plain file are not read.
    private static func blobs(of input: ArchiveInput, _ cancellation: CancellationFlag) throws -> Set<Digest> {
        let limits = ArchiveLimits()
        let archive = try OpenArchive(input, limits: limits, cancellation: cancellation)
        var result: Set<Digest> = []
        while let entry = try archive.tar.next() {
            guard entry.kind == .file else { continue }
            switch try ArchiveEntryRole(try ArchivePath(entry.name), at: input.name) {
            case .blob(let digest): result.insert(digest)
            case .list where entry.displayName == ArchiveLayout.delta:
                let bytes = Data(try archive.tar.readContent(limit: limits.listSize))
                result.formUnion(try DeltaDocument(parsing: bytes, at: input.name).omitted.map(\.digest))
            default: break
            }
        }
        guard !result.isEmpty else {
            throw Failure(
                .invalidInput, "the archive tells no digests of blobs, so nobody knows what the other side has",
                at: input.name, remedy: "name an archive that sealer save or skopeo's oci-archive: wrote")
        }
        return result
    }

    private static func digests(in path: FilePath) throws -> Set<Digest> {
        let text = String(decoding: try readFile(path, limit: 64 << 20), as: UTF8.self)
        var result: Set<Digest> = []
        var mistakes: [Diagnostic] = []
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let word = String(line.filter { !$0.isWhitespace })
            guard !word.isEmpty, !word.hasPrefix("#") else { continue }
            do {
                result.insert(try Digest(word))
            } catch {
                mistakes.append(Diagnostic(file: path.string, line: number + 1, column: 1, message: error.what))
            }
        }
        guard mistakes.isEmpty else { throw InvalidText(Array(mistakes.prefix(20))) }
        return result
    }
}
