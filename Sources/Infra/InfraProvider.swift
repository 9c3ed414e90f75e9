import Clusterfile
import Remote
import Report

/// Where the hosts of a cluster come from.
public protocol InfraProvider: Sendable {
    /// The hosts of a cluster, in the order of its members; those that are still to be made have no way to them.
    func places(of cluster: Cluster) async throws -> [HostPlace]

    /// One host of the user's, that need not be of any cluster.
    func place(of member: ClusterMember) async throws -> HostPlace

    /// Starts hosts that were made for a cluster and have been stopped since; where that fails, they go on to be silent.
    ///
    /// - Returns: whether there were such.
    func wake(_ cluster: Cluster, progress: any ProgressSink) async throws -> Bool

    /// Makes the hosts that are to be made; what is there already and fits is kept.
    ///
    /// - Throws: after taking back what this very call had made; the failure says what could not be taken back.
    func provision(_ cluster: Cluster, progress: any ProgressSink) async throws

    /// What there is that was made for a cluster, running or not, each thing named for people; empty when there is nothing.
    func contents(of cluster: String) async throws -> [String]

    /// Removes one host that was made for a cluster; one of the user's is left alone.
    func remove(host: String, of cluster: String) async throws

    /// Removes all that was made for a cluster, and looks whether it is gone.
    ///
    /// - Throws: `Failure` that names each thing that is left and how to remove it.
    func remove(cluster: String, progress: any ProgressSink) async throws -> RemovalReport
}

/// One host of a cluster, as far as infrastructure knows it.
public struct HostPlace: Sendable {
    /// Its name for people and steps: the container's name, or the address.
    public var name: String
    /// What the Clusterfile says of it.
    public var member: ClusterMember
    /// The address by which the other hosts reach it; nil as long as the host is not made.
    public var address: String?
    /// The way to it; nil as long as the host is not made.
    public var transport: (any Transport)?

    /// Makes a place.
    public init(name: String, member: ClusterMember, address: String?, transport: (any Transport)?) {
        self.name = name
        self.member = member
        self.address = address
        self.transport = transport
    }
}

/// What was removed.
public struct RemovalReport: Sendable, Hashable {
    /// Each thing by its kind and name: `container demo-master-0`.
    public var removed: [String]

    /// Makes a report.
    public init(removed: [String]) {
        self.removed = removed
    }
}
