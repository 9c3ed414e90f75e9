import FoundationEssentials
import Remote
import Report
import SystemPackage
import Testing

@testable import ClusterRuntime

@Suite("Where the registry is")
struct RegistryPlaceTests {
    private static let ok = CommandResult(status: 0, output: Data(), error: Data())

    @Test("a balancer leads to all masters' API servers, and only to the registries that there are")
    func backends() throws {
        func text(_ registries: [String]?, _ settings: ClusterSettings = .demo()) throws -> String {
            let aspect = try BalancerService(settings).aspect(
                executable: "/s", masters: ["10.0.0.2", "10.0.0.3"], registries: registries, node: "10.0.0.9")
            return String(decoding: try #require(aspect.files.first).content, as: UTF8.self)
        }
        let all = try text(nil)
        #expect(all.contains("10.0.0.2:5000") && all.contains("10.0.0.3:5000"))
        let one = try text(["10.0.0.3"])
        #expect(!one.contains("10.0.0.2:5000") && one.contains("10.0.0.3:5000"))
        #expect(one.contains("10.0.0.2:6443") && one.contains("10.0.0.3:6443"))
        // Kubernetes 1.15 answers 404 at the path that later ones are asked at.
        #expect(all.contains(#""/readyz""#))
        #expect(try text(nil, .demo(KubernetesVersion(1, 15, 12))).contains(#""/healthz""#))
    }

    @Test("what is left of it is told: files, a service that runs, one that starts at boot")
    func remains() throws {
        #expect(RegistryService.remains(files: [:], services: [:]) == [])
        let state = try #require(ManagedFile("/x", Data()).state)
        #expect(
            RegistryService.remains(
                files: ["/etc/sealer/registry/tls.key": state, "/etc/other": state],
                services: [RegistryService.unit: ServiceState(isActive: true, isEnabled: true)])
                == [
                    "/etc/sealer/registry/tls.key is there", "sealer-registry.service runs",
                    "sealer-registry.service starts at boot",
                ])
    }

    @Test("it is stopped, and a host where it runs still is a failure")
    func withdraws() async throws {
        for isActive in [false, true] {
            let node = ScriptedNode("m", files: [:]) { command, _ in
                guard command.arguments.first == "systemctl" else { return Self.ok }
                let state = isActive ? "active" : "inactive"
                let text = "Id=sealer-registry.service\nActiveState=\(state)\nUnitFileState=\n"
                return CommandResult(status: 0, output: Data(text.utf8), error: Data())
            }
            if isActive {
                let failure = await #expect(throws: Failure.self) { try await RegistryService.withdraw(from: node) }
                #expect(failure?.kind == .integrity)
            } else {
                try await RegistryService.withdraw(from: node)
            }
            let script = node.commands.compactMap(\.input).map { String(decoding: $0, as: UTF8.self) }.joined()
            #expect(script.contains("disable --quiet --now sealer-registry.service"))
        }
    }
}
