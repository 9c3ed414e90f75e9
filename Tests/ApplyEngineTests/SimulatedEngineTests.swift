import Archive
import ClusterRuntime
import Clusterfile
import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Remote
import Report
import SystemPackage
import TestSupport
import Testing

@testable import ApplyEngine

/// The life of clusters under the whole engine: `SEALER_ENGINE_SEED=17` replays one alone, `SEALER_ENGINE_LIVES` says how many
/// there are.
@Suite("The engine on simulated hosts")
struct SimulatedEngineTests {
    private static let image = "example.org/cluster:1"

    private static var seeds: [UInt64] {
        let environment = ProcessInfo.processInfo.environment
        if let seed = environment["SEALER_ENGINE_SEED"].flatMap(UInt64.init) { return [seed] }
        return Array(0..<(environment["SEALER_ENGINE_LIVES"].flatMap(UInt64.init) ?? 20))
    }

    /// A store with a ClusterImage that brings Kubernetes.
    func makeStore(_ path: FilePath) async throws -> ImageStore {
        let store = try await ImageStore.open(path)
        let sink = MemorySink()
        let tar = TarWriter(sink)
        let values = Array("size: 1\nname: image\n".utf8)
        try tar.begin(TarEntry(.file, name: Array("values.yaml".utf8), size: Int64(values.count), permissions: 0o600))
        try values.withUnsafeBytes { try tar.write($0) }
        try tar.finish()
        let layer = try await store.put(Data(sink.bytes), mediaType: MediaType.layer)
        var config = ImageConfig(
            platform: .current, rootfs: .init(diffIDs: []), sealer: ClusterImageConfig(kind: .kubeInstaller))
        config.config = .init(labels: [LabelKey.runtimeVersion: "v1.20.2", "\(LabelKey.podNetworkPrefix)bridge": "1"])
        let configBlob = try await store.put(canonicalJSON(config), mediaType: MediaType.config)
        var rootfs = try await store.put(
            canonicalJSON(ImageManifest(config: configBlob, layers: [layer])), mediaType: MediaType.manifest)
        rootfs.annotations = [AnnotationKey.content: "rootfs"]
        rootfs.platform = .current
        let index = ImageIndex(artifactType: MediaType.clusterImage, manifests: [rootfs])
        let descriptor = try await store.put(canonicalJSON(index), mediaType: MediaType.index)
        try await store.tag(descriptor, as: try Reference(Self.image))
        return store
    }

    /// A Clusterfile that changes as its user likes.
    struct Draft {
        var masters: [String]
        var workers: [String]
        var disk = "ssd"
        var alias = "old.local"
        /// What a Config document sets; nil for none.
        var size: Int?
        /// What kubelet is told; nil for nothing.
        var maxPods: Int?
        /// What kube-proxy is told, in seconds; nil for nothing.
        var syncPeriod: Int?
        /// Whether every master runs the registry.
        var ha = true
        var hasPlugins: Bool

        var text: String {
            let workers =
                workers.isEmpty
                ? "" : "    - {ips: [\(workers.joined(separator: ", "))], roles: [node, db], labels: {disk: \(disk)}}\n"
            return """
                apiVersion: sealer.io/v2
                kind: Cluster
                metadata: {name: fleet}
                spec:
                  image: \(SimulatedEngineTests.image)
                  registry: {localRegistry: {ha: \(ha)}}
                  hostAliases: [{ip: 10.9.9.9, hostnames: [\(alias)]}]
                  hosts:
                    - {ips: [\(masters.joined(separator: ", "))], roles: [master]}
                \(workers)
                """
                    + (size.map { size in
                        """

                        ---
                        apiVersion: sealer.io/v2
                        kind: Config
                        metadata: {name: values}
                        spec: {path: values.yaml, strategy: merge, data: "size: \(size)"}
                        """
                    } ?? "")
                    + (maxPods.map { pods in
                        """

                        ---
                        apiVersion: kubelet.config.k8s.io/v1beta1
                        kind: KubeletConfiguration
                        maxPods: \(pods)
                        """
                    } ?? "")
                    + (syncPeriod.map { seconds in
                        """

                        ---
                        apiVersion: kubeproxy.config.k8s.io/v1alpha1
                        kind: KubeProxyConfiguration
                        iptables: {syncPeriod: \(seconds)s}
                        """
                    } ?? "")
                    + (hasPlugins
                        ? """

                        ---
                        apiVersion: sealer.io/v1
                        kind: Plugin
                        metadata: {name: script}
                        spec: {type: SHELL, action: pre-init-host|post-init-host|post-scaleup|pre-clean-host, data: "echo ran"}
                        ---
                        apiVersion: sealer.io/v1
                        kind: Plugin
                        metadata: {name: name}
                        spec: {type: HOSTNAME, action: pre-init-host, data: "\(masters[0]) first"}

                        """ : "")
        }

        func cluster() throws -> Cluster { try Cluster.parse(text, file: "Clusterfile").cluster }
    }

    func engine(_ world: SimulatedWorld, _ store: ImageStore, _ state: FilePath) -> Engine {
        Engine(
            store: store, state: state, infra: SimulatedInfra(world: world),
            connector: SimulatedConnector(world: world),
            makeRuntime: {
                SimulatedKubernetes(
                    world: world, version: $0.version.description, wanted: try ConfigurationFields($0))
            },
            progress: SilentProgress(), clock: VirtualClock())
    }

    /// Runs a command that changes nothing, again when a connection broke.
    private func again<Result>(_ world: SimulatedWorld, _ body: () async throws -> Result) async throws -> Result {
        for _ in 0..<60 {
            do { return try await body() } catch  where world.with({ $0.faults > 0 }) { continue }
        }
        return try await body()
    }

    /// Applies until it ends well, as somebody would who runs the command again after each failure.
    private func converge(_ engine: Engine, _ world: SimulatedWorld, _ draft: Draft, _ seed: UInt64) async throws {
        let cluster = try draft.cluster()
        let faults = world.with { $0.faults }
        for attempt in 0..<60 {
            let planned = try await again(world) { try await engine.plan(cluster) }
            do {
                let applied = try await engine.apply(cluster, .init()) { plan in
                    // Where a fault kept a worker or a host that leaves from being looked at, it is another one.
                    let isAnother =
                        faults > 0 && (plan.isPartial || planned.isPartial || plan.staying == planned.staying)
                    #expect(
                        plan == planned || isAnother,
                        "seed \(seed): the plan that is executed is not the one that is shown: \(plan.differences(from: planned))"
                    )
                }
                #expect(!applied.plan.isPartial, "seed \(seed): what did not answer is no success")
            } catch {
                #expect(world.with { $0.violations } == [], "seed \(seed), attempt \(attempt)")
                guard world.with({ $0.violations.isEmpty && $0.faults > 0 }) else { throw error }
                continue
            }
            #expect(world.with { $0.violations } == [], "seed \(seed), attempt \(attempt)")
            let rest = try await again(world) { try await engine.plan(cluster).whole() }
            #expect(rest.steps.map(\.summary) == [], "seed \(seed): a finished apply leaves something to plan")
            let before = world.with { $0.writes }
            world.with { $0.faults = 0 }
            _ = try await engine.apply(cluster, .init()) { _ in }
            #expect(world.with { $0.writes } == before, "seed \(seed): an apply with nothing to do wrote something")
            world.with { $0.faults = faults }
            let fields = try ConfigurationFields(
                engine.settings(of: cluster, image: try await engine.store.clusterImage(cluster.image)))
            #expect(
                try world.with { $0.proxy } == fields.digest(of: .kubeProxy),
                "seed \(seed): kube-proxy was told something else")
            let kubelet = Data(try fields.digest(of: .kubelet).description.utf8)
            let files = world.with { $0.machines.mapValues { $0.files[ClusterBlueprint.kubeletFiles[0]]?.bytes } }
            for address in draft.masters + draft.workers {
                #expect(files[address] == kubelet, "seed \(seed): kubelet of \(address) has another configuration")
            }
            for address in draft.masters {
                let serves = draft.ha || address == draft.masters[0]
                let machine = try #require(world.with { $0.machines[address] })
                #expect(machine.services[RegistryService.unit]?.isActive ?? false == serves, "seed \(seed): \(address)")
                #expect(machine.hasImage == serves, "seed \(seed): the image of \(address)")
                let names = String(decoding: machine.files["/etc/hosts"]?.bytes ?? Data(), as: UTF8.self)
                #expect(
                    names.contains(
                        serves
                            ? "\(address)\tapiserver.cluster.local sea.hub\n"
                            : "\(address)\tapiserver.cluster.local\n\(draft.masters[0])\tsea.hub\n"),
                    "seed \(seed): \(address) knows \(names)")
            }
            for (address, machine) in world.with({ $0.machines })
            where !machine.isOff && !(draft.masters + draft.workers).contains(address) {
                #expect(
                    machine.blobs.isEmpty && machine.services.isEmpty && machine.files.count == 1
                        && machine.programs.isEmpty,
                    "seed \(seed): \(address) left, and has \(machine.files.keys.sorted()) \(machine.programs)")
            }
            let names = world.with { Set($0.nodes.keys) }
            #expect(names.count == draft.masters.count + draft.workers.count, "seed \(seed): \(names)")
            return
        }
        Issue.record("seed \(seed): not what the Clusterfile says after 60 attempts")
    }

    /// Applies while a worker is switched off: its node stays as it is, the others get what they need, and nothing is called done.
    private func applyWithout(
        _ worker: String, _ engine: Engine, _ world: SimulatedWorld, _ draft: Draft, _ seed: UInt64
    ) async throws {
        let before = world.with { state in
            state.machines[worker]?.isOff = true
            for name in state.nodes.keys where state.nodes[name]?.address == worker {
                state.nodes[name]?.isReady = false
            }
            return state.nodes.values.first { $0.address == worker }
        }
        let cluster = try draft.cluster()
        await #expect(throws: Failure.self, "seed \(seed): \(worker) is off") {
            try await engine.apply(cluster, .init()) { plan in
                #expect(plan.steps.filter { $0.host == worker }.allSatisfy { $0.action == .reach }, "seed \(seed)")
            }
        }
        #expect(world.with { $0.violations } == [], "seed \(seed): without \(worker)")
        // What remains concerns that worker, or waits for it.
        if world.with({ $0.faults == 0 }) {
            let rest = try await engine.plan(cluster)
            let waiting = rest.steps.filter { step in
                step.id.hasPrefix("reach/") || [.verify, .launch].contains(step.phase)
                    // A registry to which that worker is led; a worker that left is reset and done with.
                    || step.phase == .clean && !["reset/10.0.1.", "reset/10.0.2."].contains(where: step.id.hasPrefix)
            }
            #expect(before == nil || rest.steps.count == waiting.count, "seed \(seed): \(rest.steps.map(\.summary))")
        }
        #expect(before == nil || world.with { $0.nodes.values.contains { $0.address == worker } }, "seed \(seed)")
        world.with { state in
            state.machines[worker]?.isOff = false
            for name in state.nodes.keys where state.nodes[name]?.address == worker {
                state.nodes[name]?.isReady = true
            }
        }
    }

    /// Runs that scripts had on a machine.
    private func expectPlugins(_ world: SimulatedWorld, _ draft: Draft, _ seed: UInt64, isExact: Bool) {
        guard draft.hasPlugins else { return }
        for address in draft.masters + draft.workers {
            let runs = world.with { $0.machines[address]?.plugins.count ?? 0 }
            #expect(isExact ? runs == 2 : runs >= 2, "seed \(seed): plugins ran \(runs) times on \(address)")
        }
    }

    @Test(
        "each of many lives converges after every change and fault, shows what it does, and writes nothing when all is well"
    )
    func lives() async throws {
        let scratch = try Scratch()
        let store = try await makeStore(scratch.path.appending("store"))
        for seed in Self.seeds {
            var dice = SeededGenerator(seed: seed &* 0x9e37_79b9_7f4a_7c15 &+ 3)
            let faults = [0, 10, 40].randomElement(using: &dice) ?? 0
            let world = SimulatedWorld(seed: seed, faults: faults)
            var draft = Draft(
                masters: (2..<(2 + ([1, 1, 3].randomElement(using: &dice) ?? 1))).map { "10.0.0.\($0)" },
                workers: (0..<Int.random(in: 0...4, using: &dice)).map { "10.0.1.\($0 + 1)" },
                ha: Bool.random(using: &dice), hasPlugins: Bool.random(using: &dice))
            for address in draft.masters + draft.workers { world.add(address) }
            let before = world.with { $0.machines }
            let engine = engine(world, store, scratch.path.appending("state-\(seed)"))
            try await converge(engine, world, draft, seed)
            expectPlugins(world, draft, seed, isExact: faults == 0)
            for change in 0..<Int.random(in: 1...4, using: &dice) {
                draft.change(world, number: change, &dice)
                if let worker = draft.workers.randomElement(using: &dice), Bool.random(using: &dice) {
                    try await applyWithout(worker, engine, world, draft, seed)
                }
                try await converge(engine, world, draft, seed)
            }
            world.with { $0.faults = 0 }
            _ = try await engine.delete("fleet")
            for (address, machine) in world.with({ $0.machines }) where before[address] != nil && !machine.isOff {
                var rest = machine
                rest.plugins = []
                #expect(rest.programs == [], "seed \(seed): left on \(address)")
                #expect(rest.files == before[address]?.files, "seed \(seed): left on \(address)")
                #expect(rest.services.isEmpty && rest.blobs.isEmpty)
                #expect(rest.hostname == before[address]?.hostname || rest.hostname.hasPrefix("heir-"))
            }
        }
    }

    @Test("a thousand hosts are looked at, planned and made, and then need nothing")
    func thousand() async throws {
        let scratch = try Scratch()
        let store = try await makeStore(scratch.path.appending("store"))
        let world = SimulatedWorld(seed: 1, faults: 0)
        let draft = Draft(
            masters: ["10.0.0.2", "10.0.0.3", "10.0.0.4"],
            workers: (0..<997).map { "10.1.\($0 / 250).\($0 % 250 + 1)" }, hasPlugins: false)
        // Twice the addresses that a /24 for each node needs.
        for address in draft.masters + draft.workers { world.add(address) }
        let engine = engine(world, store, scratch.path.appending("state"))
        let cluster = try Cluster.parse(
            draft.text.replacing(
                "  hosts:\n", with: "  network: {podCIDR: 10.128.0.0/12, svcCIDR: 10.96.0.0/12}\n  hosts:\n"),
            file: "Clusterfile"
        ).cluster
        let applied = try await engine.apply(cluster, .init()) { _ in }
        #expect(applied.plan.steps.count > 7000)
        #expect(world.with { $0.nodes.count } == 1000)
        #expect(world.with { $0.violations } == [])
        #expect(try await engine.plan(cluster).isEmpty)
    }
}

extension Plan {
    /// Whether there are hosts that did not answer.
    var isPartial: Bool { steps.contains { $0.action == .reach } }

    /// The steps that have nothing to do with hosts that leave: of those that do not answer less is planned.
    var staying: [PlanStep.ID] {
        let leaving = ["drain/", "etcd/", "remove/", "reset/", "record"]
        return steps.map(\.id).filter { id in !leaving.contains(where: id.hasPrefix) && !id.contains("-clean-host/") }
    }

    /// The plan, if every host answered.
    func whole() throws -> Plan {
        if isPartial { throw Failure(.unreachable, "a host does not answer") }
        return self
    }
}

extension SimulatedEngineTests.Draft {
    /// Something happens to the cluster, or its user changes the Clusterfile.
    mutating func change(_ world: SimulatedWorld, number: Int, _ dice: inout SeededGenerator) {
        switch Int.random(in: 0..<21, using: &dice) {
        case 19, 20:
            // A master dies for good, and its user gives it up; perhaps another one, which lives, with it.
            guard masters.count > 2, let address = masters.popLast() else { return }
            if Bool.random(using: &dice), !hasPlugins { masters.removeFirst() }
            world.with { state in
                state.machines[address]?.isOff = true
                for name in state.nodes.keys where state.nodes[name]?.address == address {
                    state.nodes[name]?.isReady = false
                }
            }
        case 17, 18:
            // A host dies, and another one is put in its place, with its address and a name of its own.
            guard let address = masters.count > 2 ? masters.randomElement(using: &dice) : workers.last else { return }
            world.add(address, hostname: "heir-\(number)")
        case 13, 14: ha.toggle()
        case 15:
            // The master with the registry goes; plugins name it, and a member keeps its name.
            if masters.count > 2, !hasPlugins { masters.removeFirst() }
        case 16:
            guard !hasPlugins else { return }
            let address = "10.0.4.\(number + 1)"
            world.add(address)
            masters.insert(address, at: 0)
        case 11, 12: syncPeriod = Bool.random(using: &dice) ? 10 + number : nil
        case 9, 10: maxPods = Bool.random(using: &dice) ? 50 + number : nil
        case 8: size = Bool.random(using: &dice) ? number : nil
        case 0:
            let address = "10.0.2.\(number + 1)"
            world.add(address)
            workers.append(address)
        case 1: if !workers.isEmpty { workers.removeFirst() }
        case 2: disk = "hdd\(number)"
        case 3: alias = "new\(number).local"
        case 4:
            // Somebody tampers with a host.
            let address = masters[0]
            world.with { state in
                for path in state.machines[address]?.files.keys.sorted().prefix(3) ?? [] where path != "/etc/hosts" {
                    state.machines[address]?.files[path]?.bytes += Data("x".utf8)
                }
            }
        case 5:
            // Somebody stops what runs there.
            let address = workers.first ?? masters[0]
            world.with { state in
                for unit in state.machines[address]?.services.keys.sorted() ?? [] {
                    state.machines[address]?.services[unit]?.isActive = false
                }
            }
        case 6:
            for suffix in [1, 2] {
                let address = "10.0.3.\(number * 2 + suffix)"
                world.add(address)
                masters.append(address)
            }
        default:
            // A worker loses its disk.
            guard let address = workers.last else { return }
            world.add(address)
        }
    }
}
