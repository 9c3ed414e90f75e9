import ClusterRuntime

/// What a cluster lacks of what its blueprint says: the planner's only input. A reason is a text for people; nil where nothing
/// is lacking.
public struct ClusterDifference: Sendable, Hashable {
    /// Why hosts must be made first; nil when all are there.
    public var provision: String?
    /// The hosts that shall be members, in the order of the Clusterfile.
    public var hosts: [NodeDifference]
    /// The master that the cluster is asked and changed through: one that is a member, else the one that becomes the first.
    public var first: String
    /// The only master that shall run the registry; nil when every master does.
    public var registryHost: String?
    /// Whether there is a control plane.
    public var isInitialised: Bool
    /// Whether applications bring the pod network, so that nodes become ready only after the launch.
    public var needsLaunchForNetwork: Bool
    /// Why the launch commands must run.
    public var launch: String?
    /// Why the pods must be looked at although nothing is launched.
    public var pods: String?
    /// Why what the cluster knows of itself must be written.
    public var record: String?
    /// Members that must go.
    public var leaving: [LeavingNode]
    /// Workers that shall be members and did not answer.
    public var unreached: [UnreachedMember]
    /// What of the cluster's configuration must be told to it; nil when it has all.
    public var configuration: Configuration?

    /// The master that the operator sends the image to, and whose registry the others get it from.
    public var source: String { registryHost ?? first }

    /// What a cluster must be told.
    public struct Configuration: Sendable, Hashable {
        /// The parts that are other ones than before.
        public var parts: [ConfigurationChange.Part]
        /// Why.
        public var reason: String

        /// Makes one.
        public init(parts: [ConfigurationChange.Part], reason: String) {
            self.parts = parts
            self.reason = reason
        }
    }

    /// Makes a difference.
    public init(
        provision: String? = nil, hosts: [NodeDifference], first: String, registryHost: String? = nil,
        isInitialised: Bool,
        needsLaunchForNetwork: Bool = false, launch: String? = nil, pods: String? = nil,
        record: String? = nil, leaving: [LeavingNode] = [],
        unreached: [UnreachedMember] = []
    ) {
        self.provision = provision
        self.hosts = hosts
        self.first = first
        self.registryHost = registryHost
        self.isInitialised = isInitialised
        self.needsLaunchForNetwork = needsLaunchForNetwork
        self.launch = launch
        self.pods = pods
        self.record = record
        self.leaving = leaving
        self.unreached = unreached
    }
}

/// What one host lacks.
public struct NodeDifference: Sendable, Hashable {
    /// The host, as steps name it.
    public var host: String
    /// Whether it shall run the control plane.
    public var isMaster: Bool
    /// How far it is with being a member.
    public var membership: NodeMark.Membership
    /// Whether it was a member that ran, and must become one anew: what its pods keep there goes.
    public var wasMember = false
    /// The host name that it must be given, and why.
    public var rename: Rename?
    /// Why the names that it knows must be written.
    public var names: String?
    /// Why an aspect must be brought about.
    public var aspects: [NodeAspect.Name: String]
    /// Why the rootfs must be unpacked.
    public var rootfs: String?
    /// Why bytes of the rootfs must come to the host.
    public var rootfsBytes: String?
    /// Why bytes of the whole image must come to the host; only masters that run the registry.
    public var imageBytes: String?
    /// Why the registry must end there; only masters that shall not run it.
    public var registryEnd: String?
    /// Why the install scripts must run.
    public var runtime: String?
    /// Why labels or taints must be set.
    public var label: String?
    /// Why the control plane must be brought to the cluster's configuration; masters only.
    public var controlPlane: String?
    /// Why etcd must be brought to the cluster's configuration; masters only.
    public var etcd: String?
    /// Why kubelet must be brought to the cluster's configuration.
    public var kubelet: String?
    /// Why it is not ready although it is a member.
    public var unready: String?
    /// The plugins that are due on it, in the order in which those of a phase run.
    public var plugins: [DuePlugin] = []
    /// Why it must be noted that all is done that follows its becoming a member.
    public var settles: String?
    /// Why it must be noted, when all hosts that come have come, that what ran for them is done.
    public var forgets: String?

    /// A host name to be given.
    public struct Rename: Sendable, Hashable {
        /// The name.
        public var name: String
        /// Why.
        public var reason: String
    }

    /// Makes a difference, without any to begin with.
    public init(host: String, isMaster: Bool, membership: NodeMark.Membership = .complete) {
        self.host = host
        self.isMaster = isMaster
        self.membership = membership
        aspects = [:]
    }
}

/// A member that the Clusterfile does not name any more.
public struct LeavingNode: Sendable, Hashable {
    /// The host as steps name it; nil when there is no way to it.
    public var host: String?
    /// The name of its node.
    public var node: String
    /// Whether it runs the control plane.
    public var isMaster: Bool
    /// Whether the node is still there in Kubernetes.
    public var isRegistered: Bool
    /// The host that has its address and is to be a member by another name; nil when there is none. The node's own host is
    /// gone then.
    public var successor: String?
    /// The plugins that are due on it.
    public var plugins: [DuePlugin] = []

    /// Makes one.
    public init(host: String?, node: String, isMaster: Bool, isRegistered: Bool, successor: String? = nil) {
        self.host = host
        self.node = node
        self.isMaster = isMaster
        self.isRegistered = isRegistered
        self.successor = successor
    }
}

/// A worker that shall be a member and did not answer: what it lacks is not known.
public struct UnreachedMember: Sendable, Hashable {
    /// The host, as steps name it.
    public var host: String
    /// Whether it is a member already, for which others need not wait.
    public var isMember: Bool

    /// Makes one.
    public init(host: String, isMember: Bool) {
        self.host = host
        self.isMember = isMember
    }
}
