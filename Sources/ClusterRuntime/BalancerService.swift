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
    private let healthPath: String

    /// Makes the service for a cluster: its registry's address, and what its API servers are asked.
    public init(_ settings: ClusterSettings) {
        registry = settings.registry
        healthPath = settings.version.healthPath
    }

    /// The address by which a worker of an address reaches its balancer.
    public static func address(of node: String) -> String { ClusterNames.loopback(of: node).description }

    /// The balancer as a worker should have it.
    ///
    /// - Parameters:
    ///   - executable: the sealer binary on the node.
    ///   - masters: the masters' addresses.
    ///   - registries: the addresses of those masters that run the registry; nil when all do.
    ///   - node: the worker's address, whose family is that of the loopback address that the balancer listens at.
    /// - Throws: `Failure` of kind `invalidInput` when one of them is no address.
    public func aspect(executable: String, masters: [String], registries: [String]? = nil, node: String) throws
        -> NodeAspect
    {
        func endpoint(_ address: String, _ port: UInt16) throws -> BalancerEndpoint {
            guard let parsed = IPAddress(address), let endpoint = BalancerEndpoint("\(parsed.urlHost):\(port)") else {
                throw Failure(.invalidInput, "\"\(address)\" is no address of a master")
            }
            return endpoint
        }
        let apiServer = UInt16(ClusterNames.apiServerPort)
        let loopback = Self.address(of: node)
        let configuration = BalancerConfiguration(
            services: [
                .init(
                    name: "apiserver", listen: try endpoint(loopback, apiServer),
                    backends: try masters.map { try endpoint($0, apiServer) },
                    check: .init(path: healthPath, authority: Kubeadm.authorityFile.string)),
                .init(
                    name: "registry", listen: try endpoint(loopback, registry.port),
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
