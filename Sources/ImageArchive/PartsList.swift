import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage

/// The list of the parts of a split archive: the file `NAME.parts` beside `NAME.part001`, `NAME.part002`, …
///
/// It is written last, so a set of parts with a list is whole.
struct PartsList: Codable, Hashable, Sendable {
    /// A part.
    struct Part: Codable, Hashable, Sendable {
        /// The name of its file, which lies beside the list.
        var name: String
        /// Its size in bytes.
        var size: Int64
        /// The digest of its bytes.
        var digest: Digest
    }

    /// The version of this document, 1.
    var formatVersion = 1
    /// The parts, in their order.
    var parts: [Part]

    init(parts: [Part]) { self.parts = parts }

    /// The name of the list of the archive `name`.
    static func listName(_ name: String) -> String { "\(name).parts" }

    /// The name of a part, counted from 1.
    static func partName(_ name: String, _ number: Int) -> String {
        let digits = String(number)
        return "\(name).part\(String(repeating: "0", count: max(0, 3 - digits.utf8.count)))\(digits)"
    }

    /// Whether the path has the name of a list.
    static func isList(_ path: FilePath) -> Bool { path.lastComponent?.string.hasSuffix(".parts") ?? false }

    /// Whether the path has the name of a part.
    static func isPart(_ path: FilePath) -> Bool { archiveName(ofPart: path) != nil }

    private static func archiveName(ofPart path: FilePath) -> String? {
        guard let name = path.lastComponent?.string, let dot = name.lastIndex(of: "."), dot > name.startIndex else {
            return nil
        }
        let end = name[dot...].dropFirst()
        let digits = end.dropFirst("part".count).utf8
        guard end.hasPrefix("part"), digits.count >= 3, digits.allSatisfy({ (48...57).contains($0) }) else {
            return nil
        }
        return String(name[..<dot])
    }

    /// Reads a list.
    ///
    /// - Throws: `Failure` of kind `notFound` or `integrity`.
    init(at path: FilePath) throws {
        do {
            self = try JSONDecoder().decode(Self.self, from: try readFile(path, limit: 8 << 20))
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(.integrity, "this is no list of the parts of an archive", at: path.string, causes: [error])
        }
        guard let list = path.lastComponent?.string, formatVersion == 1, !parts.isEmpty else {
            throw Failure(
                .integrity, "this is no list of the parts of an archive that this sealer reads", at: path.string)
        }
        // The names are those that a list of this name must have, so none of them leads anywhere else.
        let archive = String(list.dropLast(".parts".count))
        for (index, part) in parts.enumerated() where part.name != Self.partName(archive, index + 1) || part.size < 0 {
            throw Failure(.integrity, "the list of parts has a part that cannot be", at: path.string)
        }
    }

    /// The parts that are meant by some paths, in their order, each looked at: it is there and has its size.
    ///
    /// - Throws: `Failure` that names every part that is missing or has another size.
    static func found(_ paths: [FilePath]) throws -> [(path: FilePath, part: Part)] {
        let lists = Set(
            paths.compactMap { path -> FilePath? in
                if isList(path) { return path }
                guard let name = archiveName(ofPart: path) else { return nil }
                return path.removingLastComponent().appending(listName(name))
            })
        let listPath = try paths.first(where: isList) ?? chosen(lists)
        guard Set(lists.compactMap { $0.lastComponent }).count == 1 else {
            throw Failure(.usage, "the parts belong to several archives", at: listPath.string)
        }
        let list: PartsList
        do {
            list = try PartsList(at: listPath)
        } catch let failure as Failure where failure.kind == .notFound {
            throw Failure(
                .notFound, "the list of the parts is missing", at: listPath.string,
                remedy: "bring the file that `save --split` wrote beside the parts")
        }
        let given = Dictionary(paths.map { ($0.lastComponent?.string ?? "", $0) }) { first, _ in first }
        let names = Set(list.parts.map(\.name))
        if let foreign = paths.first(where: { !isList($0) && !names.contains($0.lastComponent?.string ?? "") }) {
            throw Failure(.invalidInput, "this part is not one of those that \(listPath) names", at: foreign.string)
        }
        var result: [(FilePath, Part)] = []
        var wrong: [any Error] = []
        for part in list.parts {
            let path = given[part.name] ?? listPath.removingLastComponent().appending(part.name)
            var information = stat()
            if stat(path.string, &information) != 0 {
                wrong.append(Failure(.notFound, "this part of the archive is missing", at: path.string))
            } else if Int64(information.st_size) != part.size {
                wrong.append(
                    Failure(
                        .integrity, "this part has \(information.st_size) bytes, it should have \(part.size)",
                        at: path.string, remedy: "fetch it again"))
            }
            result.append((path, part))
        }
        guard wrong.isEmpty else { throw Failure.several("parts of the archive are missing or damaged", wrong) }
        return result
    }

    private static func chosen(_ lists: Set<FilePath>) throws -> FilePath {
        let sorted = lists.sorted { $0.string < $1.string }
        guard let list = sorted.first(where: { access($0.string, F_OK) == 0 }) ?? sorted.first else {
            throw Failure(.usage, "no part of an archive is given")
        }
        return list
    }

    /// Reads every part, and throws the failure that names the first damaged one. For an archive that turned out to be damaged.
    static func checkAll(_ paths: [FilePath], _ cancellation: CancellationFlag, cause: any Error) throws {
        for (path, part) in try found(paths) {
            let source = try InputFile(path)
            var hasher = ContentHasher(part.digest.algorithm)
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
            defer { buffer.deallocate() }
            while case let count = try source.read(into: buffer), count > 0 {
                try cancellation.check()
                hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
            guard hasher.digest() == part.digest else { throw PartsSource.damage(path, causes: [cause]) }
        }
    }
}
