import FoundationEssentials
import OCI
import Remote
import Report
import SystemPackage

/// What files of a host held before a change. It is kept on the host itself until the change is seen to work, so that whoever
/// comes after an interruption can still go back to what worked.
struct FormerFiles: Codable, Hashable, Sendable {
    /// A file; no content where there was no file.
    struct File: Codable, Hashable, Sendable {
        var path: String
        var content: Data?
        var permissions: UInt32
    }

    /// The files.
    private(set) var files: [File]
    /// Whether it was kept just now, and not by an attempt that was interrupted.
    private(set) var isFromNow = false

    private enum CodingKeys: String, CodingKey { case files }

    /// Where it is kept for the files of one purpose. Programs that read all files of a folder must not find it.
    static func place(_ purpose: String) -> FilePath { FilePath("/etc/sealer/\(purpose)-before.json") }

    /// What is kept of an interrupted change; else what the files hold now, which is kept from here on.
    static func keep(_ paths: [FilePath], for purpose: String, on host: any Host) async throws -> FormerFiles {
        if let kept = try await kept(for: purpose, on: host) { return kept }
        let states = try await host.inspect(paths)
        var files: [File] = []
        for path in paths {
            files.append(
                File(
                    path: path.string, content: try await host.readFile(path, limit: 1 << 20),
                    permissions: states[path.string]?.permissions ?? 0o600))
        }
        let former = FormerFiles(files: files, isFromNow: true)
        try await host.writeFile(place(purpose), try canonicalJSON(former), permissions: 0o600)
        return former
    }

    /// What is kept of an interrupted change; nil when there was none.
    static func kept(for purpose: String, on host: any Host) async throws -> FormerFiles? {
        guard let bytes = try await host.readFile(place(purpose), limit: 8 << 20) else { return nil }
        do {
            return try JSONDecoder().decode(FormerFiles.self, from: bytes)
        } catch {
            throw Failure(
                .integrity, "what was kept of an interrupted change cannot be read",
                at: "\(host.name):\(place(purpose))", remedy: "delete that file, then run it again",
                causes: [error])
        }
    }

    /// Writes the files as they were, those only that differ.
    func bringBack(on host: any Host) async throws {
        for file in files {
            let path = FilePath(file.path)
            guard let content = file.content else {
                try await host.delete(path)
                continue
            }
            guard try await host.readFile(path, limit: 1 << 20) != content else { continue }
            try await host.writeFile(path, content, permissions: file.permissions)
        }
    }

    /// Ends it: the change works, or is taken back.
    static func forget(_ purpose: String, on host: any Host) async throws {
        try await host.delete(place(purpose))
    }
}
