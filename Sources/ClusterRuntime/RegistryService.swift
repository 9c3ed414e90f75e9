import Clusterfile
import FoundationEssentials
import Remote
import Report
import SystemPackage

/// The embedded registry: `sealer registry serve` as a systemd service on masters, over TLS, straight from the node's store.
public struct RegistryService: Sendable {
    static let folder: FilePath = "/etc/sealer/registry"
    /// The service.
    public static let unit = "sealer-registry.service"

    private static let unitFile = FilePath("/etc/systemd/system").appending(unit)
    /// What a host without the registry must not have.
    public static let files = [folder.appending("tls.crt"), folder.appending("tls.key"), unitFile]

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
            StartLimitIntervalSec=0

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
                ManagedFile(Self.unitFile, Data(unit.utf8)),
            ],
            service: Self.unit, port: address.port)
    }

    /// The certificates that a host which runs the registry has, without the authority's key, which no host has; nil when one of
    /// them is not there.
    public static func certificates(on host: any Host) async throws -> RegistryCertificates? {
        var texts: [String] = []
        for file in [NodePreparation.registryAuthority, folder.appending("tls.crt"), folder.appending("tls.key")] {
            guard let bytes = try await host.readFile(file, limit: 1 << 20) else { return nil }
            texts.append(String(decoding: bytes, as: UTF8.self))
        }
        return RegistryCertificates(authority: texts[0], authorityKey: nil, server: texts[1], serverKey: texts[2])
    }

    /// What of the registry is on a host that shall not have it, for people; empty when nothing is.
    ///
    /// - Parameter files: what an inspection of `files` found.
    public static func remains(
        files found: [String: FileState], services: [String: ServiceState]
    ) -> [String] {
        var remains = files.filter { found[$0.string] != nil }.map { "\($0) is there" }
        if let state = services[unit] {
            if state.isActive { remains.append("\(unit) runs") }
            if state.isEnabled { remains.append("\(unit) starts at boot") }
        }
        return remains
    }

    /// Ends the registry on a host that shall not have it any more, takes its files away and looks whether they are gone. The
    /// store that it served stays.
    ///
    /// - Throws: `Failure` of kind `integrity` when something is left.
    public static func withdraw(from host: any Host) async throws {
        try await host.check(
            .script(
                """
                if [[ -e \(unitFile) ]]; then
                    systemctl disable --quiet --now \(unit)
                else
                    systemctl stop \(unit) 2>/dev/null || true
                fi
                rm -rf \(folder) \(unitFile)
                systemctl daemon-reload
                """),
            purpose: "stopping \(unit)", limit: .seconds(60))
        let left = remains(files: try await host.inspect(files), services: try await host.services([unit]))
        guard left.isEmpty else {
            throw Failure(.integrity, "the registry was stopped, but \(left.joined(separator: "; "))", at: host.name)
        }
    }
}
