import OCI
import Report

/// A cluster as somebody wants it: what a Clusterfile, or the flags of `sealer run`, say.
public struct Cluster: Hashable, Sendable {
    /// Where hosts come from.
    public enum Provider: String, Hashable, Sendable, CaseIterable {
        /// Nodes are containers of this machine's Docker.
        case container
    }

    /// The pods' network where nobody names another one: 10.244.0.0/16.
    public static let defaultPodNetwork = IPv4Network(
        containing: IPv4Address(number: 0x0af4_0000),
        prefixLength: 16
    )
    /// The services' network where nobody names another one: 10.96.0.0/12.
    public static let defaultServiceNetwork = IPv4Network(
        containing: IPv4Address(number: 0x0a60_0000),
        prefixLength: 12
    )
    /// The image that node containers start from where nobody names another one.
    public static let defaultNodeImage = "sealer.io/node:debian12"

    /// The name, a DNS label of at most 40 characters.
    public var name: String
    /// The ClusterImage.
    public var image: Reference
    /// Where hosts come from.
    public var provider: Provider
    /// How many hosts run the control plane.
    public var masters: Int
    /// How many further hosts there are.
    public var nodes: Int
    /// The pods' network.
    public var podNetwork: IPv4Network
    /// The services' network.
    public var serviceNetwork: IPv4Network
    /// Environment of the rootfs' scripts and of launch commands.
    public var environment: [String: String]
    /// Further host names and addresses for the API server's certificate.
    public var certificateNames: [String]
    /// The image that node containers start from.
    public var nodeImage: String
    /// Whether node containers may reach what lies outside their own network.
    public var egress: Bool

    /// Makes a cluster; `check` tells whether it can be.
    public init(
        name: String,
        image: Reference,
        provider: Provider = .container,
        masters: Int = 1,
        nodes: Int = 1,
        podNetwork: IPv4Network = defaultPodNetwork,
        serviceNetwork: IPv4Network = defaultServiceNetwork,
        environment: [String: String] = [:],
        certificateNames: [String] = [],
        nodeImage: String = defaultNodeImage,
        egress: Bool = false
    ) {
        self.name = name
        self.image = image
        self.provider = provider
        self.masters = masters
        self.nodes = nodes
        self.podNetwork = podNetwork
        self.serviceNetwork = serviceNetwork
        self.environment = environment
        self.certificateNames = certificateNames
        self.nodeImage = nodeImage
        self.egress = egress
    }

    /// The service that pods reach the API server at: the first address of the services' network.
    public var apiServerService: IPv4Address { serviceNetwork.address(at: 1) ?? serviceNetwork.base }

    /// The service of cluster DNS: the tenth address of the services' network.
    public var dnsService: IPv4Address { serviceNetwork.address(at: 10) ?? serviceNetwork.base }
}
