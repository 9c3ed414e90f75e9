import Clusterfile
import Remote

/// What a runtime needs to know of a cluster, besides its hosts.
public struct ClusterSettings: Sendable {
    /// The cluster's name.
    public var name: String
    /// The Kubernetes version that the image brings.
    public var version: KubernetesVersion
    /// The networks of pods and services.
    public var network: ClusterNetwork
    /// Further names and addresses for the API server's certificate.
    public var certificateNames: [String]
    /// The image's contained etcd, if exactly one is there: its tag becomes etcd's.
    public var etcdTag: String?
    /// Whether the image carries CoreDNS.
    public var hasCoreDNS: Bool
    /// How long certificates live that kubeadm makes.
    public var certificates = CertificateSettings()
    /// How pods reach each other.
    public var podNetworking: PodNetworking
    /// The folder of the rootfs on every node.
    public var rootfs: String
    /// The registry on the first master.
    public var registry: RegistryAddress
    /// Environment for the rootfs' scripts.
    public var environment: [String: String]

    /// kubeadm's own documents of the image, laid over what sealer says.
    public var imageDocuments: [KubeadmDocument] = []
    /// kubeadm's own documents of the Clusterfile, laid over all others.
    public var kubeadmDocuments: [KubeadmDocument]

    /// Makes settings.
    public init(
        name: String, version: KubernetesVersion, network: ClusterNetwork = ClusterNetwork(),
        certificateNames: [String] = [], etcdTag: String?, hasCoreDNS: Bool, podNetworking: PodNetworking,
        rootfs: String, registry: RegistryAddress = RegistryAddress(), environment: [String: String] = [:],
        kubeadmDocuments: [KubeadmDocument] = []
    ) {
        self.name = name
        self.version = version
        self.network = network
        self.certificateNames = certificateNames
        self.etcdTag = etcdTag
        self.hasCoreDNS = hasCoreDNS
        self.podNetworking = podNetworking
        self.rootfs = rootfs
        self.registry = registry
        self.environment = environment
        self.kubeadmDocuments = kubeadmDocuments
    }
}

/// How pods of different nodes reach each other.
public enum PodNetworking: String, Sendable, Codable {
    /// The CNI project's bridge and host-local plug-ins with a VXLAN between the nodes: set up by sealer.
    case bridge
    /// The image's applications bring it when they are launched.
    case fromApplications
}

/// The name under which nodes know the embedded registry.
public struct RegistryAddress: Sendable, Hashable {
    /// The host name, `sea.hub` as the field has it.
    public var domain: String
    /// The TCP port.
    public var port: UInt16

    /// Makes an address.
    public init(domain: String = "sea.hub", port: UInt16 = 5000) {
        self.domain = domain
        self.port = port
    }

    /// `sea.hub:5000`.
    public var authority: String { "\(domain):\(port)" }
    /// `https://sea.hub:5000`.
    public var url: String { "https://\(authority)" }
}

/// A host of the cluster with what is known of it.
public struct ClusterNode: Sendable {
    /// What a node does.
    public enum Role: String, Sendable, Codable {
        /// Runs the control plane.
        case master
        /// Runs applications.
        case node
    }
    /// The way to it.
    public var host: any Host
    /// What it is and has.
    public var facts: HostFacts
    /// What it does.
    public var role: Role
    /// The address that the other nodes reach it at.
    public var address: String
    /// The node's part of the pod network where sealer gives it; CIDR, two of them joined by a comma.
    public var podNetwork: String?

    /// Makes a node.
    public init(host: any Host, facts: HostFacts, role: Role, address: String, podNetwork: String? = nil) {
        self.host = host
        self.facts = facts
        self.role = role
        self.address = address
        self.podNetwork = podNetwork
    }

    /// Its name in the cluster.
    public var name: String { facts.hostname }
}

/// The names that nodes of every cluster use.
public enum ClusterNames {
    /// The API server, as every node knows it.
    public static let apiServer = "apiserver.cluster.local"
    /// The API server's port.
    public static let apiServerPort = 6443

    /// The loopback address of the family of a node's address. A host of IPv6 alone has 127.0.0.1 too, but glibc's resolver leaves
    /// IPv4 out there for whoever asks for addresses that the host can use (AI_ADDRCONFIG).
    static func loopback(of address: String) -> IPAddress {
        IPAddress(address)?.family == .v6 ? IPAddress(v6: 1) : IPAddress(v4: 0x7f00_0001)
    }
}
