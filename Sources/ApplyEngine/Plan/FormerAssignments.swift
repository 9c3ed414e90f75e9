import ClusterRuntime
import Clusterfile
import Report

/// Labels and taints that an earlier Clusterfile gave a node, as its mark says, and that nobody speaks of any more.
///
/// What was there before sealer, or was set by somebody else, is in no mark and stays.
public struct FormerAssignments: Sendable, Hashable {
    /// The labels with the values that they were given.
    public var labels: [String: String] = [:]
    /// The taints: `key=value:Effect`.
    public var taints: [String] = []

    /// Compares a mark with what is wanted now.
    ///
    /// - Parameters:
    ///   - labels: what the hosts' part of the Clusterfile says, plugins aside.
    ///   - assigned: what plugins say.
    init(
        _ mark: NodeMark?, labels: [String: String], taints: [Taint], assigned: NodeAssignments, isMaster: Bool
    ) throws(Failure) {
        self.labels = (mark?.labels ?? [:]).filter { key, _ in
            labels[key] == nil && !assigned.hasLabel(key) && !Cluster.controlPlaneLabels.contains(key)
        }
        for text in mark?.taints ?? [] {
            let former = try Taint(text)
            // One of the same key and effect takes its place.
            let isWanted = taints.contains { $0.key == former.key && $0.effect == former.effect }
            // kubeadm's own stays, though somebody named it.
            let isKubeadms =
                isMaster && former.effect == .noSchedule && Cluster.controlPlaneLabels.contains(former.key)
            if !isWanted, !isKubeadms, !assigned.speaks(of: former) { self.taints.append(text) }
        }
    }

    /// Makes none.
    init() {}

    /// What a node has of it still.
    func present(on node: NodeStatus) -> FormerAssignments {
        var present = FormerAssignments()
        present.labels = labels.filter { node.labels[$0.key] == $0.value }
        present.taints = taints.filter(node.taints.contains)
        return present
    }

    /// For people; nil when there is nothing.
    var words: String? {
        let all = labels.map { "\($0.key)=\($0.value)" }.sorted() + taints
        return all.isEmpty ? nil : "it has \(all.joined(separator: ", ")), which the Clusterfile does not name any more"
    }
}
