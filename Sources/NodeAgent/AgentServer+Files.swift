import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Remote
import Report
import SystemPackage

extension AgentServer {
    func writeFile(_ path: FilePath, size: Int, permissions: UInt32, _ stream: LinkStream) async throws -> AgentReply {
        try Self.check(path)
        guard (0...AgentProtocol.fileLimit).contains(size), permissions <= 0o7777 else {
            throw Failure(
                .integrity, "the file to write has \(size) bytes and the permissions \(permissions)", at: path.string)
        }
        var content = Data()
        try await Self.collect(stream) { bytes in
            content.append(bytes)
            guard content.count <= size else {
                throw Failure(.integrity, "more bytes came than announced", at: path.string)
            }
        }
        guard content.count == size else {
            throw Failure(.integrity, "\(content.count) bytes came, announced were \(size)", at: path.string)
        }
        let bytes = content
        try await BlockingPool.shared.run {
            try Folder.make(path.removingLastComponent())
            try AtomicFile.write(bytes, to: path, permissions: FilePermissions(rawValue: permissions))
        }
        return .done
    }

    func readFile(_ path: FilePath, limit: Int, _ stream: LinkStream) async throws -> AgentReply {
        try Self.check(path)
        let bytes: Data
        do {
            bytes = try await BlockingPool.shared.run {
                try LinuxSystem.readFile(path, limit: min(max(limit, 0), AgentProtocol.fileLimit))
            }
        } catch let failure as Failure where failure.kind == .notFound {
            return .absent
        }
        try await stream.send(AgentReply.content(size: bytes.count))
        try await stream.send(bytes)
        return .done
    }

    func inspect(_ paths: [FilePath]) async throws -> AgentReply {
        for path in paths { try Self.check(path) }
        return .files(
            try await BlockingPool.shared.run {
                var files: [String: FileState] = [:]
                for path in paths {
                    var information = stat()
                    guard lstat(path.string, &information) == 0, information.st_mode & S_IFMT == S_IFREG else {
                        continue
                    }
                    files[path.string] = FileState(
                        digest: try fileDigest(of: path), permissions: information.st_mode & 0o7777)
                }
                return files
            })
    }

    func delete(_ path: FilePath) async throws -> AgentReply {
        try Self.check(path)
        // A mistake here costs a machine: nothing so near the root is ever ours.
        guard path.lexicallyNormalized().components.count >= 2 else {
            throw Failure(.software, "refused to delete the folder", at: path.string)
        }
        try await BlockingPool.shared.run { try Folder.delete(path) }
        return .done
    }

    /// Renames the agent's own executable, which was placed under a temporary name.
    func settle(_ path: FilePath) async throws -> AgentReply {
        try Self.check(path)
        let executable = executable
        try await BlockingPool.shared.run {
            try Folder.make(path.removingLastComponent())
            guard rename(executable.string, path.string) == 0 else {
                throw Failure(.system, "cannot rename the agent", at: path.string, causes: [Errno(rawValue: errno)])
            }
            try AtomicFile.syncFolder(path.removingLastComponent())
            try Self.deleteForgotten(beside: path)
        }
        return .done
    }

    /// Deletes copies that were placed and never took their place, because their operator went away.
    private static func deleteForgotten(beside path: FilePath) throws {
        let folder = path.removingLastComponent()
        let prefix = "\(path.lastComponent?.string ?? "")."
        for name in try Folder.names(in: folder) where name.hasPrefix(prefix) {
            let copy = folder.appending(name)
            var information = stat()
            guard lstat(copy.string, &information) == 0, time(nil) - information.st_ctim.tv_sec > 600 else { continue }
            try Folder.delete(copy)
        }
    }

    func receive(_ blob: Descriptor, _ stream: LinkStream) async throws -> AgentReply {
        guard try await !services.store.missing([blob]).isEmpty else { return .done }
        let ingest = try await services.store.ingest(blob)
        do {
            try await Self.collect(stream) { bytes in
                try await BlockingPool.shared.run { try bytes.withUnsafeBytes { try ingest.write($0) } }
            }
            try await BlockingPool.shared.run { try ingest.complete() }
        } catch {
            // The clean-up must happen in a cancelled task too.
            await Task.detached { ingest.abandon() }.value
            throw error
        }
        return .done
    }

    /// Takes the bytes of a stream to their end, and grants more as they are taken.
    private static func collect(_ stream: LinkStream, _ take: (Data) async throws -> Void) async throws {
        for try await item in stream.items {
            switch item {
            case .data(let bytes):
                try await take(bytes)
                try await stream.taken(bytes.count)
            case .end: return
            case .message, .errorData: throw Failure(.integrity, "something else than bytes came")
            }
        }
        throw CancellationError()
    }

    private static func check(_ path: FilePath) throws {
        guard path.isAbsolute, !path.string.utf8.contains(0) else {
            throw Failure(.software, "the agent takes absolute paths only", at: path.string)
        }
    }
}
