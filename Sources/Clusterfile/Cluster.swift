import OCI
import Report

/// A cluster as somebody wants it: what a Clusterfile, or the flags of `sealer run`, say.
public struct Cluster: Hashable, Sendable {
    /// The name, a DNS label of at most 40 characters.
    public var name: String
    /// The ClusterImage.
    public var image: Reference
    /// The hosts, in the order of the file. The first host with the role master is the first master.
    public var hosts: [HostGroup]
    /// How hosts are reached that say nothing else.
    public var ssh: SSHSettings
    /// Networks of pods and services.
    public var network: ClusterNetwork
    /// Environment of the rootfs' scripts and of launch commands.
    public var environment: [String: String]
    /// Further host names and addresses for the API server's certificate.
    public var certificateNames: [String]
    /// How long certificates live, and where the authorities come from.
    public var certificates: CertificateSettings
    /// Names that all nodes know besides the cluster's own.
    public var hostAliases: [HostAlias]
    /// The registry of the cluster.
    public var registry: RegistrySettings
    /// The container runtime that the image is asked to install; nil for the image's own choice.
    public var containerRuntime: String?
    /// The folder on nodes that rootfs are unpacked below.
    public var dataRoot: String
    /// The applications to launch, in order; nil for those that the image launches by itself.
    public var applications: [String]?
    /// Launch commands instead of the image's; nil for the image's own.
    public var commands: [String]?
    /// How node containers are made.
    public var nodeContainers: NodeContainerSettings
    /// kubeadm's own documents, laid over what the image and sealer say.
    public var kubeadmDocuments: [KubeadmDocument]
    /// Changes to files of the rootfs.
    public var configs: [ConfigOverlay]
    /// Extra work at named phases.
    public var plugins: [Plugin]
    /// The places in the file of what can only be checked when the image is known.
    public var origins = Origins()

    /// The folder on nodes that rootfs are unpacked below unless a Clusterfile says otherwise.
    public static let defaultDataRoot = "/var/lib/sealer/data"

    /// Makes a cluster; `check` tells whether it can be.
    public init(
        name: String,
        image: Reference,
        hosts: [HostGroup] = [],
        ssh: SSHSettings = SSHSettings(),
        network: ClusterNetwork = ClusterNetwork(),
        environment: [String: String] = [:],
        certificateNames: [String] = [],
        certificates: CertificateSettings = CertificateSettings(),
        hostAliases: [HostAlias] = [],
        registry: RegistrySettings = RegistrySettings(),
        containerRuntime: String? = nil,
        dataRoot: String = defaultDataRoot,
        applications: [String]? = nil,
        commands: [String]? = nil,
        nodeContainers: NodeContainerSettings = NodeContainerSettings(),
        kubeadmDocuments: [KubeadmDocument] = [],
        configs: [ConfigOverlay] = [],
        plugins: [Plugin] = []
    ) {
        self.name = name
        self.image = image
        self.hosts = hosts
        self.ssh = ssh
        self.network = network
        self.environment = environment
        self.certificateNames = certificateNames
        self.certificates = certificates
        self.hostAliases = hostAliases
        self.registry = registry
        self.containerRuntime = containerRuntime
        self.dataRoot = dataRoot
        self.applications = applications
        self.commands = commands
        self.nodeContainers = nodeContainers
        self.kubeadmDocuments = kubeadmDocuments
        self.configs = configs
        self.plugins = plugins
    }

    /// Every host, one by one: each group's in its order.
    public var members: [ClusterMember] {
        var counts: [Bool: Int] = [:]
        return hosts.flatMap { group -> [ClusterMember] in
            let isMaster = group.roles.contains(HostGroup.master)
            func member(_ address: IPAddress?) -> ClusterMember {
                let index = counts[isMaster, default: 0]
                counts[isMaster] = index + 1
                return ClusterMember(
                    provider: group.provider, address: address, index: index, roles: group.roles,
                    ssh: (group.ssh ?? SSHSettings()).over(ssh),
                    environment: environment.merging(group.environment) { $1 },
                    labels: group.labels, taints: group.taints
                )
            }
            return group.provider == .container
                ? (0..<max(group.count, 0)).map { _ in member(nil) } : group.addresses.map { member($0) }
        }
    }
}
