import FoundationEssentials
import Report
import TestSupport
import Testing

@testable import ApplyEngine
@testable import Simulation

@Suite("The check of new hosts")
struct HostCheckTests {
    @Test("refuses one on which something would be lost, and changes nothing; members have such things of sealer's")
    func losses() async throws {
        let scratch = try Scratch()
        var site = try await SimulatedSite.make(scratch.path)
        site.world.add("10.0.1.3")
        site.draft.workers.append("10.0.1.3")
        let path = "/var/lib/etcd/member/snap/db"
        site.change { $0.machines["10.0.1.3"]?.files[path] = .init(bytes: .init(), permissions: 0o600) }
        let failure = await #expect(throws: Failure.self) { try await site.apply() }
        #expect(failure?.kind == .invalidInput, "\(String(describing: failure))")
        let words = "10.0.1.3: there is something in /var/lib/etcd, it was expected to be empty"
        #expect(failure?.what.contains(words) == true, "\(String(describing: failure))")
        #expect(failure?.what.contains("sealer reset 10.0.1.3") == true, "\(String(describing: failure))")
        #expect(
            site.world.with { $0.nodes.count } == 3 && site.world.with { $0.machines["10.0.1.3"]?.files.count } == 2)

        site.change { $0.machines["10.0.1.3"]?.files[path] = nil }
        try await site.apply()
        // As one of whom sealer has noted that it is its own, it may have it.
        site.change { $0.machines["10.0.1.3"]?.files[path] = .init(bytes: .init(), permissions: 0o600) }
        try await site.apply()
    }
}
