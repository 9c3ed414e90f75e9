import ClusterRuntime
import Clusterfile

/// What runs on hosts before, or instead of, their becoming members: the image's install scripts and what belongs to them.
extension Planner {
    /// So many workers that are members have their install scripts run at once.
    static let runtimeWidth = 10

    /// Scripts that start the container runtime and kubelet of members anew go one host at a time: masters first, then one worker;
    /// the other workers follow, some at a time, and where one fails, those that come after it do not begin. New hosts need not
    /// wait for anybody.
    mutating func addInstallation() {
        let members = difference.hosts.filter { $0.membership == .complete && $0.runtime != nil }
        let workers = members.filter { !$0.isMaster }.map(\.host)
        let masters = members.filter(\.isMaster).map(\.host)
        let turns = masters + workers
        // Those come first whom others wait for.
        let inTurn = Dictionary(turns.enumerated().map { ($1, $0) }) { first, _ in first }
        let hosts = difference.hosts.enumerated().sorted {
            (inTurn[$0.element.host] ?? turns.count, $0.offset) < (inTurn[$1.element.host] ?? turns.count, $1.offset)
        }.map(\.element)
        for host in hosts {
            var before: [PlanStep.ID] = []
            if let turn = inTurn[host.host] {
                // The last one that went alone, or the one of the same column before.
                let last = max(min(turn, masters.count + 1) - 1, turn - Self.runtimeWidth)
                if last >= 0 { before = ["runtime/\(turns[last])"] }
            }
            addInstallation(host, after: before)
        }
    }

    private mutating func addInstallation(_ host: NodeDifference, after turn: [PlanStep.ID]) {
        let first = pluginSteps(.preInstall) + pluginSteps(.preScaleUp)
        var before = prepared(host) + first
        before += addPlugins(.preInitHost, on: host, .install, after: before)
        if host.membership == .begun {
            step(
                "clean/\(host.host)", .install, .cleanKubernetes, on: host.host,
                host.wasMember ? "end the former membership" : "take the remains of an interrupted start away",
                host.wasMember
                    ? "it was a member, and the cluster \(difference.isInitialised ? "does not know its node any more" : "has lost its masters")"
                    : "kubeadm was interrupted there",
                isDestructive: host.wasMember, after: before,
                lane: host.isMaster && difference.isInitialised ? Self.controlPlaneLane : nil, limit: 300
            )
            before.append("clean/\(host.host)")
        }
        if let reason = host.runtime {
            let isMember = host.membership == .complete
            step(
                "runtime/\(host.host)", .install, .installRuntime, on: host.host,
                "install the container runtime and kubelet", reason, after: before + turn,
                // A script may end containers: those of two masters at once could be all that etcd has.
                lane: isMember && host.isMaster ? Self.controlPlaneLane : nil,
                // A member's kubelet is waited for besides.
                limit: isMember ? 1020 : 600)
        }
        configure(.authorities, host, .install, after: before)
        configure(.podNetwork, host, .install, after: ["runtime/\(host.host)"])
    }
}
