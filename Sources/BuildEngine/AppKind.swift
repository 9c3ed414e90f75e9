import Glibc
import Kubefile
import LinuxSystem
import OCI
import Report
import SystemPackage

/// Finds out how an application is installed by looking at its files.
enum AppKind {
    /// Looks at what an APP instruction brings. Blocking.
    ///
    /// - Throws: `InvalidText` at the instruction when the files are neither a chart, nor all manifests, nor all scripts.
    static func of(_ plan: CopyPlan, name: String, at position: SourcePosition, in document: KubefileDocument) throws
        -> ClusterImageConfig.App.Kind
    {
        var names: [String] = []
        for item in plan.items {
            if Folder.exists(item.source) {
                names += try files(in: item.source)
            } else {
                names.append(item.source.lastComponent?.string ?? "")
            }
        }
        if names.contains("Chart.yaml") { return .helm }
        if !names.isEmpty, names.allSatisfy({ $0.hasSuffix(".yaml") || $0.hasSuffix(".yml") }) { return .kube }
        if !names.isEmpty, names.allSatisfy({ $0.hasSuffix(".sh") }) { return .shell }
        throw document.mistake(
            "the files of the application \(name) are of no known kind: a chart (Chart.yaml), only .yaml files, or only .sh"
                + " files were expected",
            at: position
        )
    }

    /// Relative paths of the files in a folder.
    private static func files(in folder: FilePath, prefix: String = "") throws -> [String] {
        try Folder.names(in: folder).flatMap { name -> [String] in
            let path = folder.appending(name)
            var information = stat()
            // A link to a folder is no folder of the application's own.
            guard lstat(path.string, &information) == 0, information.st_mode & S_IFMT == S_IFDIR else {
                return [prefix + name]
            }
            return try files(in: path, prefix: "\(prefix)\(name)/")
        }
    }
}
