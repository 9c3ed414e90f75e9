import ClusterRuntime
import Infra
import Report

/// Looks that tell what is seen although something fails.
extension Observer {
    /// How long a master may take to tell of the nodes.
    private static let roundLimit = Duration.seconds(15)

    /// Connects to places, all at once. The pool must know them.
    ///
    /// - Throws: `CancellationError` when the task was cancelled, nothing else.
    func connect(_ places: [HostPlace]) async throws -> [HostOutcome<Void>] {
        try await progress.step("connect to the hosts") { step in
            try await self.outcomes(places, step) { place in
                _ = try await self.pool.connection(place.name)
            }
        }
    }

    /// Looks at places, all at once.
    ///
    /// - Throws: `CancellationError` when the task was cancelled, nothing else.
    func lookAround(_ places: [HostPlace]) async throws -> [HostOutcome<HostObservation>] {
        try await progress.step("look at the hosts that answer") { step in
            try await self.outcomes(places, step) { place in try await self.look(at: place) }
        }
    }

    /// Asks the masters that are members for the nodes, all at once and only once; the first answer counts.
    ///
    /// - Returns: the nodes, or nil and why: no reasons where there is no cluster yet.
    /// - Throws: `CancellationError` when the task was cancelled, nothing else.
    func nodesNow(_ hosts: [HostObservation]) async throws -> (nodes: [NodeStatus]?, failures: [any Error]) {
        let masters = hosts.filter(\.isMasterOfCluster)
        guard !masters.isEmpty else {
            let isThere = hosts.contains { $0.mark?.membership == .complete }
            let reason = Failure(
                .unreachable, "no master that answers is a member, so Kubernetes cannot be asked for its nodes",
                at: cluster)
            return (nil, isThere ? [reason] : [])
        }
        var failures: [Int: any Error] = [:]
        var nodes: [NodeStatus]?
        await withTaskGroup(of: (Int, Result<[NodeStatus], any Error>).self) { group in
            for (number, master) in masters.enumerated() {
                group.addTask {
                    do { return (number, .success(try await self.nodes(through: master))) } catch {
                        return (number, .failure(error))
                    }
                }
            }
            for await (number, result) in group {
                switch result {
                case .success(let found):
                    nodes = found
                    group.cancelAll()
                    return
                case .failure(let error): failures[number] = error
                }
            }
        }
        try Task.checkCancellation()
        return (nodes, nodes == nil ? masters.indices.compactMap { failures[$0] } : [])
    }

    private func nodes(through master: HostObservation) async throws -> [NodeStatus] {
        let node = try await self.node(master)
        let runtime = runtime
        return try await withLimit(
            Self.roundLimit, waitingFor: "the API server to tell of the nodes", at: master.host,
            remedy: "see why on the master: journalctl --unit kubelet; crictl ps"
        ) { try await runtime.nodes(through: node) }
    }
}
