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
    /// Why it could not be reached.
    public var failure: Failure

    /// Makes one of a place that `error` came from; nil when the others cannot go on without it.
    init?(_ place: HostPlace, _ error: any Error) {
        guard !place.member.isMaster, let failure = error as? Failure, failure.isSilence else { return nil }
        host = place.name
        address = place.address
        self.failure = failure
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
}
