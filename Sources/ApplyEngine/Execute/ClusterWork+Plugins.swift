import ClusterRuntime
import Clusterfile
import FoundationEssentials
import LinuxSystem
import Remote
import Report
import SystemPackage

/// What plugins and host names need.
extension ClusterWork {
    func runPlugin(_ name: String, _ phaseName: String, _ step: PlanStep, _ handle: Step) async throws {
        guard
            let plugin = source.plugins.plugins.first(where: { $0.name == name }),
            let phase = Plugin.Phase(rawValue: phaseName), let hostName = step.host
        else {
            throw Failure(.software, "the plan has a step for a plugin that the Clusterfile does not have", at: name)
        }
        guard plugin.kind == .shell else { return try await assign(plugin, on: hostName) }
        let node = try await observedNode(hostName)
        let isGone = phase == .postCleanHost
        if !isGone { try await marks.claim(node.host) }
        let environment = NodePreparation(source.settings).environment(on: node, try environment(of: hostName))
        let script = PluginScript(
            plugin, at: phase, environment, rootfs: source.settings.rootfs, isMaster: node.role == .master,
            isGone: isGone)
        let file = folder.output(of: step.id)
        try await script.run(on: node.host, step: handle) { output in
            try await BlockingPool.shared.run {
                try Folder.make(file.removingLastComponent(), permissions: FilePermissions(rawValue: 0o700))
                try AtomicFile.write(output, to: file, permissions: .ownerReadWrite)
            }
        }
        // The connection may have been made anew for it.
        guard !isGone else { return try await HostReset.deleteAgent(on: node.host) }
        let note = try source.plugins.note(of: plugin, at: phase, try await situation())
        let key = PluginRules.key(plugin, phase)
        try await marks.change(node.host) { $0.plugins = ($0.plugins ?? [:]).merging([key: note]) { $1 } }
    }

    /// Sets and takes away what a `LABEL` or `TAINT` plugin says of a node.
    private func assign(_ plugin: Plugin, on hostName: String) async throws {
        let node = try node(hostName, try blueprint())
        let changes = NodeAssignments(source.plugins, for: node.member).changes
        guard let change = changes.first(where: { $0.plugin == plugin }) else { return }
        let removed = NodeAssignments.removals(of: change.excess(in: try await status(of: node)))
        try await runtime.label(
            node.name, labels: change.labels, taints: change.taints.map(\.description) + removed, withdrawn: [],
            through: try await first())
    }

    /// Sets what the hosts' part of the Clusterfile says of a node, and takes away what it said before.
    func label(_ node: NodeBlueprint, _ host: any Host) async throws {
        // What the node had before and nobody gave it is somebody else's, though the Clusterfile names it too.
        let wasMember = observation?.hosts.first { $0.host == node.host }?.mark?.membership == .complete
        let before = wasMember ? observation?.kubernetes?.nodes.first { $0.name == node.name } : nil
        let noted = await marks.mark(of: host.name)
        let given = (
            labels: node.labels.filter { label in
                noted?.labels?[label.key] != nil || before?.labels[label.key] != label.value
            },
            taints: node.taints.filter { taint in
                noted?.taints?.contains(taint) == true || before?.taints.contains(taint) != true
            }
        )
        // Before they are set, so that an interruption leaves none that nobody knows of.
        try await marks.change(host) { mark in
            mark.labels = (mark.labels ?? [:]).merging(given.labels) { $1 }
            mark.taints = Set(mark.taints ?? []).union(given.taints).sorted()
        }
        var former = node.former
        if former != FormerAssignments() { former = former.present(on: try await status(of: node)) }
        try await runtime.label(
            node.name, labels: node.labels, taints: node.taints + NodeAssignments.removals(of: former.taints),
            withdrawn: former.labels.keys.sorted(), through: try await first())
        // It stays after all.
        if noted?.isDrained == true { try await runtime.uncordon(node.name, through: try await first()) }
        try await marks.change(host) { mark in
            (mark.labels, mark.taints) = given
            mark.isDrained = nil
        }
    }

    /// A node as the cluster shows it now.
    private func status(of node: NodeBlueprint) async throws -> NodeStatus {
        let master = try await first()
        let nodes = try await Kubeadm.patiently { try await runtime.nodes(through: master) }
        guard let status = nodes.first(where: { $0.name == node.name }) else {
            throw Failure(.conflict, "the cluster has no node \(node.name)", at: node.host)
        }
        return status
    }

    /// How far the cluster is, by the marks of its hosts.
    private func situation() async throws -> PluginRules.Situation {
        let blueprint = try blueprint()
        var arriving: [String] = []
        for node in blueprint.nodes {
            let mark = await marks.mark(of: node.host)
            if mark?.membership != .complete || mark?.isArriving == true { arriving.append(node.host) }
        }
        return .init(isInitialised: true, isInstalling: false, arriving: arriving, launch: blueprint.launch)
    }

    // MARK: - Host names

    /// Gives the host a name, at once and for every later boot.
    func rename(_ host: any Host, to name: String) async throws {
        let before = try await host.facts().hostname
        try await marks.change(host) { mark in
            if mark.formerHostname == nil { mark.formerHostname = before }
        }
        try await HostReset.setHostname(name, on: host)
    }
}
