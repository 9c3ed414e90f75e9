import Clusterfile

/// The steps of plugins, and of what belongs to them.
extension Planner {
    /// What plugins do on a host that became a member.
    mutating func addArrival(_ host: NodeDifference) {
        let member = ["init", "join/\(host.host)"]
        let joined = addPlugins(.postJoin, on: host, .configure, after: member)
        addPlugins(.postInitHost, on: host, .configure, after: member + joined)
    }

    /// Notes on hosts that all is done that follows their becoming members: what would run again otherwise.
    mutating func addSettling(after whole: [PlanStep.ID]) {
        let closing = pluginSteps(.preLaunch) + pluginSteps(.postInstall) + pluginSteps(.postScaleUp)
        for host in difference.hosts {
            guard let reason = host.settles else { continue }
            let own = pluginSteps(.postJoin, on: host.host) + pluginSteps(.postInitHost, on: host.host)
            step(
                "settle/\(host.host)", .verify, .settle, on: host.host, "note that the host has all that belongs to it",
                reason, after: whole + closing + own, limit: 60)
        }
        let settled = difference.hosts.map { "settle/\($0.host)" }
        for host in difference.hosts {
            guard let reason = host.forgets else { continue }
            step(
                "forget/\(host.host)", .verify, .settle, on: host.host,
                "note that all hosts that came have all that belongs to them",
                reason, after: whole + closing + settled + membersToReach, limit: 60)
        }
    }

    /// What a host must have before anything of the image's runs on it.
    func prepared(_ host: NodeDifference) -> [PlanStep.ID] {
        ["hostname", "unpack", "configuration", "names", "registry-access"].map { "\($0)/\(host.host)" }
    }

    /// Adds the plugins that are due on a host at a phase, one after the other.
    @discardableResult
    mutating func addPlugins(
        _ phase: Plugin.Phase, on host: NodeDifference, _ part: PlanPhase, after: [PlanStep.ID]
    ) -> [PlanStep.ID] {
        addPlugins(phase, of: host.plugins, on: host.host, part, after: after)
    }

    @discardableResult
    mutating func addPlugins(
        _ phase: Plugin.Phase, of plugins: [DuePlugin], on host: String, _ part: PlanPhase, after: [PlanStep.ID]
    ) -> [PlanStep.ID] {
        var after = after
        var added: [PlanStep.ID] = []
        for plugin in plugins where plugin.phase == phase {
            let id = Self.id(plugin.name, phase, on: host)
            step(
                id, part, .plugin(plugin.name, phase: phase.rawValue), on: host,
                "\(phase.rawValue): plugin \(plugin.name)", plugin.reason, after: after,
                // The script has its own limit; besides it there is a note to be written.
                limit: plugin.timeout + 60)
            after.append(id)
            added.append(id)
        }
        if !added.isEmpty { pluginSteps[phase, default: [:]][host] = added }
        return added
    }

    private static func id(_ plugin: String, _ phase: Plugin.Phase, on host: String) -> PlanStep.ID {
        "plugin/\(plugin)/\(phase.rawValue)/\(host)"
    }

    /// The steps that plugins of a phase have on one host.
    func pluginSteps(_ phase: Plugin.Phase, on host: String) -> [PlanStep.ID] {
        pluginSteps[phase]?[host] ?? []
    }

    /// The steps that plugins of a phase have on all hosts.
    func pluginSteps(_ phase: Plugin.Phase) -> [PlanStep.ID] {
        (pluginSteps[phase] ?? [:]).sorted { $0.key < $1.key }.flatMap(\.value)
    }
}
