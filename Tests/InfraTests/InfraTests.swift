import DockerEngine
import Report
import Testing

@testable import Infra

@Suite struct CapabilityTests {
    @Test func namesWhatTheBoundingSetHolds() throws {
        #expect(Capability.names(of: 0) == [])
        #expect(Capability.names(of: 0b1) == ["CHOWN"])
        #expect(Capability.names(of: 1 << 21 | 1 << 24) == ["SYS_ADMIN", "SYS_RESOURCE"])
        #expect(Capability.names(of: 1 << 38 | 1 << 39 | 1 << 40) == ["PERFMON", "BPF", "CHECKPOINT_RESTORE"])
        // Numbers that are newer than this list are left out.
        #expect(Capability.names(of: UInt64.max).count == 41)
    }

    @Test func readsTheKernelsStatus() throws {
        #expect(try Capability.boundingSet(of: "CapEff:\t01\nCapBnd:\t000001fffeffffff\n") == 0x1ff_feff_ffff)
        #expect(throws: Failure.self) { try Capability.boundingSet(of: "Name:\tx\n") }
        #expect(throws: Failure.self) { try Capability.boundingSet(of: "CapBnd:\tzz\n") }
    }

    @Test func thisMachineHasSome() async throws {
        #expect(try await Capability.ownBoundingSet() != 0)
    }
}

@Suite struct HostsRequestTests {
    @Test(arguments: ["demo", "a", "a-1", String(repeating: "x", count: 40)]) func takesNames(_ name: String) throws {
        try HostsRequest(cluster: name, masters: 1, nodes: 0).validate()
    }

    @Test(arguments: ["", "-a", "a-", "Demo", "a_b", "a/b", "a b", "ä", String(repeating: "x", count: 41), "a\n"])
    func refusesNames(_ name: String) {
        let failure = #expect(throws: Failure.self) { try HostsRequest(cluster: name, masters: 1, nodes: 0).validate() }
        #expect(failure?.kind == .invalidInput)
    }

    @Test(arguments: [(0, 0), (-1, 0), (101, 0), (1, -1), (1, 101)]) func refusesNumbers(_ masters: Int, _ nodes: Int) {
        #expect(throws: Failure.self) { try HostsRequest(cluster: "demo", masters: masters, nodes: nodes).validate() }
    }

    @Test func plansMastersFirst() {
        let plans = NodePlan.all(of: HostsRequest(cluster: "demo", masters: 2, nodes: 1))
        #expect(plans.map(\.name) == ["demo-master-0", "demo-master-1", "demo-node-0"])
        #expect(plans[2].labels == ["io.sealer.cluster": "demo", "io.sealer.role": "node", "io.sealer.index": "0"])
        #expect(plans[0].network == "sealer-demo")
    }

    @Test func asksForWhatANodeNeeds() {
        let plan = NodePlan(cluster: "demo", role: .master, index: 0)
        let spec = ContainerProvider.spec(of: plan, image: "i", capabilities: ["SYS_ADMIN"])
        #expect(spec.name == "demo-master-0" && spec.hostname == "demo-master-0")
        #expect(spec.isUnconfined)
        #expect(spec.deviceRules == ["a *:* rwm"])
        #expect(spec.memoryMounts.keys.sorted() == ["/run", "/tmp"])
        #expect(spec.volumes["/var/lib/containerd"] == "sealer-demo-master-0-containerd")
        #expect(spec.stopSignal == "SIGRTMIN+3")
        #expect(spec.network == "sealer-demo")
    }
}
