import ClusterRuntime
import Clusterfile
import FoundationEssentials
import Infra
import LinuxSystem
import OCI
import Remote
import Report
import SystemPackage

/// Runs the plugins of a cluster that is deleted whole.
struct Farewell: Sendable {
    let cluster: Cluster
    var places: [HostPlace]
    let pool: HostPool
    let progress: any ProgressSink
    /// As the engine's.
    var rootWords = ""

    private var rootfs: String { "\(cluster.dataRoot)/\(cluster.name)/rootfs" }
    private var first: String? { places.first { $0.member.isMaster }?.name }

    /// Whether there is anything to run at phases.
    func hasAny(_ phases: [Plugin.Phase]) -> Bool {
        cluster.plugins.contains { $0.kind == .shell && $0.phases.contains(where: phases.contains) }
    }

    /// Connects hosts on which something runs after they were taken back: a connection that is made then would bring the agent again.
    /// A host that cannot be reached is named when it is to be taken back.
    func connect() async {
        guard hasAny([.postCleanHost, .postUninstall]) else { return }
        let failures = await failuresOfEach(reachable.filter { $0.member.provider != .container }) { place in
            _ = try await pool.connection(place.name)
        }
        for failure in failures { progress.send(.warning(Failure.words(of: failure))) }
    }

    private var reachable: [HostPlace] { places.filter { $0.transport != nil } }

    /// Runs what is due at a phase: on all hosts at once, on each one plugin after the other.
    ///
    /// - Throws: `Failure` that names each host on which a plugin failed, and what to do.
    func run(_ phase: Plugin.Phase) async throws {
        guard hasAny([phase]) else { return }
        let rules = try PluginRules(cluster.plugins)
        let failures = await failuresOfEach(reachable) { place in
            let due = try rules.dueOnLeaving(
                place.member, done: [:], phases: [phase], reason: "the cluster is deleted",
                isFirst: place.name == first)
            guard !due.isEmpty, try await isThere(place, phase) else { return }
            for plugin in rules.plugins where due.contains(where: { $0.name == plugin.name }) {
                try await run(plugin, phase, place)
            }
        }
        try Task.checkCancellation()
        guard failures.isEmpty else {
            throw Failure(
                (failures.first as? Failure)?.kind ?? .software,
                "plugins of the phase \(phase.rawValue) failed on \(failures.count) hosts", at: cluster.name,
                remedy: "mend that, then run it again; or delete the cluster without them: "
                    + "sealer delete --skip-plugins --name \(cluster.name)\(rootWords)",
                causes: failures)
        }
    }

    /// Whether anything can be run on a host. Of a container that is stopped nothing is left anyway; any other host must answer.
    private func isThere(_ place: HostPlace, _ phase: Plugin.Phase) async throws -> Bool {
        do {
            _ = try await pool.connection(place.name)
            return true
        } catch let failure as Failure where failure.kind == .unreachable && place.member.provider == .container {
            progress.send(
                .warning("plugins of the phase \(phase.rawValue) do not run there: \(Failure.words(of: failure))"))
            return false
        }
    }

    /// Runs what is due on hosts that were taken back. Nothing is left of containers to run anything in.
    func runAfterReset() async throws {
        var rest = self
        rest.places = places.filter { $0.member.provider != .container }
        try await rest.run(.postCleanHost)
        try await rest.run(.postUninstall)
    }

    private func run(_ plugin: Plugin, _ phase: Plugin.Phase, _ place: HostPlace) async throws {
        let host = try await pool.connection(place.name).host
        // What was taken off already has no rootfs.
        let hasRootfs = try await host.run(
            RemoteCommand(["test", "-d", rootfs]), limit: .seconds(20), output: { _ in })
        let isAfter = phase == .postCleanHost || phase == .postUninstall
        guard hasRootfs.status == 0 || isAfter else { return }
        let environment = NodePreparation.environment(
            cluster.environment.merging(place.member.environment) { $1 },
            registry: RegistryAddress(domain: cluster.registry.domain, port: cluster.registry.port),
            network: cluster.network, rootfs: rootfs, address: place.address ?? "")
        let script = PluginScript(
            plugin, at: phase, environment, rootfs: rootfs, isMaster: place.member.isMaster,
            isGone: hasRootfs.status != 0)
        try await progress.step("\(phase.rawValue): plugin \(plugin.name)", host: place.name) { step in
            // The cluster's folder is deleted in the end: what is printed is shown, and in the failure.
            try await script.run(on: host, step: step) { _ in }
        }
        // The connection may have been made anew for it.
        if isAfter { try await HostReset.deleteAgent(on: host) }
    }
}
