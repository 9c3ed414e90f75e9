/// Hosts that are described together.
public struct HostGroup: Hashable, Sendable {
    /// The role of hosts that run the control plane.
    public static let master = "master"
    /// The role of hosts that run applications.
    public static let node = "node"

    /// Where a host comes from.
    public enum Provider: String, Hashable, Sendable, CaseIterable {
        /// A machine of the user's, reached by SSH.
        case baremetal
        /// A container of this machine's Docker.
        case container
        /// This very machine.
        case local
    }

    /// Where they come from.
    public var provider: Provider
    /// Their addresses, ranges written out; empty for containers, which get theirs from Docker.
    public var addresses: [IPAddress]
    /// How many containers there are; the number of addresses for all others.
    public var count: Int
    /// `master`, `node`, and names of the user's.
    public var roles: [String]
    /// How they are reached, where it differs from the cluster's.
    public var ssh: SSHSettings?
    /// Environment of scripts on these hosts, over the cluster's.
    public var environment: [String: String]
    /// Labels of the Kubernetes nodes.
    public var labels: [String: String]
    /// Taints of the Kubernetes nodes.
    public var taints: [Taint]

    /// Makes a group.
    public init(
        provider: Provider = .baremetal, addresses: [IPAddress] = [], count: Int? = nil, roles: [String],
        ssh: SSHSettings? = nil, environment: [String: String] = [:], labels: [String: String] = [:],
        taints: [Taint] = []
    ) {
        self.provider = provider
        self.addresses = addresses
        self.count = count ?? addresses.count
        self.roles = roles
        self.ssh = ssh
        self.environment = environment
        self.labels = labels
        self.taints = taints
    }
}

/// One host of a cluster, with everything that the cluster and its group say of it.
public struct ClusterMember: Hashable, Sendable {
    /// Where it comes from.
    public var provider: HostGroup.Provider
    /// Its address; nil for a container, which has none before it is made.
    public var address: IPAddress?
    /// Its number among the masters, or among the others, from 0.
    public var index: Int
    /// `master`, `node`, and names of the user's.
    public var roles: [String]
    /// How it is reached.
    public var ssh: SSHSettings
    /// The cluster's environment and its own.
    public var environment: [String: String]
    /// Labels of its Kubernetes node.
    public var labels: [String: String]
    /// Taints of its Kubernetes node.
    public var taints: [Taint]

    /// Makes a member.
    public init(
        provider: HostGroup.Provider, address: IPAddress?, index: Int, roles: [String],
        ssh: SSHSettings = SSHSettings(), environment: [String: String] = [:], labels: [String: String] = [:],
        taints: [Taint] = []
    ) {
        self.provider = provider
        self.address = address
        self.index = index
        self.roles = roles
        self.ssh = ssh
        self.environment = environment
        self.labels = labels
        self.taints = taints
    }

    /// Whether it runs the control plane.
    public var isMaster: Bool { roles.contains(HostGroup.master) }
}
