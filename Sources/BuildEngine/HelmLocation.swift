import Archive
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage

/// Finds helm: the one that the image itself will have, so that charts render as they will on site, else PATH's.
struct HelmLocation {
    let store: ImageStore

    /// The most bytes of a helm out of a layer, which is a stranger's: some ten times what helm has.
    private static let sizeLimit: Int64 = 512 << 20

    /// Looks for helm.
    ///
    /// - Parameters:
    ///   - given: what the user named.
    ///   - scratch: a folder for a helm that comes out of a base image's layer.
    /// - Returns: nil when there is none; that matters only if there are charts.
    func find(
        given: FilePath?,
        plans: [CopyPlan],
        base: ClusterImage?,
        scratch: FilePath
    ) async throws -> FilePath? {
        if let given { return given }
        let charts: FilePath = "charts"
        let apps: FilePath = "application/apps"
        let mayHaveCharts = plans.flatMap(\.items).contains {
            $0.destination.isEmpty || $0.destination.starts(with: charts) || $0.destination.starts(with: apps)
        }
        // Looking through the layers of a base image takes a moment: not without a reason.
        guard mayHaveCharts else { return nil }
        for item in plans.flatMap(\.items).reversed() {
            for candidate in Self.candidates(item) where access(candidate.string, X_OK) == 0 { return candidate }
        }
        if let base, let helm = try await extract(from: base, to: scratch.appending("helm")) { return helm }
        return try await BlockingPool.shared.run { Self.inPath() }
    }

    /// Where `bin/helm` of the rootfs would come from if this item brought it.
    private static func candidates(_ item: CopyPlan.Item) -> [FilePath] {
        let helm: FilePath = "bin/helm"
        if item.destination == helm { return [item.source] }
        if item.destination.isEmpty { return [item.source.appending("bin/helm")] }
        if item.destination == FilePath("bin") { return [item.source.appending("helm")] }
        return []
    }

    private static func inPath() -> FilePath? {
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
        return path.split(separator: ":").map { FilePath(String($0)).appending("helm") }
            .first { access($0.string, X_OK) == 0 }
    }

    private func extract(from base: ClusterImage, to target: FilePath) async throws -> FilePath? {
        for layer in base.manifest.layers.reversed() {
            let blob = try await store.openBlob(layer.digest)
            let found = try await BlockingPool.shared.run { cancellation in
                let file = FileSource(blob.file, name: layer.digest.description, closes: true)
                guard let compression = Compression(mediaType: layer.mediaType) else { return false }
                let tar = TarReader(
                    try compression.decoder(file, place: layer.digest.description), place: layer.digest.description)
                while let entry = try tar.next() {
                    try cancellation.check()
                    guard entry.kind == .file, entry.displayName == "bin/helm" else { continue }
                    guard entry.size <= Self.sizeLimit else {
                        throw Failure(
                            .invalidInput,
                            "bin/helm of the base image has \(entry.size) bytes, at most \(Self.sizeLimit) were expected",
                            at: layer.digest.description,
                            remedy: "bring a helm of your own: COPY helm bin/helm"
                        )
                    }
                    let output = try FileDescriptor.open(
                        target, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
                        permissions: [.ownerReadWriteExecute])
                    try output.closeAfter { _ = try tar.copy(to: FileSink(output, name: target.string)) }
                    return true
                }
                return false
            }
            if found { return target }
        }
        return nil
    }
}
