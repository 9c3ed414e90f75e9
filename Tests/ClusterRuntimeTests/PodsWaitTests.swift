import Report
import Testing

@testable import ClusterRuntime

@Suite("Waiting for pods")
struct PodsWaitTests {
    /// A master whose cluster has a pod that runs, and one on the node `lost` that does not.
    private func master() throws -> ClusterNode {
        func pod(_ name: String, _ node: String, _ ready: String) -> String {
            """
            {"kind": "Pod", "metadata": {"namespace": "kube-system", "name": "\(name)"}, "spec": {"nodeName": "\(node)"},
             "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "\(ready)"}]}}
            """
        }
        let list = "{\"items\": [\(pod("proxy-a", "m", "True")), \(pod("proxy-b", "lost", "False"))]}"
        let host = ScriptedNode("m", files: [:]) { command, _ in
            command.words.contains("pods,services,endpoints") ? .succeeded(list) : .succeeded("ok")
        }
        return ClusterNode(host: host, facts: try ScriptedNode.facts("m"), role: .master, address: "10.0.0.2")
    }

    private func wait(exceptOn silent: Set<String>) async throws {
        let (runtime, master) = (try Kubeadm(.demo()), try master())
        try await SilentProgress().step("") {
            try await runtime.waitUntilPodsReady(exceptOn: silent, through: master, limit: .seconds(1), step: $0)
        }
    }

    @Test("does not wait for those on hosts that do not answer, and names the others that are not ready")
    func silent() async throws {
        try await wait(exceptOn: ["lost"])
        let failure = await #expect(throws: Failure.self) { try await wait(exceptOn: []) }
        #expect(failure?.kind == .timeout && failure?.what.contains("kube-system/proxy-b") == true)
    }
}
