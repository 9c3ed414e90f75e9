import ClusterRuntime
import Clusterfile
import Infra
import Report

/// A worker of the Clusterfile that did not answer: what it needs is not known, and what others need does not wait for it.
///
/// Masters are none: what is done to a control plane hangs on all of them, so one that does not answer ends the looking.
public struct UnreachedHost: Sendable {
    /// The host, as steps name it.
    public var host: String
    /// The address by which the others reach it; nil when it is not known.
    public var address: String?
    /// What the Clusterfile says of it.
    public var member: ClusterMember
    /// Why it could not be reached.
    public var failure: Failure

    /// Makes one of a place that `error` came from; nil when the others cannot go on without it.
    init?(_ place: HostPlace, _ error: any Error) {
        self.init(place.name, place.member, place.address, error)
    }

    /// Makes one of a host that answered before; nil when the others cannot go on without it.
    init?(_ seen: HostObservation, _ error: any Error) { self.init(seen.host, seen.member, seen.address, error) }

    private init?(_ host: String, _ member: ClusterMember, _ address: String?, _ error: any Error) {
        guard !member.isMaster, let failure = error as? Failure, failure.isSilence else { return nil }
        (self.host, self.member, self.address, self.failure) = (host, member, address, failure)
    }

    /// Whether a node of the cluster is this host.
    func isNode(_ node: NodeStatus) -> Bool { node.name == host || (address != nil && node.address == address) }
}

extension Failure {
    /// Whether somebody did not answer, as against an answer that is none that was wished for.
    var isSilence: Bool { kind == .unreachable || kind == .timeout }
}

extension ClusterObservation {
    /// What Kubernetes says of the nodes on hosts that were not reached.
    var unreachedNodes: [NodeStatus] {
        (kubernetes?.nodes ?? []).filter { node in unreached.contains { $0.isNode(node) } }
    }

    /// The nodes that there are or shall be, with their addresses, in the order of the Clusterfile; of hosts that do not
    /// answer those that Kubernetes knows.
    func nodes(of cluster: Cluster) -> [(name: String, address: String)] {
        let silent = unreached.flatMap { host in
            (kubernetes?.nodes ?? []).filter(host.isNode).compactMap { node in
                node.address.map { (member: host.member, name: node.name, address: $0) }
            }
        }
        let all = hosts.map { (member: $0.member, name: $0.nodeName, address: $0.address) } + silent
        let places = Dictionary(cluster.members.enumerated().map { ($1, $0) }) { first, _ in first }
        let inOrder = all.enumerated().sorted {
            (places[$0.element.member] ?? 0, $0.offset) < (places[$1.element.member] ?? 0, $1.offset)
        }
        return inOrder.map { ($0.element.name, $0.element.address) }
    }
}
