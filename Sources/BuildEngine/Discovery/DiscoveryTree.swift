import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import SystemPackage

/// What a rootfs has that may name images.
struct DiscoveryTree: Sendable {
    /// A chart, as a folder or as a package.
    struct Chart: Sendable {
        /// Relative to the rootfs.
        var path: String
        var isPackage: Bool
    }

    /// A text file.
    struct TextFile: Sendable {
        /// Relative to the rootfs.
        var path: String
        var isList: Bool
    }

    var charts: [Chart] = []
    var files: [TextFile] = []
    var findings = Findings()
}

/// Walks the folders of a rootfs that may name images, and stays within the rootfs. Blocking.
struct DiscoveryWalk {
    private let root: FilePath
    private let realRoot: String
    private let limits: DiscoveryLimits
    private let cancellation: CancellationFlag
    private var entries = 0
    /// Folders that were walked, so that links make no circle.
    private var walked: Set<String> = []
    private var tree = DiscoveryTree()

    init(root: FilePath, limits: DiscoveryLimits, cancellation: CancellationFlag) throws {
        guard let real = Self.realPath(root.string) else {
            throw Failure(.notFound, "there is no such folder", at: root.string)
        }
        self.root = root
        realRoot = real
        self.limits = limits
        self.cancellation = cancellation
    }

    /// What there is, in the order of the names.
    mutating func walk() throws -> DiscoveryTree {
        for folder in ["manifests", "charts", "application/apps"] where kind(of: folder) == S_IFDIR {
            try walk(folder, depth: 0)
        }
        return tree
    }

    private mutating func walk(_ folder: String, depth: Int) throws {
        guard let real = Self.realPath(root.appending(folder).string), walked.insert(real).inserted else { return }
        guard depth <= limits.depth else {
            throw Failure(.invalidInput, "folders are nested deeper than \(limits.depth) levels", at: folder)
        }
        let names = try Folder.names(in: root.appending(folder))
        if names.contains("Chart.yaml"), kind(of: "\(folder)/Chart.yaml") == S_IFREG {
            try checkLinks(of: folder, names: names, depth: depth)
            tree.charts.append(DiscoveryTree.Chart(path: folder, isPackage: false))
            return
        }
        for name in names {
            let path = "\(folder)/\(name)"
            try count(path)
            switch kind(of: path) {
            case S_IFDIR: try walk(path, depth: depth + 1)
            case S_IFREG: take(path, name: name)
            case S_IFLNK:
                warn(path, "the link leads out of the image or nowhere, and is not followed")
            default: break
            }
        }
    }

    private mutating func take(_ path: String, name: String) {
        let suffix = name.split(separator: ".").last.map(String.init) ?? ""
        let isInCharts = path.hasPrefix("charts/")
        switch suffix {
        case "yaml", "yml", "json":
            if isInCharts {
                warn(
                    path,
                    "the file belongs to no chart (there is no Chart.yaml beside it), and is not searched for images")
            } else {
                tree.files.append(DiscoveryTree.TextFile(path: path, isList: false))
            }
        case "tmpl" where !isInCharts:
            let message =
                "templates (.tmpl) are not supported yet: render it before the build, or name its images in"
                + " manifests/imageList and leave it out"
            tree.findings.refuse(Diagnostic(file: path, line: 1, column: 1, message: message))
        case "tgz" where path.hasPrefix("manifests/"):
            warn(path, "packages are searched in charts/ and application/apps/ only, this one is not")
        case "tgz":
            tree.charts.append(DiscoveryTree.Chart(path: path, isPackage: true))
        default:
            if path == "manifests/imageList" { tree.files.append(DiscoveryTree.TextFile(path: path, isList: true)) }
        }
    }

    /// helm follows links: none of a chart's may lead to files of this machine.
    private mutating func checkLinks(of folder: String, names: [String], depth: Int) throws {
        guard depth <= limits.depth else {
            throw Failure(.invalidInput, "folders are nested deeper than \(limits.depth) levels", at: folder)
        }
        for name in names {
            let path = "\(folder)/\(name)"
            try count(path)
            switch kind(of: path) {
            case S_IFLNK:
                let message = "the chart has a link that leads out of the image or nowhere"
                tree.findings.refuse(Diagnostic(file: path, line: 1, column: 1, message: message))
            case S_IFDIR where !isLink(path):
                try checkLinks(of: path, names: Folder.names(in: root.appending(path)), depth: depth + 1)
            default: break
            }
        }
    }

    private mutating func count(_ path: String) throws {
        try cancellation.check()
        entries += 1
        guard entries <= limits.entries else {
            throw Failure(.invalidInput, "more than \(limits.entries) files to search for images", at: path)
        }
    }

    private mutating func warn(_ path: String, _ message: String) {
        tree.findings.warn(Diagnostic(file: path, line: 1, column: 1, severity: .warning, message: message))
    }

    private func isLink(_ path: String) -> Bool {
        var information = stat()
        return lstat(root.appending(path).string, &information) == 0 && information.st_mode & S_IFMT == S_IFLNK
    }

    /// What stands at a path, links followed as long as they stay in the rootfs; `S_IFLNK` for one that does not.
    private func kind(of path: String) -> mode_t {
        let full = root.appending(path).string
        guard isWithin(full) else { return isLink(path) ? S_IFLNK : 0 }
        var information = stat()
        return stat(full, &information) == 0 ? information.st_mode & S_IFMT : 0
    }

    private func isWithin(_ path: String) -> Bool {
        guard let real = Self.realPath(path) else { return false }
        return real == realRoot || real.hasPrefix(realRoot == "/" ? "/" : realRoot + "/")
    }

    private static func realPath(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
