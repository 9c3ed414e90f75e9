import ClusterRuntime
import Clusterfile
import FoundationEssentials
import ImageStore
import OCI

/// Says which plugins of a Clusterfile are due on which host. Values in, values out.
///
/// A script runs once for each event that its phase names: what ran is noted on the host, until everything that the event brings
/// is done. Labels, taints and host names are due whenever they are not as the plugin says.
struct PluginRules: Sendable {
    /// The cluster as a whole, as far as plugins depend on it.
    struct Situation: Sendable, Hashable {
        /// Whether there is a control plane.
        var isInitialised: Bool
        /// Whether the cluster was never finished yet.
        var isInstalling: Bool
        /// The hosts that are no members yet, or are since this or an interrupted command only.
        var arriving: [String]
        /// What the launch depends on, when it is due.
        var launch: Digest?
    }

    /// A host, as far as plugins depend on it.
    struct Subject: Sendable, Hashable {
        var host: String
        var member: ClusterMember
        /// Whether the cluster is changed through it.
        var isFirst: Bool
        /// Whether it is a member.
        var isMember: Bool
        /// Whether what follows its becoming a member is not all done.
        var isArriving: Bool
        /// What ran there.
        var done: [String: NodeMark.PluginNote]
        /// What the cluster says of its node.
        var node: NodeStatus?
    }

    /// In the order in which plugins of one phase run.
    let plugins: [Plugin]
    /// Whether there are scripts, which must be noted.
    let hasScripts: Bool
    /// What plugins that are no scripts say of hosts, by address, in the order in which it is done. Read once for all hosts.
    let lines: [IPAddress: [NodeAssignments.Line]]

    /// - Throws: `Failure` of kind `invalidInput` when the plugins' data was never checked.
    init(_ plugins: [Plugin]) throws {
        let plugins = plugins.sorted { $0.name < $1.name }
        self.plugins = plugins
        hasScripts = plugins.contains { $0.kind == .shell }
        lines = try NodeAssignments.lines(of: plugins)
    }

    /// Whether there are plugins at all.
    var isEmpty: Bool { plugins.isEmpty }

    /// Whether a plugin is for a host at a phase.
    static func isInScope(_ plugin: Plugin, at phase: Plugin.Phase, member: ClusterMember, isFirst: Bool) -> Bool {
        guard !plugin.scope.isEmpty else { return phase.isOfCluster ? isFirst : true }
        return plugin.scope.contains { word in
            switch word {
            case Plugin.everyHost: true
            case Plugin.firstMaster: member.isMaster && member.index == 0
            case HostGroup.node: !member.isMaster
            default:
                Plugin.LabelSelector(word)?.selects(roles: member.roles, labels: member.labels)
                    ?? (member.roles.contains(word) || (member.address.map { IPAddress(word) == $0 } ?? false))
            }
        }
    }

    /// What is due on a host that shall be a member.
    func due(on subject: Subject, _ situation: Situation) throws -> [DuePlugin] {
        var due: [DuePlugin] = []
        for plugin in plugins where plugin.kind == .shell {
            for phase in plugin.phases {
                guard
                    Self.isInScope(plugin, at: phase, member: subject.member, isFirst: subject.isFirst),
                    let reason = reason(phase, subject, situation)
                else { continue }
                let wanted = try note(of: plugin, at: phase, situation)
                if let done = subject.done[Self.key(plugin, phase)], done.covers(wanted) { continue }
                due.append(DuePlugin(name: plugin.name, phase: phase, reason: reason, timeout: plugin.timeout))
            }
        }
        return due + assignments(to: subject)
    }

    /// What is due on a host that leaves.
    func dueOnLeaving(
        _ member: ClusterMember, done: [String: NodeMark.PluginNote], phases: [Plugin.Phase], reason: String,
        isFirst: Bool = false
    ) throws -> [DuePlugin] {
        var due: [DuePlugin] = []
        for plugin in plugins where plugin.kind == .shell {
            for phase in phases where plugin.phases.contains(phase) {
                guard Self.isInScope(plugin, at: phase, member: member, isFirst: isFirst) else { continue }
                let wanted = NodeMark.PluginNote(digest: try Self.digest(of: plugin))
                if let done = done[Self.key(plugin, phase)], done.covers(wanted) { continue }
                due.append(DuePlugin(name: plugin.name, phase: phase, reason: reason, timeout: plugin.timeout))
            }
        }
        return due
    }

    /// Why a script is due at a phase, if it did not run yet; nil when the phase does not come.
    private func reason(_ phase: Plugin.Phase, _ subject: Subject, _ situation: Situation) -> String? {
        let isScaling = !situation.isInstalling && !situation.arriving.isEmpty
        let comes = situation.arriving.joined(separator: ", ")
        switch phase {
        case .preInstall: return situation.isInitialised ? nil : "there is no cluster yet"
        case .preInitHost: return subject.isMember ? nil : "it is no member yet"
        case .preJoin:
            return subject.isMember || (subject.isFirst && !situation.isInitialised) ? nil : "it is about to join"
        case .postJoin:
            return subject.isArriving && !(subject.isFirst && situation.isInstalling) ? "it joined" : nil
        case .postInitHost: return subject.isArriving ? "it became a member" : nil
        case .preLaunch: return situation.launch == nil ? nil : "the applications are launched"
        case .postInstall: return situation.isInstalling && subject.isArriving ? "the cluster is new" : nil
        case .preScaleUp:
            let isComing = isScaling && situation.isInitialised
            return isComing ? "hosts come: \(comes)" : nil
        case .postScaleUp: return isScaling ? "hosts came: \(comes)" : nil
        case .preCleanHost, .postCleanHost, .preUninstall, .postUninstall: return nil
        }
    }

    /// What is noted when a script has run.
    func note(of plugin: Plugin, at phase: Plugin.Phase, _ situation: Situation) throws -> NodeMark.PluginNote {
        var note = NodeMark.PluginNote(
            digest: try Self.digest(of: plugin, for: phase == .preLaunch ? situation.launch : nil))
        if phase == .preScaleUp || phase == .postScaleUp { note.hosts = situation.arriving.sorted() }
        return note
    }

    static func key(_ plugin: Plugin, _ phase: Plugin.Phase) -> String { "\(plugin.name)/\(phase.rawValue)" }

    static func digest(of plugin: Plugin, for launch: Digest? = nil) throws -> Digest {
        struct Input: Encodable {
            var kind: String
            var data: String
            var launch: Digest?
        }
        return ContentHasher.digest(
            of: try canonicalJSON(Input(kind: plugin.kind.rawValue, data: plugin.data, launch: launch)))
    }

    // MARK: - Labels and taints

    private func assignments(to subject: Subject) -> [DuePlugin] {
        NodeAssignments(self, for: subject.member).changes.compactMap { change in
            let reason: String
            if let node = subject.node {
                let differences = change.differences(from: node)
                guard !differences.isEmpty else { return nil }
                reason = differences.joined(separator: ", ")
            } else {
                reason = "it becomes a member"
            }
            return DuePlugin(
                name: change.plugin.name, phase: change.phase, reason: reason, timeout: change.plugin.timeout)
        }
    }
}
