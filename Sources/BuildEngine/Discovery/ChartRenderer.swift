import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Report
import Subprocess
import SystemPackage
import YAML

/// Renders charts by `helm template` and finds the images in what comes out.
struct ChartRenderer: Sendable {
    let helm: FilePath
    let root: FilePath
    let limits: DiscoveryLimits

    /// Renders all charts, several at once.
    ///
    /// - Returns: a result for each chart, in their order, so that all charts that do not render are reported together.
    func render(_ charts: [DiscoveryTree.Chart]) async throws -> [Result<Findings, any Error>] {
        let home = try await BlockingPool.shared.run { try TemporaryFolder.make() }
        do {
            let results = try await renderAll(charts, home: home)
            try await BlockingPool.shared.run { try Folder.delete(home) }
            return results
        } catch {
            // The first error counts; a folder that stays behind in /tmp does no harm.
            await TemporaryFolder.deleteAnyway(home)
            throw error
        }
    }

    private func renderAll(
        _ charts: [DiscoveryTree.Chart],
        home: FilePath
    ) async throws -> [Result<Findings, any Error>] {
        try await withThrowingTaskGroup(of: (Int, Result<Findings, any Error>).self) { group in
            var results: [Int: Result<Findings, any Error>] = [:]
            var next = charts.startIndex
            func start() {
                let index = next
                next += 1
                group.addTask {
                    do {
                        return (index, .success(try await findings(of: charts[index], home: home)))
                    } catch let error as CancellationError {
                        throw error
                    } catch {
                        return (index, .failure(error))
                    }
                }
            }
            while next < min(charts.count, max(1, limits.rendersAtOnce)) { start() }
            while let (index, result) = try await group.next() {
                results[index] = result
                if next < charts.count { start() }
            }
            // A helm that was ended by the cancellation looks like one that failed.
            try Task.checkCancellation()
            return charts.indices.compactMap { results[$0] }
        }
    }

    private func findings(of chart: DiscoveryTree.Chart, home: FilePath) async throws -> Findings {
        if !chart.isPackage, try await isLibrary(chart) { return Findings() }
        let text: String
        do {
            text = try await template(chart, home: home)
        } catch let failure as Failure where chart.isPackage && !chart.path.hasPrefix("charts/") && failure.isNoChart {
            // An application may bring packages of its own.
            let message = "the package is no chart, and is not searched for images"
            var findings = Findings()
            findings.warn(Diagnostic(file: chart.path, line: 1, column: 1, severity: .warning, message: message))
            return findings
        }
        let limits = limits
        let root = root
        return try await BlockingPool.shared.run {
            var yaml = YAMLLimits.standard
            yaml.bytes = limits.renderedBytes
            let documents = try YAMLDocuments.parse(text, file: "\(chart.path) (rendered)", limits: yaml)
            let sources = RenderedSources(text, chart: chart, root: root)
            var manifest = ManifestImages { sources.place(of: $0) }
            for document in documents { manifest.read(document) }
            return manifest.findings
        }
    }

    /// Library charts bring templates for others and cannot be rendered; they name no image of their own.
    private func isLibrary(_ chart: DiscoveryTree.Chart) async throws -> Bool {
        let root = root
        let file = "\(chart.path)/Chart.yaml"
        return try await BlockingPool.shared.run {
            let data = try readFile(root.appending(file), limit: 1 << 20)
            let text = String(decoding: data, as: UTF8.self)
            return try YAMLDocuments.parse(text, file: file).first?["type"]?.string == "library"
        }
    }

    private func template(_ chart: DiscoveryTree.Chart, home: FilePath) async throws -> String {
        let path = root.appending(chart.path)
        let absolute = path.isAbsolute ? path.string : "./\(path.string)"
        let environment: [Environment.Key: String] = [
            "PATH": "/usr/bin:/bin", "HOME": home.string, "TMPDIR": home.string, "LC_ALL": "C.UTF-8",
            "HELM_CACHE_HOME": home.appending("cache").string, "HELM_CONFIG_HOME": home.appending("config").string,
            "HELM_DATA_HOME": home.appending("data").string, "KUBECONFIG": "/dev/null",
        ]
        let arguments: Arguments = ["template", Self.releaseName(chart), absolute]
        let helm = helm
        let limits = limits
        do {
            return try await withLimit(
                limits.renderTime,
                waitingFor: "helm to render the chart",
                at: chart.path,
                remedy: "try it by hand: \(helm) template \(Self.releaseName(chart)) \(absolute)"
            ) {
                var options = PlatformOptions()
                options.createSession = true
                options.teardownSequence = [
                    .send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .seconds(1))
                ]
                let result = try await run(
                    .path(helm),
                    arguments: arguments,
                    environment: .custom(environment),
                    platformOptions: options,
                    output: .bytes(limit: limits.renderedBytes),
                    error: .bytes(limit: 4 << 20)
                )
                guard result.terminationStatus.isSuccess else {
                    throw Self.failure(of: chart, helm: helm, saying: result.standardError)
                }
                guard let text = String(validating: result.standardOutput, as: UTF8.self) else {
                    throw Failure(.invalidInput, "what helm rendered is not UTF-8 text", at: chart.path)
                }
                return text
            }
        } catch let error as SubprocessError where error.code == .outputLimitExceeded {
            let what = "helm printed more than \(limits.renderedBytes) bytes for the chart"
            throw Failure(.invalidInput, what, at: chart.path)
        } catch let error as SubprocessError {
            throw Failure(
                .unavailable,
                "helm does not start",
                at: helm.string,
                remedy: "is it a program for this machine? try it by hand: \(helm) version",
                causes: [error]
            )
        }
    }

    private static func failure(of chart: DiscoveryTree.Chart, helm: FilePath, saying output: [UInt8]) -> Failure {
        let lines = String(decoding: output, as: UTF8.self).split(whereSeparator: \.isNewline)
        // helm's own warnings (permissions of a kubeconfig, for instance) come first and explain nothing.
        let telling = lines.filter { !$0.hasPrefix("WARNING:") }.prefix(40).map(String.init)
        return Failure(
            .invalidInput,
            "helm does not render the chart",
            at: chart.path,
            remedy: "mend the chart or its values.yaml; charts are rendered with their own values",
            causes: [HelmMessage(lines: telling.isEmpty ? ["helm ended with an error and said nothing"] : telling)]
        )
    }

    /// A release name out of the chart's folder or package.
    private static func releaseName(_ chart: DiscoveryTree.Chart) -> String {
        let name = chart.path.split(separator: "/").last.map(String.init) ?? ""
        let isName =
            name.utf8.count <= 53 && name.utf8.first.map { (0x61...0x7a).contains($0) } == true
            && name.utf8.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d }
            && name.last != "-"
        return isName ? name : "release"
    }
}

/// What helm printed.
private struct HelmMessage: Error, CustomStringConvertible {
    var lines: [String]
    var description: String { lines.joined(separator: "\n") }
}

extension Failure {
    /// Whether helm said that what it got is no chart at all.
    fileprivate var isNoChart: Bool {
        causes.contains { ($0 as? HelmMessage)?.description.contains("Chart.yaml file is missing") == true }
    }
}

/// The folder that helm gets for its caches.
private enum TemporaryFolder {
    static func make() throws -> FilePath {
        var template = Array("/tmp/sealer-helm-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw Failure(.system, "cannot make a temporary folder", at: "/tmp", causes: [Errno(rawValue: errno)])
        }
        return FilePath(platformString: template)
    }

    static func deleteAnyway(_ folder: FilePath) async {
        do {
            // A cancelled task could not hop to the pool by `run`.
            try await Task.detached { try await BlockingPool.shared.run { try Folder.delete(folder) } }.value
        } catch {
            return
        }
    }
}
