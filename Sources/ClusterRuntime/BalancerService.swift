import Clusterfile
import FoundationEssentials
import NodeBalancer
import Report
import SystemPackage

/// A worker's own way to all masters: `sealer node lb` as a systemd service, for the API server and for the registry.
public struct BalancerService: Sendable {
    /// The service.
    public static let unit = BalancerUnit.name
    private static let configurationFile: FilePath = "/etc/sealer/balancer.json"
    /// Where the balancer tells how the masters are.
    public static let statusFile: FilePath = "/run/sealer-balancer.json"

    private let registry: RegistryAddress

    /// Makes the service for a registry's address.
    public init(_ registry: RegistryAddress) {
        self.registry = registry
    }

    /// The balancer as a worker should have it.
    ///
    /// - Parameters:
    ///   - executable: the sealer binary on the node.
    ///   - masters: the masters' addresses.
    ///   - registries: the addresses of those masters that run the registry; nil when all do.
    /// - Throws: `Failure` of kind `invalidInput` when one of them is no address.
    public func aspect(executable: String, masters: [String], registries: [String]? = nil) throws -> NodeAspect {
        func endpoint(_ address: String, _ port: UInt16) throws -> BalancerEndpoint {
            guard let parsed = IPAddress(address), let endpoint = BalancerEndpoint("\(parsed.urlHost):\(port)") else {
                throw Failure(.invalidInput, "\"\(address)\" is no address of a master")
            }
            return endpoint
        }
        let apiServer = UInt16(ClusterNames.apiServerPort)
        let configuration = BalancerConfiguration(
            services: [
                .init(
                    name: "apiserver", listen: try endpoint("127.0.0.1", apiServer),
                    backends: try masters.map { try endpoint($0, apiServer) },
                    check: .init(path: "/readyz", authority: Kubeadm.authorityFile.string)),
                .init(
                    name: "registry", listen: try endpoint("127.0.0.1", registry.port),
                    backends: try (registries ?? masters).map { try endpoint($0, registry.port) }),
            ],
            status: Self.statusFile.string)
        let unit = BalancerUnit(executable: executable, configuration: Self.configurationFile.string)
        return NodeAspect(
            .balancer,
            files: [
                // The balancer itself sees that it has changed, and breaks no connection.
                ManagedFile(Self.configurationFile, try configuration.json(), needsRestart: false),
                ManagedFile(FilePath("/etc/systemd/system").appending(Self.unit), Data(unit.text.utf8)),
            ],
            service: Self.unit, port: apiServer)
    }
}
