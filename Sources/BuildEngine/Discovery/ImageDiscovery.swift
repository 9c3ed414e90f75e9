import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Report
import SystemPackage
import YAML

/// Finds the container images that the files of a rootfs name, by reading them as what they are.
///
/// Searched are `manifests/**` (YAML and JSON, and `manifests/imageList`), `charts/**` (charts, rendered by helm with their
/// own values) and `application/apps/**` (charts and manifests). Nothing is guessed: what may be an image in a document of
/// a kind that Kubernetes itself does not have is a warning.
public struct ImageDiscovery: Sendable {
    private let limits: DiscoveryLimits

    /// Makes a discovery.
    public init(limits: DiscoveryLimits = .standard) {
        self.limits = limits
    }

    /// Searches a rootfs.
    ///
    /// - Parameters:
    ///   - root: the folder of the rootfs.
    ///   - helm: the helm to render charts with; without one the rootfs' own `bin/helm`, else the one in PATH.
    /// - Throws: `InvalidText` for files that are wrong, all of them at once; `Failure` of kind `invalidInput` for charts that do
    ///   not render, `unavailable` when there are charts and no helm, `timeout` when helm takes too long.
    public func discover(in root: FilePath, helm: FilePath? = nil) async throws -> Discovery {
        let limits = limits
        let (tree, read) = try await BlockingPool.shared.run { cancellation in
            var walk = try DiscoveryWalk(root: root, limits: limits, cancellation: cancellation)
            let tree = try walk.walk()
            return (tree, try Self.read(tree.files, in: root, limits: limits, cancellation: cancellation))
        }
        var findings = tree.findings
        findings.merge(read)
        var failures: [any Error] = []
        if !tree.charts.isEmpty {
            let helm = try await Self.helm(given: helm, in: root, for: tree.charts)
            let renderer = ChartRenderer(helm: helm, root: root, limits: limits)
            for result in try await renderer.render(tree.charts) {
                switch result {
                case .success(let found): findings.merge(found)
                case .failure(let error): failures.append(error)
                }
            }
        }
        if !findings.mistakes.isEmpty { failures.insert(InvalidText(findings.mistakes), at: 0) }
        if let first = failures.first {
            if failures.count == 1 { throw first }
            throw Failure(.invalidInput, "the files that name images have mistakes", causes: failures)
        }
        return findings.discovery
    }

    private static func read(
        _ files: [DiscoveryTree.TextFile],
        in root: FilePath,
        limits: DiscoveryLimits,
        cancellation: CancellationFlag
    ) throws -> Findings {
        var findings = Findings()
        var left = limits.totalBytes
        for file in files {
            try cancellation.check()
            let data: Data
            do {
                data = try readFile(root.appending(file.path), limit: limits.fileBytes)
            } catch let failure as Failure where failure.kind == .invalidInput {
                findings.refuse(Diagnostic(file: file.path, line: 1, column: 1, message: failure.what))
                continue
            }
            left -= data.count
            guard left >= 0 else {
                throw Failure(.invalidInput, "the manifests together are larger than \(limits.totalBytes) bytes")
            }
            guard let text = String(validating: data, as: UTF8.self) else {
                findings.refuse(Diagnostic(file: file.path, line: 1, column: 1, message: "the file is not UTF-8 text"))
                continue
            }
            if file.isList {
                ImageList.read(text, file: file.path, into: &findings)
                continue
            }
            do throws(InvalidText) {
                var manifest = ManifestImages { DiscoveredImage.Place(file: file.path, line: $0.line) }
                for document in try YAMLDocuments.parse(text, file: file.path) { manifest.read(document) }
                findings.merge(manifest.findings)
            } catch {
                findings.refuse(error)
            }
        }
        return findings
    }

    private static func helm(
        given: FilePath?,
        in root: FilePath,
        for charts: [DiscoveryTree.Chart]
    ) async throws -> FilePath {
        let found = try await BlockingPool.shared.run {
            var candidates: [FilePath] = []
            if let given {
                candidates = [given]
            } else {
                let search = getenv("PATH").map { String(cString: $0) } ?? ""
                // An empty element would mean the working folder.
                let folders = search.split(separator: ":").map { FilePath(String($0)) }.filter(\.isAbsolute)
                candidates = [root.appending("bin/helm")] + folders.map { $0.appending("helm") }
            }
            return candidates.first { candidate in
                var information = stat()
                guard stat(candidate.string, &information) == 0 else { return false }
                return information.st_mode & S_IFMT == S_IFREG && access(candidate.string, X_OK) == 0
            }
        }
        if let found { return found }
        let names = charts.prefix(3).map(\.path).joined(separator: ", ") + (charts.count > 3 ? ", …" : "")
        throw Failure(
            .unavailable,
            given == nil
                ? "there are charts (\(names)), and no helm to render them"
                : "there are charts (\(names)), and the helm that was named is no program",
            at: given?.string,
            remedy: "put helm into the image as bin/helm, or install it so that it is in PATH"
        )
    }
}
