import Clusterfile
import FoundationEssentials
import Report
import YAML

/// A configuration file for kubeadm. It holds a token, so its content has no description.
public struct KubeadmFile: Sendable, CustomStringConvertible {
    /// The content.
    public let bytes: Data
    /// What of the documents that were laid over was left out, and why: for the user to read.
    public let notes: [String]
    /// Not the content.
    public var description: String { "a kubeadm configuration of \(bytes.count) bytes" }
}

/// Makes kubeadm's configuration files out of the cluster's settings and what is known of the nodes. Values in, bytes out.
///
/// What sealer says is the ground; the image's documents are laid over it, then the user's. Some fields stay as sealer sets
/// them, because the rest of the cluster hangs on them; lists of names and tokens are joined.
public struct KubeadmConfiguration: Sendable {
    /// What the runtime of a node needs to be told.
    public typealias NodeRuntime = KubeadmNode.Runtime

    let settings: KubeadmSettings
    private let api: KubeadmAPI

    /// Makes a generator for the version of the settings.
    ///
    /// - Throws: `Failure` of kind `invalidInput` for a Kubernetes version that is too old, or too old for dual stack.
    public init(_ settings: KubeadmSettings) throws(Failure) {
        self.settings = settings
        api = try settings.version.kubeadmAPI
        // 1.16 and 1.17 have it with IPVS only; kube-proxy's iptables learned it with 1.18 (kubernetes/kubernetes#82462).
        guard !settings.isDualStack || settings.version >= KubernetesVersion(1, 18) else {
            throw Failure(
                .invalidInput, "Kubernetes \(settings.version) has no dual stack with iptables",
                remedy: "name one network for pods and one for services, or take 1.18 or later")
        }
    }

    /// Makes a generator for a cluster.
    ///
    /// - Throws: what `init(_:)` throws.
    public init(_ settings: ClusterSettings) throws(Failure) { try self.init(KubeadmSettings(settings)) }

    // MARK: - Files

    /// The file for `kubeadm init` on the first master.
    ///
    /// - Parameters:
    ///   - isAlone: whether there are no worker nodes, so that the master must take ordinary pods.
    /// - Throws: `Failure` of kind `invalidInput` for a document of the user that cannot be laid over.
    public func initFile(for node: KubeadmNode, token: BootstrapToken, isAlone: Bool) throws -> KubeadmFile {
        try file(try initDocuments(for: node, token: token, isAlone: isAlone))
    }

    func initDocuments(for node: KubeadmNode, token: BootstrapToken, isAlone: Bool) throws
        -> [any KubeadmDocuments.Document]
    {
        [
            KubeadmDocuments.InitConfiguration(
                bootstrapToken: .init(token: token.text, ttl: "2h0m0s"),
                localAPIEndpoint: try endpoint(of: node),
                nodeRegistration: registration(of: node, taints: isAlone ? [] : nil)
            ),
            KubeadmDocuments.ClusterConfiguration(
                kubernetesVersion: settings.version.description,
                clusterName: settings.clusterName,
                controlPlaneEndpoint: Self.controlPlaneEndpoint,
                imageRepository: settings.version.defaultImageRepository,
                networking: .init(
                    podSubnets: settings.podSubnets, serviceSubnets: settings.serviceSubnets,
                    dnsDomain: settings.dnsDomain),
                certSANs: Self.once(
                    // Each master's own address stands in its certificate anyway; here it would be asked of all.
                    [ClusterNames.apiServer, "localhost", "127.0.0.1"] + settings.certificateNames),
                certificates: api >= .v1beta4 ? settings.certificates : nil,
                controllerManagerArguments: settings.assignsPodNetworks ? [("allocate-node-cidrs", "false")] : [],
                etcdTag: settings.etcdTag,
                // From 1.21 on it is there without being asked for.
                featureGates: settings.isDualStack && settings.version < KubernetesVersion(1, 21)
                    ? [("IPv6DualStack", true)] : []
            ),
            KubeadmDocuments.KubeletConfiguration(
                cgroupDriver: node.runtime.cgroupDriver, failSwapOn: !node.hasSwap),
            KubeadmDocuments.KubeProxyConfiguration(mode: "iptables", leavesConntrackAlone: node.isContainer),
        ]
    }

    /// The file for `kubeadm join` of a worker, or of a further master, which must have the authorities and its certificates
    /// already.
    ///
    /// - Parameters:
    ///   - authorityHash: `sha256:` and the hash of the cluster CA's public key.
    ///   - isAlone: as for `initFile`; for masters only.
    /// - Throws: `Failure` of kind `invalidInput` for a document of the user that cannot be laid over.
    public func joinFile(
        for node: KubeadmNode, asMaster: Bool = false, token: BootstrapToken, authorityHash: String,
        isAlone: Bool = false
    ) throws -> KubeadmFile {
        try file([
            joinDocument(
                for: node, asMaster: asMaster, token: token, authorityHash: authorityHash, isAlone: isAlone)
        ])
    }

    func joinDocument(
        for node: KubeadmNode, asMaster: Bool, token: BootstrapToken, authorityHash: String, isAlone: Bool
    ) throws -> KubeadmDocuments.JoinConfiguration {
        // The first master's kubelet configuration is the cluster's; this node's container runtime may use another driver.
        let driver = [("cgroup-driver", node.runtime.cgroupDriver)]
        return KubeadmDocuments.JoinConfiguration(
            discovery: .init(
                apiServerEndpoint: Self.controlPlaneEndpoint, token: token.text, caCertHashes: [authorityHash],
                timeout: "2m0s"),
            nodeRegistration: registration(of: node, taints: asMaster && isAlone ? [] : nil, more: driver),
            localAPIEndpoint: asMaster ? try endpoint(of: node) : nil
        )
    }

    /// The further names and addresses of the API server: the settings' and those of the documents that are laid over.
    public var certificateNames: [String] {
        Self.once(
            settings.certificateNames
                + (settings.imageOverlays + settings.overlays).filter { $0.kind == .clusterConfiguration }.flatMap {
                    overlay in
                    (overlay.fields[path: ["apiServer", "certSANs"]]?.sequence ?? []).compactMap(\.scalar?.text)
                })
    }

    /// The domain of the cluster's DNS, as the documents that are laid over leave it. Without one kubeadm takes its default.
    ///
    /// - Throws: `Failure` of kind `invalidInput` for a document of the user that cannot be laid over.
    func dnsDomain() throws -> String {
        var notes: [String] = []
        let ground: YAMLMapping = ["networking": ["dnsDomain": YAMLNode(settings.dnsDomain)]]
        let fields = try laidOver(ground, of: .clusterConfiguration, notes: &notes)
        let domain = fields[path: ["networking", "dnsDomain"]]?.scalar?.text ?? ""
        return domain.isEmpty ? KubeadmSettings.defaultDNSDomain : domain
    }

    /// Warnings of feature gates in the documents that are laid over which sealer does not know for any version.
    ///
    /// - Throws: `Failure` of kind `invalidInput` for a document of the user that cannot be laid over.
    public func strangeGates() throws -> [String] {
        Self.once(
            try (settings.imageOverlays + settings.overlays).flatMap { overlay in
                KubernetesKnowledge.strangeGates(
                    try KubeadmArguments.normalized(overlay.fields, of: overlay.kind), of: overlay.kind)
            })
    }

    private static let controlPlaneEndpoint = "\(ClusterNames.apiServer):\(ClusterNames.apiServerPort)"

    private func endpoint(of node: KubeadmNode) throws -> KubeadmDocuments.Endpoint {
        guard let address = node.addresses.first else {
            throw Failure(.software, "the node has no address", at: node.name)
        }
        return .init(advertiseAddress: address, bindPort: ClusterNames.apiServerPort)
    }

    private func registration(
        of node: KubeadmNode, taints: [YAMLNode]?, more: [(String, String)] = []
    ) -> KubeadmDocuments.NodeRegistration {
        // kubeadm 1.24 and later want a URL (kubernetes/kubernetes#107295), earlier ones a path.
        let usesURL = settings.version >= KubernetesVersion(1, 24)
        // kubelet takes two addresses from 1.20 on (kubernetes/kubernetes#95239), and only where pods have two.
        let takesBoth = settings.isDualStack && settings.version >= KubernetesVersion(1, 20)
        let addresses = takesBoth ? node.addresses : Array(node.addresses.prefix(1))
        return .init(
            name: node.name,
            criSocket: usesURL ? "unix://\(node.runtime.socket)" : node.runtime.socket,
            taints: taints,
            kubeletArguments: more + [("node-ip", addresses.joined(separator: ","))]
        )
    }

    private static func once(_ names: [String]) -> [String] {
        var seen: Set<String> = []
        return names.filter { seen.insert($0).inserted }
    }

    // MARK: - Laying over

    /// - Parameter uppermost: sets what nobody's document may set otherwise, arguments as maps.
    func file(
        _ documents: [any KubeadmDocuments.Document],
        uppermost: (KubeadmDocument.Kind, inout YAMLMapping) -> Void = { _, _ in }
    ) throws -> KubeadmFile {
        var notes: [String] = []
        let nodes = try documents.map { document -> YAMLNode in
            let kind = type(of: document).kind
            var fields = try laidOver(document.fields, of: kind, notes: &notes)
            uppermost(kind, &fields)
            fields = try KubeadmArguments.formed(fields, of: kind, for: api)
            fields["apiVersion"] = YAMLNode(kind.apiVersion(api))
            fields["kind"] = YAMLNode(kind.rawValue)
            return Self.ordered(fields)
        }
        return KubeadmFile(bytes: Data(YAMLNode.text(of: nodes).utf8), notes: notes)
    }

    /// Fields with the documents of their kind laid over, without what the version does not know, arguments as maps.
    func laidOver(_ lower: YAMLMapping, of kind: KubeadmDocument.Kind, notes: inout [String]) throws -> YAMLMapping {
        var fields = try KubeadmArguments.normalized(lower, of: kind)
        for overlay in settings.imageOverlays where overlay.kind == kind {
            var upper = try KubeadmArguments.normalized(overlay.fields, of: kind)
            Self.leaveOut(&upper, over: fields, kind, &notes)
            fields = lay(upper, over: fields, kind, &notes)
        }
        for overlay in settings.overlays where overlay.kind == kind {
            let upper = try KubeadmArguments.normalized(overlay.fields, of: kind)
            fields = lay(upper, over: fields, kind, &notes)
        }
        return KubernetesKnowledge.known(fields, of: kind, to: settings.version, api: api, notes: &notes)
    }

    /// Fields that stay as sealer sets them: the rest of the cluster hangs on them.
    private static let own: [KubeadmDocument.Kind: [[String]]] = [
        .initConfiguration: [
            ["localAPIEndpoint", "advertiseAddress"], ["localAPIEndpoint", "bindPort"], ["nodeRegistration", "name"],
            ["nodeRegistration", "criSocket"], ["certificateKey"],
        ],
        .clusterConfiguration: [["kubernetesVersion"], ["clusterName"], ["controlPlaneEndpoint"]],
        .joinConfiguration: [
            ["controlPlane"], ["discovery", "bootstrapToken"], ["discovery", "file"],
            ["discovery", "tlsBootstrapToken"],
            ["nodeRegistration", "name"], ["nodeRegistration", "criSocket"],
        ],
    ]

    /// Lists in which what sealer says is kept beside what is laid over.
    private static let joined: [KubeadmDocument.Kind: [[String]]] = [
        .initConfiguration: [["bootstrapTokens"]],
        .clusterConfiguration: [["apiServer", "certSANs"]],
    ]

    private func lay(
        _ upper: YAMLMapping, over lower: YAMLMapping, _ kind: KubeadmDocument.Kind, _ notes: inout [String]
    ) -> YAMLMapping {
        var result = lower.merged(with: upper)
        for path in Self.own[kind] ?? [] {
            guard let wanted = upper[path: path], wanted != lower[path: path] else { continue }
            result[path: path] = lower[path: path]
            notes.append("\(kind.rawValue).\(path.joined(separator: ".")) is left out: sealer sets it")
        }
        for path in Self.joined[kind] ?? [] {
            guard let kept = lower[path: path]?.sequence, let more = upper[path: path] else { continue }
            result[path: path] = YAMLNode(kept + (more.sequence ?? []).filter { !kept.contains($0) })
        }
        return result
    }

    /// apiVersion and kind first, the rest by name.
    private static func ordered(_ fields: YAMLMapping) -> YAMLNode {
        let heads = ["apiVersion", "kind"]
        let rest = fields.entries.filter { !heads.contains($0.key) }.sorted { $0.key < $1.key }
        return YAMLNode(
            YAMLMapping(heads.compactMap { key in fields[key].map { (key, $0) } } + rest.map { ($0.key, $0.value) }))
    }

    // MARK: - Phases

    /// Phases of `kubeadm init` that this cluster skips, and why.
    public func skippedPhases(programs: [String]) -> [(phase: String, reason: String)] {
        var phases: [(String, String)] = []
        if let preflight = skippedPreflight(programs: programs) { phases.append(preflight) }
        if !settings.hasCoreDNS {
            phases.append(("addon/coredns", "the image carries no CoreDNS: names of services will not resolve"))
        }
        return phases
    }

    /// kubeadm's preflight asks runtimes other than Docker through `crictl` and refuses to go on without it; sealer checks the
    /// hosts itself before the first change.
    func skippedPreflight(programs: [String]) -> (phase: String, reason: String)? {
        guard !programs.contains("crictl") else { return nil }
        return ("preflight", "kubeadm's own checks need crictl, which the image does not bring; sealer made its own")
    }
}
