import ClusterRuntime
import Report

extension MarkKeeper {
    /// Looks whether hosts are still marked as they were when they were looked at: between that and the lock somebody
    /// else may have changed the cluster, and ended.
    ///
    /// - Throws: `Failure` of kind `conflict` that names the hosts that are not.
    nonisolated func checkUnchanged(_ hosts: [String], of cluster: String, pool: HostPool) async throws {
        let changed = try await withThrowingTaskGroup(of: String?.self) { group in
            for host in hosts {
                group.addTask {
                    let now = try await pool.withConnection(host) { try await NodeMark.read(from: $0.host) }
                    return await self.mark(of: host) == now ? nil : host
                }
            }
            return try await group.reduce(into: [String]()) { changed, host in if let host { changed.append(host) } }
        }
        guard changed.isEmpty else {
            throw Failure(
                .conflict,
                "hosts were changed by another command since they were looked at: "
                    + changed.sorted().joined(separator: ", "),
                at: cluster, remedy: "run the command again: it looks anew at what has to be done")
        }
    }
}
