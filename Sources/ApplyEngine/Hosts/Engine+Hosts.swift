import Clusterfile
import Infra
import Remote
import Report

/// What came of some work on a host.
public struct HostOutcome<Value: Sendable>: Sendable {
    /// The host, as infrastructure names it.
    public var host: String
    /// What came of it.
    public var result: Result<Value, any Error>

    /// Why it failed; nil when it did not.
    public var failure: (any Error)? {
        if case .failure(let error) = result { error } else { nil }
    }
}

extension Engine {
    /// The hosts of a cluster, in the order of its members; those that are not made have no way to them.
    public func places(of cluster: Cluster) async throws -> [HostPlace] {
        try await infra.places(of: cluster)
    }

    /// Does something on hosts at once, each through its agent. One that fails does not stop the others.
    ///
    /// - Parameter concurrency: on how many hosts at once, 1 or more.
    /// - Returns: what came of it, in the order of the hosts.
    /// - Throws: `CancellationError` when the task was cancelled, nothing else.
    public func onEach<Value: Sendable>(
        _ places: [HostPlace], concurrency: Int = PlanExecutor.defaultConcurrency,
        _ body: @escaping @Sendable (HostPlace, any Host) async throws -> Value
    ) async throws -> [HostOutcome<Value>] {
        let pool = HostPool(connector)
        await pool.set(places)
        var outcomes: [Int: HostOutcome<Value>] = [:]
        await withTaskGroup(of: (Int, HostOutcome<Value>).self) { group in
            var waiting = Array(places.enumerated()).makeIterator()
            func startNext() {
                guard let (number, place) = waiting.next() else { return }
                group.addTask {
                    do {
                        let value = try await body(place, try await pool.connection(place.name).host)
                        return (number, HostOutcome(host: place.name, result: .success(value)))
                    } catch {
                        return (number, HostOutcome(host: place.name, result: .failure(error)))
                    }
                }
            }
            for _ in 0..<max(concurrency, 1) { startNext() }
            for await (number, outcome) in group {
                outcomes[number] = outcome
                // Who has cancelled wants no further host to be touched.
                if !Task.isCancelled { startNext() }
            }
        }
        await pool.close()
        try Task.checkCancellation()
        return places.indices.compactMap { outcomes[$0] }
    }
}
