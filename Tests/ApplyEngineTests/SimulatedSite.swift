import ClusterRuntime
import Clusterfile
import ImageStore
import SystemPackage
import TestSupport

@testable import ApplyEngine
@testable import Simulation

/// A simulated cluster of two workers and some masters, as `apply` has left it, and the machine that it was applied from.
struct SimulatedSite {
    let world: SimulatedWorld
    let store: ImageStore
    let folder: ClusterFolder
    let engine: Engine
    var draft: ClusterDraft

    static func make(_ folder: FilePath, masters: [String] = ["10.0.0.2"]) async throws -> SimulatedSite {
        let store = try await SimulatedImage.store(folder.appending("store"))
        let world = SimulatedWorld(seed: 1, faults: 0)
        let draft = ClusterDraft(masters: masters, workers: ["10.0.1.1", "10.0.1.2"], hasPlugins: false)
        for address in draft.masters + draft.workers { world.add(address) }
        let state = folder.appending("state")
        let site = SimulatedSite(
            world: world, store: store, folder: ClusterFolder(state: state, cluster: "fleet"),
            engine: ClusterLife.engine(world, store, state), draft: draft)
        _ = try await site.apply()
        return site
    }

    /// The same cluster, from a machine that knows nothing of it.
    func seenFromElsewhere(_ state: FilePath) -> SimulatedSite {
        SimulatedSite(
            world: world, store: store, folder: ClusterFolder(state: state, cluster: "fleet"),
            engine: ClusterLife.engine(world, store, state), draft: draft)
    }

    @discardableResult
    func apply(_ cluster: Cluster? = nil) async throws -> Plan {
        try await engine.apply(try cluster ?? draft.cluster(), .init()) { _ in }.plan
    }

    func status() async throws -> ClusterStatus { try await engine.status(try draft.cluster()) }

    /// Something happens.
    func change(_ body: (inout SimulatedWorld.State) -> Void) { world.with { body(&$0) } }

    /// A host dies, which Kubernetes notices.
    func kill(_ address: String) {
        change { state in
            state.machines[address] = nil
            for name in state.nodes.keys where state.nodes[name]?.address == address {
                state.nodes[name]?.isReady = false
                state.nodes[name]?.reason = "NodeStatusUnknown"
            }
        }
    }
}
