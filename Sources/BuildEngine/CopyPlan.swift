import Kubefile
import LinuxSystem
import Report
import SystemPackage

/// Which files go where in the rootfs: what a COPY or an APP comes down to.
struct CopyPlan: Sendable {
    /// A file, or a folder with all that is in it, and its place relative to the rootfs.
    struct Item: Sendable, Hashable {
        var source: FilePath
        var destination: FilePath
    }

    /// The items in the order of the instruction.
    var items: [Item]

    /// Folders that every rootfs may have: a COPY to one of these names never makes a file of that name.
    static let knownFolders: Set<String> = [
        "application", "bin", "charts", "cri", "etc", "images", "manifests", "plugin", "plugins", "registry", "scripts",
        "statics",
    ]

    /// Docker's rules for COPY: a folder's content goes into the destination; a file goes into it when the destination
    /// ends with a slash, is `.`, is a known folder, or when there are several sources; else the destination is its new
    /// name. Blocking.
    static func copy(
        sources: [ExpandedKubefile.PlacedText],
        destination: ExpandedKubefile.PlacedText,
        context: BuildContext,
        document: KubefileDocument
    ) throws -> CopyPlan {
        let paths = try sources.flatMap { try context.paths(of: $0, in: document) }
        let target = rootfsPath(destination.text)
        let isFolder =
            destination.text.hasSuffix("/") || target.isEmpty || knownFolders.contains(target.string) || paths.count > 1
        return CopyPlan(
            items: paths.map { path in
                if Folder.exists(path) || !isFolder { return Item(source: path, destination: target) }
                return Item(source: path, destination: path.lastComponent.map { target.appending($0) } ?? target)
            }
        )
    }

    /// An application's files go below `application/apps/NAME`. Blocking.
    static func app(
        name: String,
        sources: [ExpandedKubefile.PlacedText],
        context: BuildContext,
        document: KubefileDocument
    ) throws -> CopyPlan {
        let folder = FilePath("application/apps").appending(name)
        var items: [Item] = []
        for source in sources {
            for path in try context.paths(of: source, in: document) {
                let isFile = !Folder.exists(path)
                items.append(
                    Item(
                        source: path,
                        destination: isFile ? path.lastComponent.map { folder.appending($0) } ?? folder : folder
                    )
                )
            }
        }
        return CopyPlan(items: items)
    }

    private static func rootfsPath(_ text: String) -> FilePath {
        var path = FilePath(text).lexicallyNormalized()
        path = FilePath(root: nil, path.components)
        return path.string == "." ? FilePath("") : path
    }
}
