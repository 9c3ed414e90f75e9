import Clusterfile
import Infra
import OCI
import Remote
import Report
import Synchronization
import Testing

@testable import ApplyEngine
@testable import Simulation

@Suite("The plugins of a cluster that is deleted")
struct FarewellTests {
    /// Keeps what was warned of.
    private final class Warnings: ProgressSink {
        let all = Mutex<[String]>([])
        func send(_ event: ProgressEvent) {
            if case .warning(let text) = event { all.withLock { $0.append(text) } }
        }
    }

    /// Runs the plugins on one host, which does not answer: there is no machine in the world.
    private func run(_ provider: HostGroup.Provider) async throws -> [String] {
        let world = SimulatedWorld(seed: 1, faults: 0)
        let pool = HostPool(SimulatedConnector(world: world))
        var cluster = Cluster(name: "shop", image: try Reference("shop:1"))
        cluster.plugins = [Plugin(name: "bye", kind: .shell, phases: [.preCleanHost], scope: ["all"], data: "true")]
        let member = ClusterMember(
            provider: provider, address: nil, index: 0, roles: [HostGroup.node], ssh: SSHSettings(), environment: [:],
            labels: [:], taints: [])
        let place = HostPlace(
            name: "shop-node-0", member: member, address: "10.0.0.2",
            transport: SimulatedTransport(world: world, host: "10.0.0.2"))
        await pool.set([place])
        let warnings = Warnings()
        try await Farewell(
            cluster: cluster, places: [place], pool: pool, progress: warnings, rootWords: " --root /srv"
        ).run(.preCleanHost)
        return warnings.all.withLock { $0 }
    }

    @Test("do not run in a container that is stopped, which is told; any other host must answer")
    func stopped() async throws {
        let warnings = try await run(.container)
        #expect(warnings.count == 1 && warnings[0].contains("pre-clean-host do not run there"), "\(warnings)")
        let failure = await #expect(throws: Failure.self) { try await run(.baremetal) }
        // The command that is told finds the same cluster.
        let words = "sealer delete --skip-plugins --name shop --root /srv"
        #expect(failure?.remedy?.contains(words) == true, "\(String(describing: failure))")
    }
}
