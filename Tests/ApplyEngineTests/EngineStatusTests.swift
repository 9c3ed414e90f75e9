import ClusterRuntime
import FoundationEssentials
import LinuxSystem
import Report
import TestSupport
import Testing

@testable import ApplyEngine
@testable import Simulation

/// What status tells of a simulated cluster when something of it does not answer.
@Suite("The status of a cluster")
struct EngineStatusTests {
    private static let unknown = "answers; Kubernetes does not tell of it"

    @Test("has no problems when everything answers, and tells the drift")
    func fine() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        let status = try await site.status()
        #expect(status.problems == [])
        #expect(status.drift == [])
        #expect(status.isRunning)
        #expect(status.nodes.map(\.state) == ["Ready", "Ready", "Ready"])
        #expect(status.nodes.map(\.name) == ["host-10-0-0-2", "host-10-0-1-1", "host-10-0-1-2"])
        #expect(status.certificates.contains { $0.host == "10.0.0.2" && $0.name == "ca" })
        site.change { $0.machines["10.0.1.1"]?.services = [:] }
        let drifted = try await site.status()
        #expect(drifted.problems == [])
        #expect(drifted.drift?.isEmpty == false)
    }

    @Test("names a worker that cannot be reached, with what Kubernetes says of it, and shows everything else")
    func lostWorker() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        site.kill("10.0.1.2")
        let status = try await site.status()
        #expect(status.problems == ["10.0.1.2: no route to host"])
        #expect(status.drift == [])
        #expect(status.isRunning)
        #expect(
            status.nodes.map(\.state)
                == ["Ready", "Ready", "does not answer; in Kubernetes: not Ready: NodeStatusUnknown"])
        #expect(status.nodes.last?.name == "host-10-0-1-2")
        #expect(status.nodes.last?.version == "v1.20.2")
        #expect(status.certificates.contains { $0.host == "10.0.0.2" && $0.name == "ca" })
        // One that Kubernetes does not know either.
        site.change { $0.nodes["host-10-0-1-2"] = nil }
        let unknown = try await site.status()
        #expect(unknown.nodes.last?.state == "does not answer")
        #expect(unknown.nodes.last?.name == nil)
    }

    @Test("asks another master when one is lost")
    func lostMaster() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path, masters: ["10.0.0.2", "10.0.0.3", "10.0.0.4"])
        site.kill("10.0.0.2")
        let status = try await site.status()
        #expect(status.problems == ["10.0.0.2: no route to host"])
        #expect(status.drift == nil)
        #expect(status.isRunning)
        #expect(
            status.nodes.map(\.state)
                == ["does not answer; in Kubernetes: not Ready: NodeStatusUnknown", "Ready", "Ready", "Ready", "Ready"])
        #expect(Set(status.certificates.map(\.host)) == ["10.0.0.3", "10.0.0.4"])
    }

    @Test("says that Kubernetes cannot be asked when the only master is lost")
    func lostCluster() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        site.kill("10.0.0.2")
        let status = try await site.status()
        #expect(status.problems.count == 2)
        #expect(status.problems.first == "10.0.0.2: no route to host")
        #expect(status.problems.last?.contains("Kubernetes cannot be asked") == true)
        #expect(status.drift == nil)
        #expect(!status.isRunning)
        #expect(status.nodes.map(\.state) == ["does not answer", Self.unknown, Self.unknown])
        #expect(status.certificates.isEmpty)
    }

    @Test("tells in one line that the API server does not answer, without waiting for it")
    func silentServer() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path, masters: ["10.0.0.2", "10.0.0.3", "10.0.0.4"])
        site.change { $0.isAnswering = false }
        let status = try await site.status()
        #expect(status.problems.count == 1, "\(status.problems)")
        let problem = try #require(status.problems.first)
        #expect(problem.contains("API server does not answer") && problem.contains("connection refused"), "\(problem)")
        #expect(problem.contains("10.0.0.4") && !problem.contains("\n"), "\(problem)")
        #expect(status.drift == nil)
        #expect(!status.isRunning)
        #expect(status.nodes.allSatisfy { $0.state == Self.unknown && $0.name != nil })
        #expect(status.certificates.contains { $0.host == "10.0.0.4" && $0.name == "ca" })
    }

    @Test("shows a cluster that would be refused")
    func refused() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        site.change { $0.nodes["host-10-0-1-1"]?.version = "v1.19.0" }
        let status = try await site.status()
        #expect(status.problems.count == 1, "\(status.problems)")
        #expect(status.problems.first?.contains("cannot upgrade") == true, "\(status.problems)")
        #expect(status.drift == nil)
        #expect(status.isRunning)
        #expect(status.nodes.map(\.state) == ["Ready", "Ready", "Ready"])
        #expect(status.nodes.map(\.version) == ["v1.20.2", "v1.19.0", "v1.20.2"])
    }

    @Test("tells of a certificate that cannot be read, and shows the others")
    func brokenCertificate() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        site.change { state in
            state.machines["10.0.0.2"]?.files["/etc/kubernetes/pki/etcd/server.crt"] = .init(
                bytes: Data("nothing".utf8), permissions: 0o644)
        }
        let status = try await site.status()
        #expect(status.problems.count == 1, "\(status.problems)")
        #expect(status.problems.first?.hasPrefix("10.0.0.2: etcd/server: ") == true, "\(status.problems)")
        #expect(status.drift != nil)
        #expect(status.certificates.contains { $0.name == "ca" })
    }

    @Test("tells of the client certificates in kubeconfigs and of kubelet's, which may end first")
    func clientCertificates() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        // openssl's is valid for two days, those of the site for a year at least.
        let test = try await TestCertificate(in: scratch.path)
        let (pem, key) = (try readFile(test.certificate), try readFile(test.key))
        func kubeconfig(_ certificate: String) -> Data {
            Data(
                "users: [{name: a, user: {client-certificate-data: '\(certificate)', client-key-data: c2VjcmV0}}]\n"
                    .utf8)
        }
        site.change { state in
            func put(_ path: String, _ bytes: Data) {
                state.machines["10.0.0.2"]?.files[path] = .init(bytes: bytes, permissions: 0o600)
            }
            put("/etc/kubernetes/admin.conf", kubeconfig(pem.base64EncodedString()))
            put("/etc/kubernetes/scheduler.conf", kubeconfig("-"))
            put("/etc/kubernetes/controller-manager.conf", Data("users: [{secret".utf8))
            // Without one it is no problem, nor when there is no such file.
            put("/etc/kubernetes/super-admin.conf", Data("users: [{name: a, user: {token: secret}}]\n".utf8))
            put("/var/lib/kubelet/pki/kubelet-client-current.pem", key + pem)
        }
        let status = try await site.status()
        #expect(status.certificates.prefix(2).map(\.name) == ["admin.conf", "kubelet-client"])
        #expect(
            status.problems == [
                "10.0.0.2: controller-manager.conf: this is no kubeconfig",
                "10.0.0.2: scheduler.conf: its client-certificate-data is not base64",
            ], "\(status.problems)")
    }

    @Test("fails when no host can be reached, and names them")
    func nothing() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        for address in ["10.0.0.2", "10.0.1.1", "10.0.1.2"] { site.kill(address) }
        let failure = await #expect(throws: Failure.self) { try await site.status() }
        #expect(failure?.kind == .unreachable)
        #expect(failure.map { "\($0)".contains("10.0.1.2: no route to host") } == true)
    }
}
