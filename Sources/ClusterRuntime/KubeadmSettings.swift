import Clusterfile
import Remote

/// What kubeadm's documents say of the whole cluster.
public struct KubeadmSettings: Hashable, Sendable {
    /// The cluster's name.
    public var clusterName: String
    /// The Kubernetes version that the image brings.
    public var version: KubernetesVersion
    /// The pods' networks: one, or one of each family.
    public var podSubnets: [String]
    /// The services' networks: one, or one of each family, in the same order.
    public var serviceSubnets: [String]
    /// kubeadm's own domain of a cluster's DNS.
    static let defaultDNSDomain = "cluster.local"
    /// The domain of the cluster's DNS, unless a document of the user says another one.
    public var dnsDomain = KubeadmSettings.defaultDNSDomain
    /// Further names and addresses of the API server.
    public var certificateNames: [String] = []
    /// How long certificates live that kubeadm makes itself, those in its kubeconfigs: from 1.31 on it can be told.
    public var certificates = CertificateSettings()
    /// The image's etcd; nil for the one that kubeadm chooses.
    public var etcdTag: String?
    /// Whether the image brings CoreDNS.
    public var hasCoreDNS = true
    /// Whether sealer gives the nodes their parts of the pods' network, so that the controller manager must not.
    public var assignsPodNetworks = false
    /// Documents of the image. What depends on the cluster or its hosts, and not on the image, does not count in them.
    public var imageOverlays: [KubeadmDocument] = []
    /// Documents of the user, laid over the image's; those that count more later.
    public var overlays: [KubeadmDocument] = []

    /// Makes settings.
    public init(clusterName: String, version: KubernetesVersion, podSubnets: [String], serviceSubnets: [String]) {
        self.clusterName = clusterName
        self.version = version
        self.podSubnets = podSubnets
        self.serviceSubnets = serviceSubnets
    }

    /// Takes what concerns kubeadm out of a cluster's settings.
    public init(_ settings: ClusterSettings) {
        self.init(
            clusterName: settings.name, version: settings.version,
            podSubnets: settings.network.pods.map(\.description),
            serviceSubnets: settings.network.services.map(\.description))
        certificateNames = settings.certificateNames
        certificates = settings.certificates
        etcdTag = settings.etcdTag
        hasCoreDNS = settings.hasCoreDNS
        assignsPodNetworks = settings.podNetworking == .bridge
        imageOverlays = settings.imageDocuments
        overlays = settings.kubeadmDocuments
    }

    /// Whether pods have addresses of both families.
    var isDualStack: Bool { Set(podSubnets.map { $0.contains(":") }).count == 2 }
}

/// What kubeadm's documents say of one node.
public struct KubeadmNode: Hashable, Sendable {
    /// What the container runtime of a node needs to be told.
    public struct Runtime: Hashable, Sendable {
        /// The container runtime's socket, a path.
        public var socket: String
        /// `systemd` or `cgroupfs`, as the container runtime is configured.
        public var cgroupDriver: String

        /// Makes the values.
        public init(socket: String, cgroupDriver: String) {
            self.socket = socket
            self.cgroupDriver = cgroupDriver
        }
    }

    /// The node's name.
    public var name: String
    /// The node's addresses: one, or one of each family. The first is the one that the others reach it at.
    public var addresses: [String]
    /// Its container runtime.
    public var runtime: Runtime
    /// Whether it has swap, which kubelet does not like.
    public var hasSwap = false
    /// Whether it is a container, which may not set the kernel's limits.
    public var isContainer = false

    /// Makes a node.
    public init(name: String, addresses: [String], runtime: Runtime) {
        self.name = name
        self.addresses = addresses
        self.runtime = runtime
    }

    /// Takes what concerns kubeadm out of what is known of a node.
    public init(_ node: ClusterNode, runtime: Runtime) {
        self.init(name: node.name, addresses: [node.address], runtime: runtime)
        hasSwap = node.facts.hasSwap
        isContainer = node.facts.isContainer
    }
}
