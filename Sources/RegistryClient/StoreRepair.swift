import ImageStore
import OCI
import Report

/// What a repair did.
public struct StoreRepairReport: Sendable, Codable, Hashable {
    /// Blobs that were fetched again, with the name they came from.
    public var fetched: [String] = []
    /// Damaged blobs that no image needs and that were deleted.
    public var deleted: [String] = []
    /// Why each of the others could not be had.
    public var failures: [String] = []
    /// What is still wrong afterwards.
    public var left: StoreCheck

    /// Makes a report of a store where nothing was repaired yet.
    public init(left: StoreCheck) {
        self.left = left
    }
}

extension RegistryClient {
    /// How often a repair looks again: a manifest that came back may show further blobs that are missing.
    private static let rounds = 4

    /// Fetches every damaged or missing blob again, from where the images' names say it came from, and checks the store again.
    ///
    /// A damaged blob stays in its place until a good one takes it.
    ///
    /// - Parameters:
    ///   - check: what `ImageStore.check` found.
    ///   - concurrency: how many blobs are fetched at once.
    /// - Throws: only what keeps the repair from being tried; the result says what could not be repaired.
    public func repair(
        _ check: StoreCheck,
        of store: ImageStore,
        concurrency: Int = 4,
        progress: any ProgressSink = SilentProgress()
    ) async throws -> StoreRepairReport {
        var report = StoreRepairReport(left: check)
        for _ in 0..<Self.rounds where !report.left.isClean {
            let before = report.fetched.count + report.deleted.count
            report.failures = []
            try await repairOnce(&report, store, concurrency, progress)
            guard report.fetched.count + report.deleted.count > before else { break }
            report.left = try await progress.step("look at the store again") { step in
                try await store.check { step.advance($0, of: $1) }
            }
        }
        return report
    }

    private func repairOnce(
        _ report: inout StoreRepairReport,
        _ store: ImageStore,
        _ concurrency: Int,
        _ progress: any ProgressSink
    ) async throws {
        // What no image needed may be needed by now: the store looks again before it deletes, and not while others use it.
        let unneeded = report.left.damages.compactMap(\.unneeded)
        if !unneeded.isEmpty {
            if try await store.discard(Set(unneeded)) {
                report.deleted += unneeded.map(\.layoutPath)
            } else {
                report.failures.append("another process uses the store: damaged blobs that no image needs were left")
            }
        }
        let session = try await store.session()
        defer { session.end() }
        let damaged = report.left.damages.filter { $0.blob != nil }
        let limiter = Limiter(width: concurrency)
        let outcomes = await withTaskGroup(of: (StoreDamage, Result<String, any Error>).self) { group in
            for damage in damaged {
                group.addTask {
                    do {
                        let source = try await limiter.run { try await self.fetchAgain(damage, store, progress) }
                        return (damage, .success(source))
                    } catch {
                        return (damage, .failure(error))
                    }
                }
            }
            return await group.reduce(into: [(StoreDamage, Result<String, any Error>)]()) { $0.append($1) }
        }
        try Task.checkCancellation()
        for (damage, outcome) in outcomes.sorted(by: { $0.0.path < $1.0.path }) {
            switch outcome {
            case .success(let source): report.fetched.append("\(damage.path) from \(source)")
            case .failure(let error): report.failures.append("\(damage.path): \(Failure.words(of: error))")
            }
        }
    }

    /// Fetches one blob from the first of its names that gives it.
    private func fetchAgain(_ damage: StoreDamage, _ store: ImageStore, _ progress: any ProgressSink) async throws
        -> String
    {
        guard let blob = damage.blob else { throw Failure(.software, "nothing says what \(damage.path) should be") }
        guard damage.kind != .malformed else {
            throw Failure(
                .integrity, "it is what it was named after, but no valid document: build or pull the image anew")
        }
        var failures: [any Error] = []
        for source in damage.sources {
            do {
                let reference = try Reference(source)
                try await progress.step("fetch \(blob.digest.short) of \(reference.familiar)") { step in
                    try await fetchBlob(blob, from: reference, into: store)
                    step.advance(blob.size, of: blob.size)
                }
                return reference.familiar
            } catch let error as CancellationError {
                throw error
            } catch {
                failures.append(error)
            }
        }
        throw Failure.several("none of the names it is known by led to it", failures)
    }
}
