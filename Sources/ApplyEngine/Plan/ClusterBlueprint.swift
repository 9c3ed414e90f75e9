import ClusterRuntime
import Clusterfile
import FoundationEssentials
import ImageStore
import OCI
import Remote
import Report
import SystemPackage

/// The cluster as it should be, host by host: what is there is compared with it.
public struct ClusterBlueprint: Sendable {
    /// What the cluster's own record is kept under.
    enum RecordKey {
        static let image = "image"
        static let clusterfile = "clusterfile"
        static let launch = "launch"
        /// The launch after which all pods were seen to be well.
        static let pods = "pods"
        static let configuration = ConfigurationFields.recordKey
        /// Whether the cluster was told all of its configuration: `begun` before, `complete` after.
        static let configurationState = "configuration-state"
    }

    /// The cluster that is wanted.
    public var cluster: Cluster
    /// The ClusterImage's digest.
    public var image: Digest
    /// The manifest of the rootfs.
    public var rootfs: Digest
    /// What the runtime needs to know.
    public var settings: ClusterSettings
    /// The hosts.
    public var nodes: [NodeBlueprint]
    /// The only host that runs the registry; nil when every master does.
    public var registryHost: String?
    /// The digest of all that launching depends on.
    public var launch: Digest
    /// What kubeadm, kubelet and kube-proxy shall be told.
    public var configuration: ConfigurationFields

    /// What the cluster knows of its configuration, before and after it is told.
    func configurationRecord(isComplete: Bool) throws -> [String: String] {
        [
            RecordKey.configuration: try configuration.text,
            RecordKey.configurationState: isComplete ? "complete" : "begun",
        ]
    }

    /// What the cluster shall know of itself.
    public var record: [String: String] {
        get throws {
            try [
                RecordKey.image: image.description, RecordKey.clusterfile: cluster.text,
                RecordKey.launch: launch.description,
            ].merging(configurationRecord(isComplete: true)) { $1 }
        }
    }
}

/// A host as it should be.
public struct NodeBlueprint: Sendable, Hashable {
    /// The host, as steps name it.
    public var host: String
    /// The name of its node.
    public var name: String
    /// The address by which the others reach it.
    public var address: String
    /// Whether it runs the control plane.
    public var isMaster: Bool
    /// The digest of all that the install scripts depend on.
    public var runtime: Digest
    /// Files and services by purpose.
    public var aspects: [NodeAspect]
    /// Labels that it must have.
    public var labels: [String: String]
    /// Taints that it must have.
    public var taints: [String]
    /// Labels and taints that it was given and shall not have any more.
    public var former = FormerAssignments()
    /// Its part of the pod network, where sealer gives it.
    public var podNetwork: String?
    /// The environment of scripts on it.
    public var environment: [String: String]
    /// The names that it shall know when it is a member.
    public var names: [HostsFile.Entry]
    /// The names besides, which do not depend on where API server and registry are.
    public var aliases: [HostsFile.Entry]
    /// Where it finds API server and registry when it is a member.
    public var places: ServicePlaces
    /// Whether it runs the registry of the cluster.
    public var servesImages: Bool
    /// What the Clusterfile says of the host.
    public var member: ClusterMember
    /// The plugin that gives it its name; nil when none does.
    public var namedBy: String?

    /// The names as long as it uses the API server of another master, and where all masters have the registry that one's too.
    public func names(through address: String) -> [HostsFile.Entry] {
        var places = places
        places.apiServer = address
        if !places.isRegistryFixed { places.registry = address }
        return places.entries + aliases
    }

    /// The files of the rootfs that Config documents change; nil when there are none.
    public var configuration: NodeAspect? { aspects.first { $0.name == .configuration } }

    /// Whether it is a master that must not run the registry.
    public var isWithoutRegistry: Bool { isMaster && !servesImages }

    /// The paths that an inspection must look at.
    public var paths: [String] {
        aspects.flatMap { $0.allFiles.map(\.path.string) }
            + (isWithoutRegistry ? RegistryService.files.map(\.string) : [])
    }
    /// The services that an inspection must ask for.
    public var services: [String] {
        aspects.compactMap(\.service) + (isWithoutRegistry ? [RegistryService.unit] : [])
    }
}

/// What a blueprint is made of, besides the hosts.
struct BlueprintSource: Sendable {
    /// The cluster that is wanted.
    var cluster: Cluster
    /// Its image.
    var image: ClusterImage
    /// What the runtime needs to know.
    var settings: ClusterSettings
    /// What the cluster's trust hangs on.
    var identity: ClusterIdentity
    /// The rootfs' files that Config documents change, as they should be.
    var configuration: [ManagedFile] = []

    /// What plugins are due where.
    let plugins: PluginRules

    /// The only host that runs the registry: the first master that is wanted, whether it is there yet or not; nil when every
    /// master runs it.
    var registryHost: String?

    /// The name under which a host shall be a member, where it is not simply its host name: a plugin's, else the one it became a
    /// member by.
    ///
    /// - Throws: `Failure` of kind `conflict` when a member would change its name.
    func wantedName(of host: HostObservation) throws -> String? {
        guard let assigned = NodeAssignments(plugins, for: host.member).hostname else {
            return host.mark?.node
        }
        let present = host.mark?.node ?? host.facts.hostname
        guard host.mark?.membership != .complete || present == assigned.name else {
            throw Failure(
                .conflict,
                "the plugin \(assigned.plugin) names the host \(assigned.name), and it is a member as \(present): "
                    + "a node cannot change its name",
                at: host.host, remedy: "take it out of the cluster first (sealer scale-down), then add it again")
        }
        return assigned.name
    }

    /// The folder above the store on the nodes.
    static let nodeRoot = "/var/lib/sealer"

    /// The digest of all that launching depends on: the image's list, what it launches, and the environment.
    func launchDigest() throws -> Digest {
        struct Input: Encodable {
            var image: Digest
            var config: ClusterImageConfig
            var applications: [String]?
            var commands: [String]?
            var environment: [String: String]
            var configuration: [String: FileState]?
        }
        var config = image.sealer
        // Where images were found does not matter for the launch.
        config.images = []
        return ContentHasher.digest(
            of: try canonicalJSON(
                Input(
                    image: image.rootfs.digest, config: config, applications: cluster.applications,
                    commands: cluster.commands, environment: cluster.environment, configuration: configured)))
    }

    /// Draws the blueprint for hosts that have been looked at.
    ///
    /// - Throws: `Failure` of kind `invalidInput` when the pod network is too small.
    func blueprint(for observation: ClusterObservation) throws -> ClusterBlueprint {
        let (hosts, kubernetes) = (observation.hosts, observation.kubernetes)
        let present = (kubernetes?.nodes ?? []).reduce(into: [String: String]()) { $0[$1.name] = $1.podNetwork }
        let parts =
            settings.podNetworking == .bridge
            ? try PodNetworkPlan(
                // Those that do not answer keep theirs, and the others the way to it.
                network: settings.network, nodes: observation.nodes(of: cluster), present: present)
            : nil
        let masters = hosts.filter(\.member.isMaster)
        let configuration = try ConfigurationFields(settings)
        return ClusterBlueprint(
            cluster: cluster, image: image.descriptor.digest, rootfs: image.rootfs.digest, settings: settings,
            nodes: try hosts.map { try node($0, masters: masters, parts: parts) }, registryHost: registryHost,
            launch: try launchDigest(),
            configuration: configuration)
    }

    private func node(_ host: HostObservation, masters: [HostObservation], parts: PodNetworkPlan?) throws
        -> NodeBlueprint
    {
        let name = host.nodeName
        let preparation = NodePreparation(settings)
        let isMaster = host.member.isMaster
        let servesImages = isMaster && (registryHost == nil || registryHost == host.host)
        let registry = masters.first { $0.host == registryHost }
        var aspects = [preparation.registryAccess(authority: identity.registry.authority)]
        if servesImages {
            aspects.append(
                RegistryService(settings.registry).aspect(
                    executable: host.executable, root: Self.nodeRoot, certificate: identity.registry.server,
                    key: identity.registry.serverKey, node: host.address))
        }
        if isMaster {
            aspects.append(
                NodeAspect(
                    .authorities,
                    files: identity.authorities.files.map { file in
                        ManagedFile(
                            CertificateFile.kubeadmFolder.appending(FilePath(file.path).components), file.bytes,
                            permissions: file.mode)
                    }))
        }
        if !isMaster {
            aspects.append(
                try BalancerService(settings).aspect(
                    executable: host.executable, masters: masters.map(\.address),
                    registries: registry.map { [$0.address] } ?? masters.map(\.address), node: host.address))
        }
        if let parts { aspects.append(try parts.aspect(of: name)) }
        if !configuration.isEmpty { aspects.append(NodeAspect(.configuration, files: configuration)) }
        let environment = settings.environment.merging(host.member.environment) { $1 }
        let assigned = NodeAssignments(plugins, for: host.member)
        var aliases = cluster.hostAliases.map { HostsFile.Entry(address: $0.address.description, names: $0.names) }
        // Programs look their own host's name up.
        if assigned.hostname != nil { aliases.append(HostsFile.Entry(address: host.address, names: [name])) }
        // A master has its own API server, and its own registry if it runs one; a worker has its own way to all masters.
        let address = isMaster ? host.address : BalancerService.address(of: host.address)
        let places = ServicePlaces(
            apiServer: address, registry: isMaster ? registry?.address ?? address : address,
            registryName: settings.registry.domain, isRegistryFixed: registryHost != nil)
        let names = places.entries + aliases
        if host.facts.isContainer { aspects.append(HostsFile.keeping(names)) }
        return NodeBlueprint(
            host: host.host, name: name, address: host.address, isMaster: isMaster,
            runtime: try runtimeDigest(environment), aspects: aspects,
            labels: labels(host).filter { !assigned.hasLabel($0.key) },
            taints: host.member.taints.filter { !assigned.speaks(of: $0) }.map(\.description).sorted(),
            former: try FormerAssignments(
                host.mark, labels: labels(host), taints: host.member.taints, assigned: assigned, isMaster: isMaster),
            podNetwork: parts?.part(of: name),
            environment: environment, names: names,
            aliases: aliases, places: places, servesImages: servesImages, member: host.member,
            namedBy: assigned.hostname?.plugin)
    }

    /// Roles besides master become labels, as the field's tools write them.
    private func labels(_ host: HostObservation) -> [String: String] {
        var labels = host.member.labels
        for role in host.member.roles where role != HostGroup.master && role != HostGroup.node {
            labels["node-role.kubernetes.io/\(role)"] = ""
        }
        return labels
    }

    private func runtimeDigest(_ environment: [String: String]) throws -> Digest {
        struct Input: Encodable {
            var rootfs: Digest
            var environment: [String: String]
            var registry: String
            var configuration: [String: FileState]?
        }
        return ContentHasher.digest(
            of: try canonicalJSON(
                Input(
                    rootfs: image.rootfs.digest, environment: environment, registry: settings.registry.authority,
                    configuration: configured)))
    }

    /// What Config documents make of the rootfs; nil without any, which leaves the digests of such clusters as they were.
    private var configured: [String: FileState]? {
        configuration.isEmpty
            ? nil
            : Dictionary(configuration.compactMap { file in file.state.map { (file.path.string, $0) } }) { $1 }
    }
}
