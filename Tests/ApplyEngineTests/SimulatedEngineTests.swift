import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

@testable import ApplyEngine
@testable import Simulation

/// A few lives of clusters under the whole engine; `scripts/simulate-lives.sh` lives many more, of a release build.
/// `SEALER_ENGINE_SEED=17` replays one alone, `SEALER_ENGINE_LIVES` says how many there are.
@Suite("The engine on simulated hosts")
struct SimulatedEngineTests {
    private static var seeds: [UInt64] {
        let environment = ProcessInfo.processInfo.environment
        if let seed = environment["SEALER_ENGINE_SEED"].flatMap(UInt64.init) { return [seed] }
        return Array(0..<(environment["SEALER_ENGINE_LIVES"].flatMap(UInt64.init) ?? 5))
    }

    @Test(
        "each of many lives converges after every change and fault, shows what it does, and writes nothing when all is well"
    )
    func lives() async throws {
        let scratch = try Scratch()
        let store = try await SimulatedImage.store(scratch.path.appending("store"))
        for seed in Self.seeds {
            try await ClusterLife(seed: seed, store: store, state: scratch.path.appending("state-\(seed)")).run()
        }
    }
}
