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
        /// Whether it is switched off.
        var isOff = false
        /// The request at which it goes off.
        var lastWord: String?
        /// Draws what goes wrong there; each machine has its own, so that a seed says the same whatever the others do.
        var dice = SeededGenerator(seed: 0)

        /// Whether nothing is there that sealer brought.
        var isClean: Bool { blobs.isEmpty && services.isEmpty && files.count == 1 && programs.isEmpty }

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
        /// The digest of sealer's executable.
        var executable = ContentDigest.sample
        /// Whether the first master was made to take pods.
        var isAlone: Bool?
        /// Whether pods do not become ready.
        var hasUnwellPods = false
        /// When the kubelets of nodes were started, by name.
        var kubeletStarts: [String: Int64] = [:]
        /// Masters whose own API servers do not answer, by address.
        var deafMasters: Set<String> = []
        /// Whether the API server answers.
        var isAnswering = true
        /// What the cluster was told of kubelet's and kube-proxy's configuration.
        var kubelet: Digest?
        var proxy: Digest?
        /// Who has the cluster's lock.
        var holder: LeaseHolder?
        /// How many calls changed something.
        var writes = 0
        var violations: [String] = []
        /// How many of a thousand changing calls go wrong, and at how many of a thousand requests the connection is cut.
        var faults = 0
        var seed: UInt64

        /// Whether more than half of etcd's members live: on machines that are on and have what etcd runs by.
        var hasQuorum: Bool {
            let living = etcd.filter { member in
                machines.values.contains { machine in
                    machine.hostname == member && !machine.isOff
                        && ClusterBlueprint.etcdFiles.allSatisfy { machine.files[$0] != nil }
                }
            }
            return living.count * 2 > etcd.count
        }

        /// Changes etcd's members: what has a quorum must have one after it too.
        mutating func changeEtcd(_ what: String, _ body: (inout Set<String>) -> Void) {
            let (before, hadQuorum) = (etcd, hasQuorum)
            body(&etcd)
            guard etcd != before, hadQuorum, !hasQuorum else { return }
            violations.append("\(what): of \(before.sorted()) there are \(etcd.sorted()), and most are dead")
        }
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

    func wake(_ cluster: Cluster, progress: any ProgressSink) async throws -> Bool { false }
    func provision(_ cluster: Cluster, progress: any ProgressSink) async throws {}
    func contents(of cluster: String) async throws -> [String] { [] }
    func remove(host: String, of cluster: String) async throws {}
    func remove(cluster: String, progress: any ProgressSink) async throws -> RemovalReport {
        RemovalReport(removed: [])
    }
}

enum ContentDigest {
    /// A digest of nothing in particular.
    static let sample: Digest = ContentHasher.digest(of: Data("image".utf8))
}
