import ClusterRuntime
import Testing

@testable import ApplyEngine

@Suite("Where a node finds the masters")
struct ServicePlacesTests {
    private func lines(apiServer: String, registry: String) -> [HostsFile.Entry] {
        ServicePlaces(apiServer: apiServer, registry: registry, registryName: "sea.hub").entries
    }

    @Test("is one line when both are at one address, and two when the registry is on one master only")
    func entries() {
        #expect(
            lines(apiServer: "127.0.0.1", registry: "127.0.0.1")
                == [.init(address: "127.0.0.1", names: ["apiserver.cluster.local", "sea.hub"])])
        #expect(
            lines(apiServer: "127.0.0.1", registry: "10.0.0.2") == [
                .init(address: "127.0.0.1", names: ["apiserver.cluster.local"]),
                .init(address: "10.0.0.2", names: ["sea.hub"]),
            ])
    }
}
