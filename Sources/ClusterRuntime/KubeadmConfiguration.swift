import Clusterfile
import FoundationEssentials
import Remote
import Report

/// Makes kubeadm's configuration files out of the cluster's settings and the nodes' facts. Values in, bytes out.
public struct KubeadmConfiguration: Sendable {
    private let settings: ClusterSettings
    private let api: KubeadmAPI

    /// Makes a generator for the version of the settings.
    ///
    /// - Throws: `Failure` of kind `invalidInput` for a Kubernetes version that is too old.
    public init(_ settings: ClusterSettings) throws(Failure) {
        self.settings = settings
        api = try settings.version.kubeadmAPI
    }

    /// What the runtime of a node needs to be told.
    public struct NodeRuntime: Sendable, Hashable {
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

    /// The file for `kubeadm init` on the first master.
    ///
    /// - Parameters:
    ///   - isAlone: whether there are no worker nodes, so that the master must take ordinary pods.
    public func initFile(
        for node: ClusterNode,
        runtime: NodeRuntime,
        token: BootstrapToken,
        isAlone: Bool
    ) throws -> Data {
        let names = [ClusterNames.apiServer, "localhost", "127.0.0.1", node.address] + settings.certificateNames
        var seen: Set<String> = []
        var documents: [any Encodable] = [
            KubeadmDocuments.InitConfiguration(
                apiVersion: api.rawValue,
                bootstrapTokens: [.init(token: token.text, ttl: "2h0m0s")],
                localAPIEndpoint: .init(advertiseAddress: node.address, bindPort: ClusterNames.apiServerPort),
                nodeRegistration: registration(of: node, runtime: runtime, taints: isAlone ? [] : nil)
            ),
            KubeadmDocuments.ClusterConfiguration(
                apiVersion: api.rawValue,
                kubernetesVersion: settings.version.description,
                clusterName: settings.name,
                controlPlaneEndpoint: "\(ClusterNames.apiServer):\(ClusterNames.apiServerPort)",
                imageRepository: settings.version.defaultImageRepository,
                networking: .init(
                    podSubnet: settings.podNetwork.description,
                    serviceSubnet: settings.serviceNetwork.description,
                    dnsDomain: "cluster.local"
                ),
                apiServer: .init(certSANs: names.filter { seen.insert($0).inserted }),
                controllerManager: settings.podNetworking == .bridge
                    // sealer gives the nodes their parts of the pod network itself.
                    ? .init(extraArgs: .init(values: ["allocate-node-cidrs": "false"], api: api)) : nil,
                etcd: settings.etcdTag.map { .init(local: .init(imageTag: $0)) }
            ),
            KubeadmDocuments.KubeletConfiguration(
                cgroupDriver: runtime.cgroupDriver,
                failSwapOn: !node.facts.hasSwap
            ),
        ]
        documents.append(
            KubeadmDocuments.KubeProxyConfiguration(
                mode: "iptables",
                // A container may not write the kernel's connection tracking limits.
                conntrack: node.facts.isContainer ? .init(maxPerCore: 0, min: 0) : nil
            )
        )
        return try KubeadmDocuments.file(documents)
    }

    /// The file for `kubeadm join` of a worker.
    ///
    /// - Parameter authorityHash: `sha256:` and the hash of the cluster CA's public key.
    public func joinFile(
        for node: ClusterNode,
        runtime: NodeRuntime,
        token: BootstrapToken,
        authorityHash: String
    ) throws -> Data {
        try KubeadmDocuments.file([
            KubeadmDocuments.JoinConfiguration(
                apiVersion: api.rawValue,
                discovery: .init(
                    bootstrapToken: .init(
                        apiServerEndpoint: "\(ClusterNames.apiServer):\(ClusterNames.apiServerPort)",
                        token: token.text,
                        caCertHashes: [authorityHash]
                    ),
                    // v1beta4 moved it into a `timeouts` object; there the default of five minutes holds.
                    timeout: api == .v1beta4 ? nil : "2m0s"
                ),
                nodeRegistration: registration(of: node, runtime: runtime, taints: nil)
            )
        ])
    }

    private func registration(
        of node: ClusterNode,
        runtime: NodeRuntime,
        taints: [String]?
    ) -> KubeadmDocuments.NodeRegistration {
        // kubeadm 1.24 and later want a URL, earlier ones a path.
        let usesURL = settings.version >= KubernetesVersion(1, 24)
        return KubeadmDocuments.NodeRegistration(
            name: node.name,
            criSocket: usesURL ? "unix://\(runtime.socket)" : runtime.socket,
            taints: taints,
            kubeletExtraArgs: .init(values: ["node-ip": node.address], api: api)
        )
    }

    /// Phases of `kubeadm init` that this cluster skips, and why.
    public func skippedPhases(for node: ClusterNode) -> [(phase: String, reason: String)] {
        var phases: [(String, String)] = []
        if let preflight = skippedPreflight(for: node) { phases.append(preflight) }
        if !settings.hasCoreDNS {
            phases.append(("addon/coredns", "the image carries no CoreDNS: names of services will not resolve"))
        }
        return phases
    }

    /// kubeadm's preflight asks runtimes other than Docker through `crictl` and refuses to go on without it; sealer checks the
    /// hosts itself before the first change.
    func skippedPreflight(for node: ClusterNode) -> (phase: String, reason: String)? {
        guard !node.facts.programs.contains("crictl") else { return nil }
        return ("preflight", "kubeadm's own checks need crictl, which the image does not bring; sealer made its own")
    }
}
