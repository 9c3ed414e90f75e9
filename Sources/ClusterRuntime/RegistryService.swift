import Clusterfile
import FoundationEssentials
import SystemPackage

/// The embedded registry: `sealer registry serve` as a systemd service on the first master, over TLS, straight from the
/// node's store.
public struct RegistryService: Sendable {
    static let folder: FilePath = "/etc/sealer/registry"
    /// The service.
    public static let unit = "sealer-registry.service"

    private let address: RegistryAddress

    /// Makes the service for an address.
    public init(_ address: RegistryAddress) {
        self.address = address
    }

    /// The registry as a node should have it.
    ///
    /// - Parameters:
    ///   - executable: the sealer binary on the node.
    ///   - root: the folder above the store to serve, on the node.
    ///   - node: the address that the others reach the node at. Of IPv6, the registry listens at all addresses of both families; else
    ///     at those of IPv4 alone, which works where the kernel has no IPv6.
    public func aspect(executable: String, root: String, certificate: String, key: String, node: String) -> NodeAspect {
        let everywhere = IPAddress(node)?.family == .v6 ? "[::]" : "0.0.0.0"
        let unit = """
            [Unit]
            Description=sealer's registry of the cluster's images
            After=network.target

            [Service]
            ExecStart=\(executable) registry serve --root \(root) --listen \(everywhere):\(address.port) \
            --tls-cert \(Self.folder)/tls.crt --tls-key \(Self.folder)/tls.key
            Restart=always
            RestartSec=1
            LimitNOFILE=65536

            [Install]
            WantedBy=multi-user.target

            """
        return NodeAspect(
            .registry,
            files: [
                ManagedFile(Self.folder.appending("tls.crt"), Data(certificate.utf8)),
                ManagedFile(Self.folder.appending("tls.key"), Data(key.utf8), permissions: 0o600),
                ManagedFile(FilePath("/etc/systemd/system").appending(Self.unit), Data(unit.utf8)),
            ],
            service: Self.unit, port: address.port)
    }
}
