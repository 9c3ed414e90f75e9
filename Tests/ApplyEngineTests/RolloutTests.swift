import ClusterRuntime
import OCI
import Report
import Synchronization
import TestSupport
import Testing

@testable import ApplyEngine
@testable import Simulation

/// In which order a running cluster's hosts get what may break them.
@Suite("A running cluster, one host after the other")
struct RolloutTests {
    private func host(_ name: String, _ membership: NodeMark.Membership = .complete) -> NodeDifference {
        var host = NodeDifference(host: name, isMaster: name.hasPrefix("m"), membership: membership)
        host.runtime = "another rootfs"
        return host
    }

    private func plan(_ hosts: [NodeDifference], registryHost: String? = nil) throws -> Plan {
        try Planner.plan(
            cluster: "demo", image: ContentDigest.sample,
            ClusterDifference(hosts: hosts, first: "m0", registryHost: registryHost, isInitialised: true))
    }

    private func steps(_ plan: Plan) -> [String: PlanStep] {
        Dictionary(uniqueKeysWithValues: plan.steps.map { ($0.id, $0) })
    }

    @Test("install scripts run on one master after the other, one worker, then some at a time; new hosts do not wait")
    func order() throws {
        let workers = (0..<25).map { host("n\($0)") }
        let steps = try steps(plan([host("n99", .none)] + workers + [host("m0"), host("m1"), host("m2", .none)]))
        #expect(steps["runtime/m0"]?.after == [])
        #expect(steps["runtime/m1"]?.after == ["runtime/m0"])
        #expect(steps["runtime/n0"]?.after == ["runtime/m1"])
        // Columns: one that fails ends its own, so that at most so many fail.
        for number in 1..<25 {
            #expect(steps["runtime/n\(number)"]?.after == ["runtime/n\(max(number - Planner.runtimeWidth, 0))"])
        }
        for new in ["n99", "m2"] {
            #expect(steps["runtime/\(new)"]?.after == [] && steps["runtime/\(new)"]?.lane == nil)
        }
    }

    private final class Box: Sendable { let ran = Mutex<[String]>([]) }

    private struct Failing: StepPerformer {
        let box: Box

        func perform(_ step: PlanStep, handle: Step) async throws {
            guard step.action == .installRuntime else { return }
            box.ran.withLock { $0.append(step.id) }
            throw Failure(.commandFailed, "no such program", at: step.host)
        }
    }

    @Test("etcd takes other settings when the masters that come have come, one after the other, and kubelets follow")
    func settings() throws {
        var hosts = ["m0", "m1", "m2", "w0"].map { host($0, $0 == "m2" ? .none : .complete) }
        for index in hosts.indices {
            hosts[index].runtime = nil
            guard hosts[index].membership == .complete else { continue }
            hosts[index].kubelet = "another value"
            guard hosts[index].isMaster else { continue }
            hosts[index].etcd = "another value"
            hosts[index].controlPlane = "another value"
        }
        let steps = try steps(plan(hosts))
        #expect(steps["control-plane/m1"]?.after == ["control-plane/m0"])
        #expect(steps["etcd-configuration/m0"]?.after == ["join/m2"])
        #expect(steps["etcd-configuration/m1"]?.after == ["etcd-configuration/m0"])
        #expect(steps["etcd-configuration/m2"] == nil)
        #expect(Set(steps.values.filter { $0.id.contains("etcd-") }.map(\.lane)).count == 1)
        let before = ["control-plane/m0", "etcd-configuration/m0", "control-plane/m1", "etcd-configuration/m1"]
        #expect(steps["kubelet-configuration/m0"]?.after == before)
        #expect(steps["kubelet-configuration/w0"]?.after == before + ["kubelet-configuration/m0"])
        #expect(steps["ready"]?.after.contains("etcd-configuration/m1") == true)
    }

    @Test("scripts that fail stop at the first host")
    func stops() async throws {
        for hosts in [["m0", "m1", "n0", "n1", "n2"], ["n0", "n1", "n2"]] {
            let box = Box()
            let outcome = await PlanExecutor(
                performer: Failing(box: box), progress: SilentProgress(), journal: RecordedJournal(), concurrency: 32
            ).execute(try plan(hosts.map { host($0) }))
            #expect(outcome.failure(resume: "") != nil)
            #expect(box.ran.withLock { $0 } == ["runtime/\(hosts[0])"])
        }
    }

    private func bare(_ name: String, _ body: (inout NodeDifference) -> Void) -> NodeDifference {
        var host = NodeDifference(host: name, isMaster: name.hasPrefix("m"))
        body(&host)
        return host
    }

    @Test("a registry ends only when every way to it leads elsewhere, and no way leads where no images are yet")
    func ends() throws {
        let steps = try steps(
            plan(
                [
                    bare("m0") { ($0.imageBytes, $0.aspects[.registry]) = ("lacking", "lacking") },
                    bare("m1") { ($0.names, $0.registryEnd) = ("other", "on m0 only") },
                    bare("n0") { $0.aspects[.balancer] = "other" },
                ], registryHost: "m0"))
        for way in ["names/m1", "balancer/n0"] {
            #expect(Set(["send-image", "registry/m0"]).isSubset(of: steps[way]?.after ?? []), "\(way)")
        }
        #expect(
            Set(["send-image", "registry/m0", "names/m1", "balancer/n0"])
                .isSubset(of: steps["registry-end/m1"]?.after ?? []))
        #expect(steps["registry-end/m1"]?.isDestructive == false)
    }

    @Test("the operator sends to the master with the registry, whichever master the cluster is asked through")
    func source() throws {
        let steps = try steps(
            plan(
                [
                    bare("m1") { ($0.imageBytes, $0.aspects[.registry]) = ("lacking", "lacking") },
                    bare("m0") { ($0.rootfs, $0.rootfsBytes) = ("lacking", "lacking") },
                ], registryHost: "m1"))
        #expect(steps["send-image"]?.host == "m1")
        #expect(steps["fetch/m0"]?.action == .fetchRootfs)
        #expect(Set(steps["fetch/m0"]?.after ?? []) == ["send-image", "registry/m1"])
    }

    @Test("a master that gets a registry of its own is led to it when it runs")
    func gains() throws {
        let steps = try steps(
            plan([
                bare("m0") { _ in },
                bare("m1") {
                    ($0.imageBytes, $0.names, $0.aspects[.registry]) = ("lacking", "other", "lacking")
                },
            ]))
        #expect(steps["fetch/m1"]?.after == [])
        #expect(steps["registry/m1"]?.after == ["fetch/m1"])
        #expect(Set(steps["names/m1"]?.after ?? []) == ["fetch/m1", "registry/m1"])
    }
}
