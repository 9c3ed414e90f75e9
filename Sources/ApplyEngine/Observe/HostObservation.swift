import ClusterRuntime
import Clusterfile
import Remote
import Report

/// What was seen of a host before anything was changed.
public struct HostObservation: Sendable, Hashable {
    /// The host, as steps name it.
    public var host: String
    /// What the Clusterfile says of it.
    public var member: ClusterMember
    /// The address by which the others reach it.
    public var address: String
    /// Where sealer's executable lies on it.
    public var executable: String
    /// What it is and has.
    public var facts: HostFacts
    /// The name under which it is, or becomes, a member; nil for its host name.
    public var wantedName: String?
    /// What sealer wrote down on it; nil when nothing was ever done to it.
    public var mark: NodeMark?
    /// The text of its /etc/hosts.
    public var hostsFile: String
    /// The files that matter, by path.
    public var files: [String: FileState] = [:]
    /// The services that matter.
    public var services: [String: ServiceState] = [:]
    /// When a member's kubelet was started, in seconds since 1970 by the host's clock; nil when nobody knows.
    public var kubeletStart: Int64?
    /// How many blobs of the rootfs its store lacks.
    public var missingRootfsBlobs = 0
    /// How many blobs of the whole image its store lacks.
    public var missingImageBlobs = 0
}

extension HostObservation {
    /// The name of its node.
    public var nodeName: String { wantedName ?? facts.hostname }

    /// Whether kubeadm has made it a master, so that Kubernetes can be asked through it.
    var isMasterOfCluster: Bool { member.isMaster && mark?.membership == .complete }
}

extension ClusterMember {
    /// The command that takes a host back to what it was: it reads no Clusterfile, so it is told the way. It asks for `--yes`
    /// itself, for the cluster may be alive.
    ///
    /// - Parameter host: the host's name, as steps have it.
    func resetCommand(of host: String) -> String {
        let way = provider == .local ? ["--local"] : ssh.options
        return shellQuoted(["sealer", "reset", host] + way)
    }
}

/// What was seen of the cluster itself.
public struct KubernetesObservation: Sendable, Hashable {
    /// The host that was asked.
    public var through: String
    /// The nodes.
    public var nodes: [NodeStatus]
    /// What sealer keeps in the cluster; nil when there is nothing.
    public var record: [String: String]?
    /// The masters that are members and whose own API servers do not answer, as steps name them.
    public var silentMasters: Set<String> = []
}

/// What was seen of everything.
public struct ClusterObservation: Sendable {
    /// The hosts that answered, in the order of the Clusterfile.
    public var hosts: [HostObservation]
    /// The cluster; nil when there is none.
    public var kubernetes: KubernetesObservation?
    /// The workers that did not answer.
    public var unreached: [UnreachedHost] = []
}
