import Clusterfile
import Remote
import Report

/// What a host is for.
public enum HostRole: String, Sendable, Hashable, Codable, CaseIterable {
    /// Runs the control plane.
    case master
    /// Runs the work.
    case node
}

/// The node containers that a cluster shall have.
public struct HostsRequest: Sendable, Hashable {
    /// The image that node containers start from where nobody names another one.
    public static let defaultNodeImage = NodeContainerSettings.defaultImage
    /// The most hosts of a role.
    static let countLimit = 100

    /// The cluster's name.
    public var cluster: String
    /// How many masters.
    public var masters: Int
    /// How many other nodes.
    public var nodes: Int
    /// The image that node containers start from.
    public var image: String
    /// Whether the nodes may reach what lies outside their own network.
    public var egress: Bool

    /// Makes a request.
    public init(
        cluster: String,
        masters: Int,
        nodes: Int,
        image: String = HostsRequest.defaultNodeImage,
        egress: Bool = false
    ) {
        self.cluster = cluster
        self.masters = masters
        self.nodes = nodes
        self.image = image
        self.egress = egress
    }

    /// The containers of a cluster; nil when it has none.
    public init?(_ cluster: Cluster) {
        let members = cluster.members.filter { $0.provider == .container }
        guard !members.isEmpty else { return nil }
        self.init(
            cluster: cluster.name,
            // A container's number is the one among all masters or nodes, whatever the others are.
            masters: members.filter(\.isMaster).count,
            nodes: members.filter { !$0.isMaster }.count,
            image: cluster.nodeContainers.image,
            egress: cluster.nodeContainers.egress
        )
    }

    /// - Throws: `Failure` of kind `invalidInput`.
    func validate() throws {
        try Self.validate(cluster: cluster)
        guard (0...Self.countLimit).contains(masters), (0...Self.countLimit).contains(nodes), masters + nodes > 0 else {
            throw Failure(
                .invalidInput,
                "cluster \(cluster) asks for \(masters) masters and \(nodes) nodes, possible are up to \(Self.countLimit) of each"
            )
        }
    }

    static func validate(cluster: String) throws {
        let bytes = Array(cluster.utf8)
        let isAllowed = bytes.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 0x2d }
        guard (1...40).contains(bytes.count), isAllowed, bytes.first != 0x2d, bytes.last != 0x2d else {
            throw Failure(
                .invalidInput,
                "\"\(cluster.prefix(80))\" is no name for a cluster: 1 to 40 of a-z, 0-9 and -, not beginning or ending with -"
            )
        }
    }
}

/// A node container that is up.
public struct ProvisionedHost: Sendable {
    /// Its name, which is its host name too.
    public var name: String
    /// What it is for.
    public var role: HostRole
    /// Its number among those of its role, from 0.
    public var index: Int
    /// Its IPv4 address in the cluster's network.
    public var address: String
    /// The way to it.
    public var transport: any Transport

    /// Makes a host.
    public init(name: String, role: HostRole, index: Int, address: String, transport: any Transport) {
        self.name = name
        self.role = role
        self.index = index
        self.address = address
        self.transport = transport
    }
}
