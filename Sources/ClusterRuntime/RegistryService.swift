import FoundationEssentials
import Remote
import Report
import SystemPackage

/// The embedded registry: `sealer registry serve` as a systemd service on the first master, over TLS, straight from the
/// node's store.
public struct RegistryService: Sendable {
    static let folder: FilePath = "/etc/sealer/registry"
    static let unit = "sealer-registry.service"

    private let address: RegistryAddress

    /// Makes the service for an address.
    public init(_ address: RegistryAddress) {
        self.address = address
    }

    /// Installs and starts the service, and waits until it answers over TLS.
    ///
    /// - Parameters:
    ///   - executable: the sealer binary on the node.
    ///   - root: the folder above the store to serve, on the node.
    /// - Throws: `Failure` of kind `commandFailed` or `timeout`, with the service's last log lines.
    public func install(
        on node: ClusterNode,
        executable: String,
        root: String,
        certificates: RegistryCertificates
    ) async throws {
        let host = node.host
        try await host.writeFile(Self.folder.appending("tls.crt"), Data(certificates.server.utf8), permissions: 0o644)
        try await host.writeFile(
            Self.folder.appending("tls.key"), Data(certificates.serverKey.utf8), permissions: 0o600)
        let unit = """
            [Unit]
            Description=sealer's registry of the cluster's images
            After=network.target

            [Service]
            ExecStart=\(executable) registry serve --root \(root) --listen 0.0.0.0:\(address.port) \
            --tls-cert \(Self.folder)/tls.crt --tls-key \(Self.folder)/tls.key
            Restart=always
            RestartSec=1
            LimitNOFILE=65536

            [Install]
            WantedBy=multi-user.target

            """
        try await host.writeFile(
            FilePath("/etc/systemd/system").appending(Self.unit), Data(unit.utf8), permissions: 0o644)
        try await host.check(
            .script("systemctl daemon-reload; systemctl enable --quiet \(Self.unit); systemctl restart \(Self.unit)"),
            purpose: "starting \(Self.unit)",
            limit: .seconds(60)
        )
        try await waitUntilListening(on: node)
    }

    private func waitUntilListening(on node: ClusterNode) async throws {
        let end = ContinuousClock.now + .seconds(30)
        while true {
            if try await node.host.facts().listeningPorts.contains(address.port) { return }
            guard ContinuousClock.now < end else { break }
            try await Task.sleep(for: .milliseconds(200))
        }
        let log = try await node.host.run(
            RemoteCommand(["journalctl", "--no-pager", "--lines=15", "--output=cat", "--unit=\(Self.unit)"]),
            limit: .seconds(20),
            output: { _ in }
        )
        throw Failure(
            .timeout,
            "the registry does not listen on port \(address.port) after 30 s; its log ends with:\n\(log.outputText)",
            at: node.host.name
        )
    }
}
