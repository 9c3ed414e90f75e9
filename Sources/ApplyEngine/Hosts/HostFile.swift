import FoundationEssentials
import Remote
import Report
import SystemPackage

/// A file on a host, sent and fetched whole.
public struct HostFile: Sendable {
    /// The most bytes of one file.
    public static let limit = AgentProtocol.fileLimit
    /// The permission bits that are kept: those that give other rights than reading, writing and running are not.
    public static let keptPermissions: UInt32 = 0o777

    /// The host.
    public var host: any Host
    /// Where it is on the host, from the root on.
    public var path: FilePath

    /// Names a file.
    public init(_ path: FilePath, on host: any Host) {
        self.path = path
        self.host = host
    }

    private var place: String { "\(host.name):\(path)" }

    /// Writes it atomically, making the folders above it. A link at its place is replaced.
    ///
    /// - Parameter name: its name when a folder is at the path, or the path ends in a slash.
    /// - Returns: where it went.
    /// - Throws: `Failure` of kind `conflict` when something else than a file is in the way.
    @discardableResult
    public func write(_ bytes: Data, permissions: UInt32, name: String, isFolder: Bool = false) async throws -> FilePath
    {
        try Self.check(size: bytes.count, at: name)
        let entry = try await entry(path)
        let goesInside = isFolder || entry?.kind == .folder
        let target = goesInside ? path.appending(name) : path
        let there = goesInside ? try await self.entry(target) : entry
        if isFolder, let entry, entry.kind != .folder {
            throw Failure(.conflict, "this is no folder", at: place)
        }
        if let there, there.kind != .file {
            throw Failure(
                .conflict, "\(there.kind == .folder ? "a folder" : "something else than a file") is in the way",
                at: "\(host.name):\(target)")
        }
        try await host.writeFile(target, bytes, permissions: permissions & Self.keptPermissions)
        return target
    }

    /// Reads it; a link is followed.
    ///
    /// - Throws: `Failure` of kind `notFound`, or `invalidInput` when it is no file, or too large.
    public func read() async throws -> (bytes: Data, permissions: UInt32) {
        let missing = Failure(.notFound, "there is no such file", at: place)
        guard let entry = try await entry(path) else { throw missing }
        switch entry.kind {
        case .file: break
        case .folder: throw Self.folder(at: place)
        case .other: throw Failure(.invalidInput, "this is neither a file nor a folder", at: place)
        }
        try Self.check(size: entry.size, at: place)
        guard let bytes = try await host.readFile(path, limit: Self.limit) else { throw missing }
        return (bytes, entry.permissions & Self.keptPermissions)
    }

    /// That folders are not copied, and what is possible instead.
    public static func folder(at place: String) -> Failure {
        Failure(
            .invalidInput, "this is a folder, only files are copied", at: place,
            remedy: "pack it with tar, copy that, and unpack it with: sealer exec")
    }

    /// - Throws: `Failure` of kind `invalidInput` for a file that is too large.
    public static func check(size: Int, at place: String) throws(Failure) {
        guard size <= limit else {
            throw Failure(
                .invalidInput, "the file has \(size) bytes, at most \(limit >> 20) MiB can be copied", at: place,
                remedy: "use scp for it, or send it in parts: split --bytes=\(limit >> 20)M")
        }
    }

    // MARK: - What is there

    private struct Entry {
        enum Kind {
            case file, folder, other
        }
        var kind: Kind
        var permissions: UInt32
        var size: Int
    }

    /// What is at a path, links followed; nil for nothing.
    private func entry(_ path: FilePath) async throws -> Entry? {
        let command = RemoteCommand(
            ["stat", "--dereference", "--format=%f:%s", "--", path.string], environment: ["LC_ALL": "C"])
        let result = try await host.run(command, limit: .seconds(60)) { _ in }
        guard result.status == 0 else {
            let text = result.errorText
            if text.contains("No such file or directory") || text.contains("Not a directory") { return nil }
            throw Failure(
                .system, "cannot look at the file: \(text.split(separator: "\n").last ?? "")",
                at: "\(host.name):\(path)")
        }
        let parts = result.outputText.split { $0 == ":" || $0 == "\n" }
        guard parts.count == 2, let mode = UInt32(parts[0], radix: 16), let size = Int(parts[1]) else {
            throw Failure(.integrity, "stat said something else than was asked", at: "\(host.name):\(path)")
        }
        let kind: Entry.Kind = mode & 0o170000 == 0o100000 ? .file : mode & 0o170000 == 0o040000 ? .folder : .other
        return Entry(kind: kind, permissions: mode & 0o7777, size: size)
    }
}
