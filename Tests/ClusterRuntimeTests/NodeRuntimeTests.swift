import Report
import Testing

@testable import ClusterRuntime

@Suite("The container runtime that the image's script leaves")
struct NodeRuntimeTests {
    private func runtime(_ configuration: String?, socket: String? = "/run/c.sock\n") async throws
        -> KubeadmConfiguration.NodeRuntime
    {
        var files: [String: String] = [:]
        files["/etc/sealerio/cri/socket-path"] = socket
        files["/etc/containerd/config.toml"] = configuration
        let host = ScriptedNode("n", files: files) { _, _ in .failed("nothing is run") }
        let node = ClusterNode(host: host, facts: try ScriptedNode.facts("n"), role: .node, address: "10.0.0.2")
        return try await NodePreparation(.demo()).runtime(of: node)
    }

    private static func configuration(version: Int, plugin: String, driver: String) -> String {
        """
        version = \(version)
        [plugins.\(plugin).containerd.runtimes.runc]
          runtime_type = "io.containerd.runc.v2"
          [plugins.\(plugin).containerd.runtimes.runc.options]
            \(driver)
        """
    }

    @Test(
        "says which cgroup driver kubelet must use too, in containerd's configurations of 1.x and 2.x",
        arguments: [(2, "\"io.containerd.grpc.v1.cri\""), (3, "'io.containerd.cri.v1.runtime'")])
    func driver(version: Int, plugin: String) async throws {
        for (line, driver) in [
            ("SystemdCgroup = true", "systemd"), ("SystemdCgroup=true # as kubelet", "systemd"),
            ("SystemdCgroup = false", "cgroupfs"), ("SystemdCgroup = false # not true", "cgroupfs"),
            ("# SystemdCgroup = true", "cgroupfs"), ("", "cgroupfs"),
        ] {
            let text = Self.configuration(version: version, plugin: plugin, driver: line)
            #expect(try await runtime(text).cgroupDriver == driver, "\(line)")
        }
        #expect(try await runtime(nil).cgroupDriver == "cgroupfs")
    }

    @Test("says where its socket is, and a script that left no path is told so")
    func socket() async throws {
        #expect(try await runtime(nil).socket == "/run/c.sock")
        #expect(try await runtime(nil, socket: "unix:///run/d.sock").socket == "/run/d.sock")
        for text in [nil, "", "nothing"] {
            let failure = await #expect(throws: Failure.self) { try await runtime(nil, socket: text) }
            #expect(failure?.kind == .commandFailed)
        }
    }
}
