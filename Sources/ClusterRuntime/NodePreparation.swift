import Clusterfile
import FoundationEssentials
import Remote
import Report
import SystemPackage

/// What every node gets before it becomes a member: names, the way to the registry, the container runtime, kubelet.
public struct NodePreparation: Sendable {
    /// The folder of containerd's per-registry configuration.
    static let certificatesFolder: FilePath = "/etc/containerd/certs.d"
    /// What containerd of every node, and so sealer, trusts of the cluster's registry.
    static let registryAuthority = certificatesFolder.appending("_default").appending("ca.crt")
    /// Where the install script of a container runtime leaves the path of its socket (the field's contract).
    static let socketPathFile: FilePath = "/etc/sealerio/cri/socket-path"

    private let settings: ClusterSettings

    /// Makes the preparation of a cluster's nodes.
    public init(_ settings: ClusterSettings) {
        self.settings = settings
    }

    /// containerd's way to the embedded registry over TLS, whatever registry an image's name says.
    ///
    /// Follows containerd's `hosts.toml` with the `_default` namespace (containerd 1.6, docs/hosts.md). `server` is the
    /// embedded registry too, so that a miss ends there and never goes out.
    public func registryAccess(authority: String) -> NodeAspect {
        let folder = Self.certificatesFolder.appending("_default")
        let certificate = Self.registryAuthority
        let hosts = """
            server = "\(settings.registry.url)"
            ca = "\(certificate)"

            [host."\(settings.registry.url)"]
              capabilities = ["pull", "resolve"]
              ca = "\(certificate)"

            """
        return NodeAspect(
            .registryAccess,
            files: [
                ManagedFile(certificate, Data(authority.utf8)),
                ManagedFile(folder.appending("hosts.toml"), Data(hosts.utf8)),
            ])
    }

    /// Runs the rootfs' scripts that install the container runtime and kubelet.
    ///
    /// - Throws: `Failure` of kind `commandFailed` with the script's last output.
    public func installRuntime(on node: ClusterNode, environment: [String: String], step: Step) async throws {
        for script in ["containerd.sh", "init-kube.sh"] {
            try await run(script: script, on: node, environment: environment, step: step)
        }
    }

    /// What the scripts leave that must stay as they left it.
    public static let installedFiles: [FilePath] = [
        "/etc/containerd/config.toml", "/etc/systemd/system/containerd.service", "/etc/systemd/system/kubelet.service",
        "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
    ]

    func run(script: String, on node: ClusterNode, environment: [String: String] = [:], step: Step) async throws {
        try await node.host.check(
            RemoteCommand(
                ["/bin/bash", "scripts/\(script)"],
                environment: self.environment(on: node, environment),
                workingDirectory: settings.rootfs
            ),
            purpose: "scripts/\(script) of the image",
            limit: .seconds(300),
            output: { step.note($0.text) }
        )
    }

    /// The environment of the rootfs' scripts and of plugins, under the names that the field uses.
    public func environment(on node: ClusterNode, _ own: [String: String] = [:]) -> [String: String] {
        Self.environment(
            settings.environment.merging(own) { $1 }, registry: settings.registry, network: settings.network,
            rootfs: settings.rootfs, address: node.address)
    }

    /// The same, where only the Clusterfile is known.
    ///
    /// - Parameters:
    ///   - values: what the Clusterfile gives.
    ///   - rootfs: the folder of the rootfs on the node.
    ///   - address: the node's.
    public static func environment(
        _ values: [String: String], registry: RegistryAddress, network: ClusterNetwork, rootfs: String, address: String
    ) -> [String: String] {
        values.merging([
            "RegistryDomain": registry.domain,
            "RegistryPort": String(registry.port),
            "RegistryURL": registry.authority,
            "HostIP": address,
            "PodCIDR": network.pods.map(\.description).joined(separator: ","),
            "SvcCIDR": network.services.map(\.description).joined(separator: ","),
            "ContainerRuntime": "containerd",
            // The rootfs is at DATA-ROOT/CLUSTER/rootfs.
            "DataRoot": FilePath(rootfs).removingLastComponent().removingLastComponent().string,
        ]) { _, ours in ours }
    }

    /// Asks the node what its container runtime is: the socket that the install script named, and the cgroup driver of
    /// containerd's configuration.
    public func runtime(of node: ClusterNode) async throws -> KubeadmConfiguration.NodeRuntime {
        guard let bytes = try await node.host.readFile(Self.socketPathFile, limit: 4096) else {
            throw Failure(
                .commandFailed,
                "scripts/containerd.sh of the image ended well, but left no \(Self.socketPathFile)",
                at: node.host.name,
                remedy: "the script must write the path of the container runtime's socket there"
            )
        }
        var socket =
            String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace).first.map(String.init) ?? ""
        if socket.hasPrefix("unix://") { socket.removeFirst("unix://".count) }
        guard socket.hasPrefix("/") else {
            throw Failure(.commandFailed, "\(Self.socketPathFile) holds no path", at: node.host.name)
        }
        let configuration = try await node.host.readFile("/etc/containerd/config.toml", limit: 1 << 20) ?? Data()
        let driver = ContainerdConfiguration(String(decoding: configuration, as: UTF8.self)).cgroupDriver
        return .init(socket: socket, cgroupDriver: driver)
    }
}
