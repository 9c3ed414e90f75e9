import ApplyEngine
import Clusterfile
import ImageStore
import SystemPackage

/// A cluster of a thousand hosts under the whole engine.
package enum LargeFleet {
    /// Makes it out of hosts that have nothing, and looks that it needs nothing afterwards.
    ///
    /// - Parameters:
    ///   - store: a store with the simulated image.
    ///   - state: a folder of its own for what the operator's machine keeps.
    /// - Returns: how many steps that took.
    /// - Throws: `ClusterLife.BrokenPromise`, or what the engine threw.
    package static func make(store: ImageStore, state: FilePath) async throws -> Int {
        let world = SimulatedWorld(seed: 1, faults: 0)
        let draft = ClusterDraft(
            masters: ["10.0.0.2", "10.0.0.3", "10.0.0.4"],
            workers: (0..<997).map { "10.1.\($0 / 250).\($0 % 250 + 1)" }, hasPlugins: false)
        for address in draft.masters + draft.workers { world.add(address) }
        let engine = ClusterLife.engine(world, store, state)
        // Twice the addresses that a /24 for each node needs.
        let networks = "  network: {podCIDR: 10.128.0.0/12, svcCIDR: 10.96.0.0/12}\n  hosts:\n"
        let cluster = try Cluster.parse(
            draft.text.replacing("  hosts:\n", with: networks), file: "Clusterfile"
        ).cluster
        let applied = try await engine.apply(cluster, .init()) { _ in }
        func check(_ holds: Bool, _ what: String) throws {
            guard holds else { throw ClusterLife.BrokenPromise(seed: 1, what: "a thousand hosts: \(what)") }
        }
        let (nodes, violations) = world.with { ($0.nodes.count, $0.violations) }
        try check(nodes == 1000, "\(nodes) nodes")
        try check(violations == [], "\(violations)")
        try check(try await engine.plan(cluster).isEmpty, "something is left to plan")
        return applied.plan.steps.count
    }
}
