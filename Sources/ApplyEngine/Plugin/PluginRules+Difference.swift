import ClusterRuntime
import Clusterfile
import OCI

extension PluginRules {
    /// What must be known of hosts to say what is due on them, by host.
    struct Knowledge {
        var member: ClusterMember
        var mark: NodeMark?
        var node: NodeStatus?
    }

    /// Adds what plugins have to do to what a cluster lacks.
    ///
    /// - Parameters:
    ///   - isFinished: whether an earlier command brought the cluster to its end.
    ///   - launch: what the launch depends on.
    func add(
        to difference: inout ClusterDifference, _ known: [String: Knowledge], isFinished: Bool, launch: Digest
    ) throws {
        let arriving = difference.hosts.filter {
            $0.membership != .complete || known[$0.host]?.mark?.isArriving == true
        }.map(\.host)
        let situation = Situation(
            isInitialised: difference.isInitialised, isInstalling: !isFinished, arriving: arriving,
            launch: difference.launch == nil ? nil : launch)
        let isArriving = Set(arriving)
        let scripts = Set(plugins.filter { $0.kind == .shell }.map(\.name))
        for index in difference.hosts.indices {
            let host = difference.hosts[index]
            guard let about = known[host.host] else { continue }
            let subject = Subject(
                host: host.host, member: about.member, isFirst: host.host == difference.first,
                isMember: host.membership == .complete, isArriving: isArriving.contains(host.host),
                done: about.mark?.plugins ?? [:],
                // A node that is to be replaced goes with all that it has.
                node: host.membership == .complete ? about.node : nil)
            let due = try self.due(on: subject, situation)
            difference.hosts[index].plugins = due
            var reason: String?
            if about.mark?.isArriving == true || about.mark?.plugins != nil {
                reason = "an earlier command did not come to that"
            } else if due.contains(where: { scripts.contains($0.name) }) {
                reason = "plugins run on it"
            } else if hasScripts, host.membership != .complete {
                reason = "it becomes a member"
            }
            let isForOthers =
                due.contains { $0.phase == .preScaleUp || $0.phase == .postScaleUp }
                || about.mark?.plugins?.values.contains { $0.hosts != nil } == true
            if isForOthers { difference.hosts[index].forgets = reason }
            if !isForOthers || isArriving.contains(host.host) { difference.hosts[index].settles = reason }
        }
        for index in difference.leaving.indices {
            guard let host = difference.leaving[index].host, let about = known[host] else { continue }
            difference.leaving[index].plugins = try dueOnLeaving(
                about.member, done: about.mark?.plugins ?? [:],
                // Before: where there is a rootfs. After: nothing is left of a container to run anything in.
                phases: (about.mark?.rootfs == nil ? [] : [.preCleanHost])
                    + (about.member.provider == .container ? [] : [.postCleanHost]),
                reason: "it leaves the cluster")
        }
    }
}
