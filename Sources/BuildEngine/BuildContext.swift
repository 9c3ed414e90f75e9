import Glibc
import Kubefile
import LinuxSystem
import Report
import SystemPackage

/// The folder that COPY and APP take files from. Nothing outside it can be named, not through links either.
struct BuildContext: Sendable {
    /// The folder, with all links resolved.
    let root: FilePath

    /// Opens a context. Blocking.
    ///
    /// - Throws: `Failure` of kind `notFound` when there is no such folder.
    init(_ folder: FilePath) throws {
        guard let real = Self.resolved(folder), Folder.exists(real) else {
            throw Failure(.notFound, "the build context is no folder", at: folder.string)
        }
        root = real
    }

    /// The files and folders that a COPY source names; `*`, `?` and `[…]` match names within one folder. Blocking.
    ///
    /// - Returns: paths below the context, sorted; at least one.
    /// - Throws: `InvalidText` at the source's place.
    func paths(of source: ExpandedKubefile.PlacedText, in document: KubefileDocument) throws -> [FilePath] {
        var found: [FilePath] = [root]
        let components = FilePath(source.text).lexicallyNormalized().components.map(\.string)
        for component in components where component != "." {
            let isPattern = component.contains { "*?[".contains($0) }
            found = try found.flatMap { folder -> [FilePath] in
                guard isPattern else {
                    let path = folder.appending(component)
                    return Self.exists(path) ? [path] : []
                }
                guard Folder.exists(folder) else { return [] }
                return try Folder.names(in: folder)
                    .filter { fnmatch(component, $0, FNM_PERIOD) == 0 }
                    .map { folder.appending($0) }
            }
        }
        guard !found.isEmpty else {
            throw document.mistake(
                "\"\(source.text)\" is not in the build context \(root), a file or a folder there was expected",
                at: source.position
            )
        }
        for path in found {
            // A link on the way may lead anywhere; the last component itself is copied as a link.
            guard let parent = Self.resolved(path.removingLastComponent()), path == root || parent.starts(with: root)
            else {
                throw document.mistake(
                    "\"\(source.text)\" leads out of the build context through a link, a path within it was expected",
                    at: source.position
                )
            }
        }
        return found
    }

    private static func exists(_ path: FilePath) -> Bool {
        var information = stat()
        return lstat(path.string, &information) == 0
    }

    private static func resolved(_ path: FilePath) -> FilePath? {
        guard let real = realpath(path.string, nil) else { return nil }
        defer { free(real) }
        return FilePath(platformString: real)
    }
}
