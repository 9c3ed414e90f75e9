import ApplyEngine
import ClusterRuntime
import Clusterfile
import FoundationEssentials
import ImageStore
import Infra
import OCI
import Remote
import Report
import Synchronization
import SystemPackage
import TestSupport

/// Kubernetes of the world: the same preconditions as the real one has.
struct SimulatedKubernetes: KubernetesRuntime {
    let world: SimulatedWorld
    let version: String
    /// The configuration that the cluster should be told.
    let wanted: ConfigurationFields

    private func change(_ place: String, _ body: (inout SimulatedWorld.State) throws -> Void) throws {
        try world.write(place, body)
    }

    func certificates(of master: ClusterNode, under authorities: ClusterAuthorities, years: Int) throws
        -> [CertificateFile]
    { [] }

    private func become(_ node: ClusterNode, _ state: inout SimulatedWorld.State) throws {
        let machine = state.machines[node.host.name]
        if state.nodes[node.name] != nil { state.violations.append("\(node.name) is a member already") }
        for other in state.nodes.values where other.address == node.address {
            state.violations.append("\(node.name) has the address of the member \(other.name)")
        }
        for file in NodePreparation.installedFiles where machine?.files[file.string] == nil {
            state.violations.append("\(node.name) becomes a member without \(file)")
        }
        state.nodes[node.name] = NodeStatus(
            name: node.name, isReady: true, reported: state.kubeletStarts[node.name] ?? 0,
            isMaster: node.role == .master, address: node.address,
            podNetwork: node.podNetwork, version: version)
        write(state.kubelet, to: ClusterBlueprint.kubeletFiles, of: node, &state)
        if node.role == .master {
            write(try wanted.digest(of: .controlPlane), to: ClusterBlueprint.controlPlaneFiles, of: node, &state)
            write(try wanted.digest(of: .etcd), to: ClusterBlueprint.etcdFiles, of: node, &state)
            state.changeEtcd("\(node.name) joins") { $0.insert(node.name) }
        }
    }

    func isCut(_ master: ClusterNode) async throws -> Bool { false }
    func bringBackFormerSettings(of masters: [ClusterNode], step: Step) async throws {}

    private func write(
        _ configuration: Digest?, to paths: [String], of node: ClusterNode, _ state: inout SimulatedWorld.State
    ) {
        for path in paths {
            state.machines[node.host.name]?.files[path] = .init(
                bytes: Data((configuration?.description ?? "").utf8), permissions: 0o600)
        }
    }

    func uploadConfiguration(
        _ parts: Set<ConfigurationChange.Part>, through master: ClusterNode, step: Step
    ) async throws {
        try change(master.host.name) { state in
            state.kubelet = try wanted.digest(of: .kubelet)
            if parts.contains(.kubeProxy) { state.proxy = try wanted.digest(of: .kubeProxy) }
        }
    }

    func reconfigureControlPlane(of master: ClusterNode, certificates: [CertificateFile], step: Step) async throws {
        try change(master.host.name) { state in
            if state.nodes[master.name] == nil { state.violations.append("\(master.name) is no master") }
            write(try wanted.digest(of: .controlPlane), to: ClusterBlueprint.controlPlaneFiles, of: master, &state)
        }
    }

    func reconfigureEtcd(
        of master: ClusterNode, among masters: [ClusterNode], through: ClusterNode, step: Step
    ) async throws {
        try change(master.host.name) { state in
            if state.nodes[master.name] == nil { state.violations.append("\(master.name) is no master") }
            write(try wanted.digest(of: .etcd), to: ClusterBlueprint.etcdFiles, of: master, &state)
        }
    }

    func reconfigureKubelet(of node: ClusterNode, through master: ClusterNode, step: Step) async throws {
        try change(node.host.name) { state in
            if state.kubelet != (try wanted.digest(of: .kubelet)) {
                state.violations.append("\(node.name) asks what nobody was told")
            }
            write(state.kubelet, to: ClusterBlueprint.kubeletFiles, of: node, &state)
        }
    }

    func restartKubelet(of node: ClusterNode, through master: ClusterNode, step: Step) async throws {
        try change(node.host.name) { state in
            if state.nodes[node.name] == nil { state.violations.append("\(node.name) is no member") }
        }
    }

    func initialise(_ master: ClusterNode, isAlone: Bool, step: Step) async throws {
        try change(master.host.name) { state in
            if !state.nodes.isEmpty { state.violations.append("there is a cluster already") }
            state.isAlone = isAlone
            state.kubelet = try wanted.digest(of: .kubelet)
            state.proxy = try wanted.digest(of: .kubeProxy)
            try become(master, &state)
        }
    }

    func makeTicket(through master: ClusterNode) async throws -> JoinTicket {
        JoinTicket(token: BootstrapToken(), authorityHash: "sha256:00", made: .now)
    }

    func join(_ node: ClusterNode, through master: ClusterNode, ticket: JoinTicket, step: Step) async throws {
        try change(node.host.name) { try become(node, &$0) }
    }

    func clean(_ node: ClusterNode, step: Step) async throws {
        try change(node.host.name) { state in
            for file in NodePreparation.installedFiles { state.machines[node.host.name]?.files[file.string] = nil }
            state.machines[node.host.name]?.cleanKubernetes()
            // With the only member of etcd the cluster is gone.
            if state.etcd == [node.name] { (state.nodes, state.etcd, state.record) = ([:], [], nil) }
        }
    }

    func nodes(through master: ClusterNode) async throws -> [NodeStatus] {
        try world.with { state in
            guard state.isAnswering else {
                throw Failure(.commandFailed, "cannot list the nodes: connection refused", at: master.host.name)
            }
            return state.nodes.values.sorted { $0.name < $1.name }
        }
    }

    func label(
        _ node: String, labels: [String: String], taints: [String], withdrawn: [String], through master: ClusterNode
    ) async throws {
        try change(master.host.name) { state in
            if state.nodes[node] == nil { state.violations.append("\(node) is labelled, and is no node") }
            state.nodes[node]?.labels.merge(labels) { $1 }
            for key in withdrawn { state.nodes[node]?.labels[key] = nil }
            for taint in taints where taint.hasSuffix("-") {
                let key = taint.prefix { $0 != "=" && $0 != ":" }
                let effect = taint.dropLast().drop { $0 != ":" }
                state.nodes[node]?.taints.removeAll { taint in
                    taint.prefix { $0 != "=" && $0 != ":" } == key && taint.hasSuffix(effect)
                }
            }
            let known = state.nodes[node]?.taints ?? []
            state.nodes[node]?.taints = (known + taints.filter { !$0.hasSuffix("-") && !known.contains($0) }).sorted()
        }
    }

    func answers(_ master: ClusterNode) async throws -> Bool {
        world.with { $0.isAnswering && !$0.deafMasters.contains(master.host.name) }
    }

    func kubeletStart(of node: ClusterNode) async throws -> Int64? { world.with { $0.kubeletStarts[node.name] } }

    func waitUntilReady(_ nodes: [ClusterNode], through master: ClusterNode, limit: Duration, step: Step) async throws {
        world.with { state in
            for node in nodes where state.nodes[node.name] == nil {
                state.violations.append("\(node.name) is waited for, and is no node")
            }
            state.deafMasters = []
            for node in nodes { state.nodes[node.name]?.reported = state.kubeletStarts[node.name] ?? 0 }
        }
    }

    func waitUntilPodsReady(
        exceptOn silent: Set<String>, through master: ClusterNode, limit: Duration, step: Step
    ) async throws {
        if world.with({ $0.hasUnwellPods }) { throw Failure(.timeout, "pods not ready", at: master.host.name) }
    }

    func drain(_ node: String, _ policy: DrainPolicy, through master: ClusterNode, step: Step) async throws {
        try change(master.host.name) { $0.nodes[node]?.isSchedulable = false }
    }

    func uncordon(_ node: String, through master: ClusterNode) async throws {
        try change(master.host.name) { $0.nodes[node]?.isSchedulable = true }
    }

    func removeEtcdMember(_ node: String, address: String?, through master: ClusterNode, step: Step) async throws {
        try change(master.host.name) { state in
            state.changeEtcd("\(node) leaves") { $0.remove(node) }
        }
    }

    func makeRoomInEtcd(for node: ClusterNode, through master: ClusterNode, step: Step) async throws {
        try change(master.host.name) { state in
            state.changeEtcd("room is made for \(node.name)") { $0.remove(node.name) }
        }
    }

    func removeNode(_ node: String, through master: ClusterNode) async throws {
        try change(master.host.name) { state in
            if state.etcd.contains(node) { state.violations.append("\(node) is removed, and is in etcd still") }
            state.nodes[node] = nil
        }
    }

    func kubeconfig(of master: ClusterNode) async throws -> Data {
        Data(Kubeadm.server(at: master.address).utf8)
    }

    func record(through master: ClusterNode) async throws -> [String: String]? { world.with { $0.record } }

    func write(record: [String: String], through master: ClusterNode) async throws {
        try change(master.host.name) { $0.record = record }
    }
}
