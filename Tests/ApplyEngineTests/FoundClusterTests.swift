import ClusterRuntime
import Clusterfile
import FoundationEssentials
import OCI
import Remote
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import ApplyEngine

/// A master whose kubectl has answers ready: the real one needs a whole cluster.
private final class ScriptedMaster: UnaskedHost {
    let name = "10.0.0.1"
    private let answers: [String: String]
    private let asked = Mutex<[[String]]>([])

    init(_ answers: [String: String]) { self.answers = answers }

    var commands: [[String]] { asked.withLock { $0 } }

    func run(
        _ command: RemoteCommand, limit: Duration, output: @escaping @Sendable (OutputLine) -> Void
    ) async throws -> CommandResult {
        asked.withLock { $0.append(command.arguments) }
        let answer = answers.first { command.arguments.contains($0.key) }?.value
        if answer == nil, !command.arguments.contains("--ignore-not-found") {
            return CommandResult(status: 1, output: Data(), error: Data("connection refused".utf8))
        }
        return CommandResult(status: 0, output: Data((answer ?? "").utf8), error: Data())
    }
}

@Suite("A cluster that is found running")
struct FoundClusterTests {
    private func find(_ master: ScriptedMaster) async throws -> FoundCluster {
        try await FoundCluster.read(
            RunningCluster(through: master), name: "shop", ssh: SSHSettings(user: "ann"), host: "10.0.0.1")
    }

    private static func configMap(_ key: String, _ text: String) throws -> String {
        struct Map: Encodable {
            struct Metadata: Encodable {
                let name = "m"
                let namespace = "kube-system"
            }
            let apiVersion = "v1"
            let kind = "ConfigMap"
            let metadata = Metadata()
            var data: [String: String]
        }
        return String(decoding: try JSONEncoder().encode(Map(data: [key: text])), as: UTF8.self)
    }

    @Test("says itself what it is, when sealer made it")
    func recorded() async throws {
        let cluster = Cluster(
            name: "other", image: try Reference("shop:1"),
            hosts: [HostGroup(addresses: try [IPAddress](ranges: "10.0.0.1-3"), roles: ["master"])])
        let master = ScriptedMaster(["sealer-cluster": try Self.configMap("clusterfile", cluster.text)])
        let found = try await find(master)
        #expect(found.cluster == cluster)
        #expect(found.text == cluster.text)
        #expect(
            master.commands.allSatisfy { $0.starts(with: ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"]) })
    }

    private static let nodes = """
        {"items": [
          {"metadata": {"name": "w1", "labels": {"kubernetes.io/hostname": "w1", "disk": "ssd"}},
           "spec": {}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.5"}]}},
          {"metadata": {"name": "w2", "labels": {"beta.kubernetes.io/os": "linux", "disk": "ssd"}},
           "spec": {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}]},
           "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.6"}]}},
          {"metadata": {"name": "m1", "labels": {"node-role.kubernetes.io/control-plane": ""}},
           "spec": {"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]},
           "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}},
          {"metadata": {"name": "w3", "labels": {"disk": "ssd", "example.org/kubernetes.io": "x"}},
           "spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoExecute"}]},
           "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.7"}]}},
          {"metadata": {"name": "lost"}, "spec": {}, "status": {}}
        ]}
        """

    @Test("is made of its nodes when somebody else made it, and what nobody knows is said")
    func unrecorded() async throws {
        let kubeadm = "networking:\n  podSubnet: 10.128.0.0/14\n  serviceSubnet: 10.100.0.0/16,fd00::/112\n"
        let found = try await find(
            ScriptedMaster([
                "nodes": Self.nodes, "kubeadm-config": try Self.configMap("ClusterConfiguration", kubeadm),
            ]))
        func addresses(_ text: String) throws -> [IPAddress] { try [IPAddress](ranges: text) }
        #expect(
            try found.cluster.hosts == [
                HostGroup(addresses: addresses("10.0.0.1"), roles: ["master"]),
                HostGroup(addresses: addresses("10.0.0.5-6"), roles: ["node"], labels: ["disk": "ssd"]),
                HostGroup(
                    addresses: addresses("10.0.0.7"), roles: ["node"],
                    labels: ["disk": "ssd", "example.org/kubernetes.io": "x"],
                    taints: [Taint(key: "gpu", value: "yes", effect: .noExecute)]),
            ])
        #expect(found.cluster.network.pods.map(\.description) == ["10.128.0.0/14"])
        #expect(found.cluster.network.services.map(\.description) == ["10.100.0.0/16", "fd00::/112"])
        let head = found.text.split(separator: "\n").prefix { $0.hasPrefix("# ") }.joined(separator: "\n")
        for word in ["spec.image", "metadata.name", "spec.ssh", "node lost", "apply refuses these"] {
            #expect(head.contains(word), "\(head)")
        }
        #expect(!head.contains("spec.network"))
        #expect(found.cluster.name == "shop")
        #expect(found.cluster.ssh == SSHSettings(user: "ann"))
    }

    @Test("the usual networks are only taken with a word of it")
    func noNetwork() async throws {
        let found = try await find(ScriptedMaster(["nodes": Self.nodes]))
        #expect(found.unknown.contains { $0.contains("spec.network") })
        // The image is left to whoever knows it.
        let failure = #expect(throws: (any Error).self) { try Cluster.parse(found.text) }
        #expect(failure.map { "\($0)".contains("image") } == true)
        let named = found.text.replacing("image: \"\"", with: "image: shop:1")
        var expected = found.cluster
        expected.image = try Reference("shop:1")
        #expect(try Cluster.parse(named).cluster == expected)
    }

    @Test("a host that is no master says so")
    func noMaster() async throws {
        let failure = await #expect(throws: Failure.self) { try await find(ScriptedMaster([:])) }
        #expect(failure?.place == "10.0.0.1")
        #expect(failure?.description.contains("connection refused") == true)
    }
}
