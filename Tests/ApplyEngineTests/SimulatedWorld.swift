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

@testable import ApplyEngine
@testable import ClusterRuntime

/// Hosts behind the engine's own protocols, kept in memory, with faults that a seed draws: the real engine looks at them, plans
/// and executes, with its marks, its comparison and its journal.
final class SimulatedWorld: Sendable {
    struct Machine: Sendable {
        var hostname: String
        var files: [String: File] = ["/etc/hosts": File(bytes: Data("127.0.0.1 localhost\n".utf8), permissions: 0o644)]
        var services: [String: ServiceState] = [:]
        var blobs: Set<Digest> = []
        var hasImage = false
        var plugins: [String] = []
        /// The paths of sealer's executables.
        var programs: Set<String> = []
        /// Draws what goes wrong there; each machine has its own, so that a seed says the same whatever the others do.
        var dice = SeededGenerator(seed: 0)

        /// What the image's own script takes away.
        mutating func cleanKubernetes() {
            files = files.filter { !$0.key.hasPrefix("/etc/kubernetes/") && !$0.key.hasPrefix("/etc/cni/net.d/") }
                .filter { !$0.key.hasPrefix("/var/lib/kubelet/") }
        }
    }

    struct File: Sendable, Hashable {
        var bytes: Data
        var permissions: UInt32
    }

    struct State: Sendable {
        var machines: [String: Machine] = [:]
        var nodes: [String: NodeStatus] = [:]
        var etcd: Set<String> = []
        var record: [String: String]?
        /// What the cluster was told of kubelet's and kube-proxy's configuration.
        var kubelet: Digest?
        var proxy: Digest?
        /// How many calls changed something.
        var writes = 0
        var violations: [String] = []
        /// How many of a thousand changing calls go wrong, and at how many of a thousand requests the connection is cut.
        var faults = 0
        var seed: UInt64
    }

    /// Where a connection is cut.
    enum Cut {
        case before, after
    }

    private let state: Mutex<State>

    init(seed: UInt64, faults: Int) {
        state = Mutex(State(faults: faults, seed: seed))
    }

    private static func draw(_ place: String, _ state: inout State) -> Int {
        guard state.faults > 0, state.machines[place] != nil else { return 1000 }
        return Int.random(in: 0..<1000, using: &state.machines[place, default: Machine(hostname: "")].dice)
    }

    /// Whether the connection to a machine is cut at this request.
    func cut(_ place: String) -> Cut? {
        state.withLock { state in
            let draw = Self.draw(place, &state)
            return draw < state.faults / 2 ? .before : draw < state.faults ? .after : nil
        }
    }

    func with<Result: Sendable>(_ body: (inout sending State) throws -> sending Result) rethrows -> Result {
        try state.withLock(body)
    }

    /// Changes something, unless a fault comes before; a fault may come after as well.
    func write<Result: Sendable>(
        _ place: String, _ body: (inout State) throws -> Result
    ) throws -> Result {
        try state.withLock { state in
            let draw = Self.draw(place, &state)
            // Of another kind than a lost connection, which the engine mends at once.
            if draw < state.faults / 2 { throw Failure(.timeout, "lost before it was done", at: place) }
            state.writes += 1
            let result = try body(&state)
            if draw < state.faults { throw Failure(.timeout, "lost after it was done", at: place) }
            return result
        }
    }

    /// A machine as it comes: nobody's.
    func add(_ address: String, hostname: String? = nil) {
        let hostname = hostname ?? "host-\(address.replacing(".", with: "-"))"
        with { state in
            let number = address.utf8.reduce(14_695_981_039_346_656_037) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
            state.machines[address] = Machine(hostname: hostname, dice: SeededGenerator(seed: state.seed ^ number))
        }
    }
}

/// One machine of the world, as its agent shows it.
struct SimulatedHost: Host {
    let world: SimulatedWorld
    let name: String

    private func read<Result: Sendable>(_ body: (SimulatedWorld.Machine) throws -> Result) throws -> Result {
        try world.with { state in
            guard let machine = state.machines[name] else { throw Failure(.unreachable, "no such machine", at: name) }
            return try body(machine)
        }
    }

    private func change<Result: Sendable>(_ body: (inout SimulatedWorld.Machine) throws -> Result) throws -> Result {
        try world.write(name) { state in
            guard var machine = state.machines[name] else { throw Failure(.unreachable, "no such machine", at: name) }
            let result = try body(&machine)
            state.machines[name] = machine
            return result
        }
    }

    func facts() async throws -> HostFacts {
        try read { machine in
            HostFacts(
                hostname: machine.hostname, kernel: "6.1", operatingSystem: "Simulated", platform: .current,
                processors: 4, memory: 8 << 30, hasSwap: false, freeDisk: 1 << 40, addresses: [name], cgroups: "v2",
                hasSystemd: true, isContainer: false, capabilities: .max,
                programs: ["ip", "iptables", "mount", "systemctl"],
                listeningPorts: machine.services.values.contains(where: \.isActive) ? [5000, 5001, 6443] : [],
                clock: Date.now.timeIntervalSince1970, agentDigest: ContentDigest.sample, isKubernetesNode: false)
        }
    }

    func writeFile(_ path: FilePath, _ bytes: Data, permissions: UInt32) async throws {
        try change { $0.files[path.string] = .init(bytes: bytes, permissions: permissions) }
    }

    func readFile(_ path: FilePath, limit: Int) async throws -> Data? {
        try read { $0.files[path.string]?.bytes }
    }

    func inspect(_ paths: [FilePath]) async throws -> [String: FileState] {
        try read { machine in
            var found: [String: FileState] = [:]
            for path in paths {
                guard let file = machine.files[path.string] else { continue }
                found[path.string] = FileState(
                    digest: ContentHasher.digest(of: file.bytes), permissions: file.permissions)
            }
            return found
        }
    }

    func delete(_ path: FilePath) async throws {
        try change { machine in
            let folder = path.string + "/"
            machine.files = machine.files.filter { $0.key != path.string && !$0.key.hasPrefix(folder) }
            machine.programs = machine.programs.filter { !$0.hasPrefix(folder) }
            if path == "/var/lib/sealer/store" { (machine.blobs, machine.hasImage) = ([], false) }
        }
    }

    func missing(_ blobs: [Descriptor]) async throws -> [Descriptor] {
        try read { machine in blobs.filter { !machine.blobs.contains($0.digest) } }
    }

    func send(_ blob: Descriptor, from file: FilePath, advanced: @escaping @Sendable (Int64) -> Void) async throws {
        try change { _ = $0.blobs.insert(blob.digest) }
    }

    func name(_ image: Descriptor, as reference: Reference) async throws { try change { $0.hasImage = true } }

    func fetch(_ request: FetchRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws {
        try world.write(name) { state in
            // A master is told the address, a worker's balancer has it.
            let ways = String(
                decoding: state.machines[name]?.files["/etc/sealer/balancer.json"]?.bytes ?? Data(), as: UTF8.self)
            let serves = state.machines.contains { address, machine in
                request.address.map { $0 == address } ?? ways.contains("\"\(address):5000\"")
                    && machine.services["sealer-registry.service"]?.isActive == true
                    && request.blobs.allSatisfy { machine.blobs.contains($0.digest) }
            }
            if !serves { state.violations.append("\(name) fetches, and no registry has what it wants") }
            state.machines[name]?.blobs.formUnion(request.blobs.map(\.digest))
        }
    }

    func unpack(_ request: UnpackRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws {
        try world.write(name) { state in
            let folder = request.destination + "/"
            guard var machine = state.machines[name] else { return }
            if !machine.blobs.contains(request.manifest.digest) {
                state.violations.append("\(name) unpacks what it does not have")
            }
            machine.files = machine.files.filter { !$0.key.hasPrefix(folder) }
            for script in ["containerd.sh", "init-kube.sh", "clean-kube.sh", "uninstall-containerd.sh"] {
                machine.files["\(folder)scripts/\(script)"] = .init(bytes: Data(script.utf8), permissions: 0o755)
            }
            state.machines[name] = machine
        }
    }

    func takeLease(_ owner: LeaseOwner, staleAfter: Duration, ended: [String]) async throws -> LeaseOutcome {
        world.with { $0.writes += 1 }
        return .taken(from: nil)
    }

    func renewLease(_ owner: LeaseOwner) async throws -> LeaseRenewal { .renewed }
    func returnLease(_ id: String?) async throws {}
    func lease() async throws -> LeaseHolder? { nil }
    var isLost: Bool { false }
    func close() async {}

    // MARK: - Commands

    func run(
        _ command: RemoteCommand, limit: Duration, output: @escaping @Sendable (OutputLine) -> Void
    ) async throws -> CommandResult {
        let program = command.arguments[0]
        let text = command.input.map { String(decoding: $0, as: UTF8.self) } ?? ""
        if program == "systemctl" { return try read { Self.result(Self.show($0, command.arguments)) } }
        if program == "tee", command.arguments.count == 2 {
            try change { machine in
                machine.files[command.arguments[1]] = .init(bytes: command.input ?? Data(), permissions: 0o644)
            }
            return Self.result("")
        }
        if program.hasSuffix("/sealer"), command.arguments.dropFirst().first == "rmi" {
            try change { ($0.blobs, $0.hasImage) = ([], false) }
            return Self.result("")
        }
        if program == "test" {
            let folder = (command.arguments.last ?? "") + "/"
            let isThere = try read { machine in machine.files.keys.contains { $0.hasPrefix(folder) } }
            return CommandResult(status: isThere ? 0 : 1, output: Data(), error: Data())
        }
        if command.arguments.count == 2, program == "/bin/bash" {
            try script(command.arguments[1], command)
            return Self.result("")
        }
        if command.arguments.contains(where: { $0.contains("eval") }) {
            try change { $0.plugins.append(text) }
            return Self.result("")
        }
        return Self.result(try inline(text, command))
    }

    private static func result(_ text: String) -> CommandResult {
        CommandResult(status: 0, output: Data(text.utf8), error: Data())
    }

    private static func show(_ machine: SimulatedWorld.Machine, _ arguments: [String]) -> String {
        let names = arguments.drop { $0 != "--" }.dropFirst()
        return names.map { name in
            let state = machine.services[name] ?? ServiceState(isActive: false, isEnabled: false)
            return "Id=\(name)\nActiveState=\(state.isActive ? "active" : "inactive")\n"
                + "UnitFileState=\(state.isEnabled ? "enabled" : "")\n"
        }.joined(separator: "\n")
    }

    /// A script of the rootfs.
    private func script(_ path: String, _ command: RemoteCommand) throws {
        try world.write(name) { state in
            guard var machine = state.machines[name] else { return }
            let folder = command.workingDirectory ?? "/"
            if machine.files["\(folder)/\(path)"] == nil {
                state.violations.append("\(name) runs \(path), and has no rootfs")
            }
            switch path {
            case "scripts/containerd.sh", "scripts/init-kube.sh":
                for file in NodePreparation.installedFiles {
                    machine.files[file.string] = .init(bytes: Data("installed".utf8), permissions: 0o644)
                }
            case "scripts/uninstall-containerd.sh":
                for file in NodePreparation.installedFiles { machine.files[file.string] = nil }
            case "scripts/clean-kube.sh": machine.cleanKubernetes()
            default: break
            }
            state.machines[name] = machine
        }
    }

    /// A script of sealer's own.
    private func inline(_ text: String, _ command: RemoteCommand) throws -> String {
        let words = text.split(whereSeparator: \.isWhitespace).map(String.init)
        if let position = words.firstIndex(of: "restart"), words.contains("enable"), position + 1 < words.count {
            try change { $0.services[words[position + 1]] = ServiceState(isActive: true, isEnabled: true) }
        } else if text.contains("rm -rf /etc/sealer/registry") {
            try world.write(name) { state in
                for (address, machine) in state.machines where address != name {
                    let ways = ["/etc/sealer/balancer.json", "/etc/hosts"].map {
                        String(decoding: machine.files[$0]?.bytes ?? Data(), as: UTF8.self)
                    }
                    if ways[0].contains("\"\(name):5000\"") || ways[1].contains("\(name)\tsea.hub") {
                        state.violations.append("the registry of \(name) ends, and \(address) is led to it")
                    }
                }
                state.machines[name]?.services["sealer-registry.service"] = nil
                for path in RegistryService.files { state.machines[name]?.files[path.string] = nil }
            }
        } else if text.hasPrefix("for unit in") {
            try change { machine in
                for unit in machine.services.keys { machine.files["/etc/systemd/system/\(unit)"] = nil }
                machine.services = [:]
            }
        } else if text.contains("|| echo $folder") {
            return try read { $0.blobs.isEmpty ? "/var/lib/sealer/store\n" : "" }
        } else if let hostname = command.environment["NODE_NAME"] {
            try change { $0.hostname = hostname }
        }
        return ""
    }
}

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
            name: node.name, isReady: true, isMaster: node.role == .master, address: node.address,
            podNetwork: node.podNetwork, version: version)
        if node.role == .master { state.etcd.insert(node.name) }
        write(state.kubelet, to: ClusterBlueprint.kubeletFiles, of: node, &state)
        if node.role == .master {
            write(try wanted.digest(of: .controlPlane), to: ClusterBlueprint.controlPlaneFiles, of: node, &state)
        }
    }

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
        world.with { state in state.nodes.values.sorted { $0.name < $1.name } }
    }

    func label(_ node: String, labels: [String: String], taints: [String], through master: ClusterNode) async throws {
        try change(master.host.name) { state in
            if state.nodes[node] == nil { state.violations.append("\(node) is labelled, and is no node") }
            state.nodes[node]?.labels.merge(labels) { $1 }
            for taint in taints where taint.hasSuffix("-") {
                state.nodes[node]?.taints.removeAll { $0.hasPrefix(taint.prefix { $0 != ":" }) }
            }
            let known = state.nodes[node]?.taints ?? []
            state.nodes[node]?.taints = (known + taints.filter { !$0.hasSuffix("-") && !known.contains($0) }).sorted()
        }
    }

    func waitUntilReady(_ nodes: [String], through master: ClusterNode, limit: Duration, step: Step) async throws {
        world.with { state in
            for node in nodes where state.nodes[node] == nil {
                state.violations.append("\(node) is waited for, and is no node")
            }
        }
    }

    func waitUntilPodsReady(through master: ClusterNode, limit: Duration, step: Step) async throws {}

    func drain(_ node: String, grace: Duration, through master: ClusterNode, step: Step) async throws {
        try change(master.host.name) { $0.nodes[node]?.isSchedulable = false }
    }

    func removeEtcdMember(_ node: String, address: String?, through master: ClusterNode, step: Step) async throws {
        try change(master.host.name) { state in
            guard state.etcd.remove(node) != nil else { return }
            if state.etcd.isEmpty { state.violations.append("no member of etcd is left") }
        }
    }

    func makeRoomInEtcd(for node: ClusterNode, through master: ClusterNode, step: Step) async throws {
        try change(master.host.name) { $0.etcd.remove(node.name) }
    }

    func removeNode(_ node: String, through master: ClusterNode) async throws {
        try change(master.host.name) { state in
            if state.etcd.contains(node) { state.violations.append("\(node) is removed, and is in etcd still") }
            state.nodes[node] = nil
        }
    }

    func kubeconfig(of master: ClusterNode) async throws -> Data { Data("kubeconfig".utf8) }

    func record(through master: ClusterNode) async throws -> [String: String]? { world.with { $0.record } }

    func write(record: [String: String], through master: ClusterNode) async throws {
        try change(master.host.name) { $0.record = record }
    }
}

/// Where the world's machines are.
struct SimulatedInfra: InfraProvider {
    let world: SimulatedWorld

    func places(of cluster: Cluster) async throws -> [HostPlace] { cluster.members.map(place) }
    func place(of member: ClusterMember) async throws -> HostPlace { place(member) }

    private func place(_ member: ClusterMember) -> HostPlace {
        let name = member.address?.description ?? ""
        return HostPlace(
            name: name, member: member, address: name, transport: SimulatedTransport(world: world, host: name))
    }

    func provision(_ cluster: Cluster, progress: any ProgressSink) async throws {}
    func contents(of cluster: String) async throws -> [String] { [] }
    func remove(host: String, of cluster: String) async throws {}
    func remove(cluster: String, progress: any ProgressSink) async throws -> RemovalReport {
        RemovalReport(removed: [])
    }
}
