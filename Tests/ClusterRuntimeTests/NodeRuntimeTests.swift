import Report
import TestSupport
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

    @Test(
        "says the driver of the default runtime, or of runc, however it is written",
        arguments: [
            ("[plugins.P.containerd.runtimes.runc]\noptions = { SystemdCgroup = true }", true),
            ("[plugins.P.containerd.runtimes.runc]\noptions = {BinaryName=\"/x\",SystemdCgroup=true} # {", true),
            ("[plugins.P.containerd.runtimes.runc]\noptions = { SystemdCgroup = false } # true", false),
            ("[plugins.P.containerd.runtimes]\nrunc = { type = 'x', options = { SystemdCgroup = true } }", true),
            ("[plugins.P]\ncontainerd.runtimes.\"runc\".options.SystemdCgroup = true", true),
            ("[ plugins . P . containerd.runtimes.runc.options ] # the driver\r\n\tSystemdCgroup\t= true\r", true),
            ("[plugins.P.containerd.runtimes.runc.options]\n#SystemdCgroup = true\nSystemdCgroup = false", false),
            // Another runtime's, the registry's, and what is in a text.
            (
                "[plugins.P.containerd.runtimes.kata.options]\nSystemdCgroup = true\n"
                    + "[plugins.P.containerd.runtimes.runc.options]\nSystemdCgroup = false", false
            ),
            (
                "[plugins.P.containerd.runtimes.runc.options]\nSystemdCgroup = true\n"
                    + "[plugins.P.containerd.runtimes.kata.options]\nSystemdCgroup = false", true
            ),
            (
                "[plugins.P.containerd]\ndefault_runtime_name = \"nvidia\"\n"
                    + "[plugins.P.containerd.runtimes.runc.options]\nSystemdCgroup = false\n"
                    + "[plugins.P.containerd.runtimes.nvidia.options]\nSystemdCgroup = true", true
            ),
            (
                "[plugins.P.containerd]\ndefault_runtime_name = \"kata\"\n"
                    + "[plugins.P.containerd.runtimes.runc.options]\nSystemdCgroup = true", true
            ),
            ("[plugins.P.registry]\nSystemdCgroup = true", false), ("SystemdCgroup = true", false),
            ("[plugins.P.containerd.runtimes.runc.options]\nRoot = \"\"\"\nSystemdCgroup = true\n\"\"\"", false),
            ("[plugins.P.containerd.runtimes.runc.options]\nRoot = '# \\'\nSystemdCgroup = true", true),
            ("[plugins.P.containerd.runtimes.runc.options]\nRoot = \"# \\\"\"\nSystemdCgroup = true", true),
            (
                "imports = [\n  'a', # ]\n  [\"b]\"],\n]\n[plugins.P.containerd.runtimes.runc.options]\n"
                    + "Args = [\"x\"]\nSystemdCgroup = true", true
            ),
        ])
    func writing(text: String, usesSystemd: Bool) async throws {
        for plugin in ["\"io.containerd.grpc.v1.cri\"", "'io.containerd.cri.v1.runtime'", "cri"] {
            let driver = try await runtime(
                text.replacing("P.", with: "\(plugin).").replacing("P]", with: "\(plugin)]")
                    .replacing("P .", with: "\(plugin) .")
            ).cgroupDriver
            #expect(driver == (usesSystemd ? "systemd" : "cgroupfs"), "\(plugin)")
        }
    }

    @Test("is read to the end, whatever stands there")
    func garbage() {
        var random = SeededGenerator(seed: 31)
        let pieces = [
            "[", "]", "{", "}", "=", ",", ".", "\"", "'", "\"\"\"", "#", "\n", " ", "\\", "SystemdCgroup", "true", "a",
        ]
        for _ in 0..<3000 {
            let text = (0..<30).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
            #expect(ContainerdConfiguration(text).cgroupDriver == "cgroupfs")
        }
        let deep = String(repeating: "[", count: 100_000)
        #expect(ContainerdConfiguration("a = \(deep)").cgroupDriver == "cgroupfs")
        #expect(ContainerdConfiguration("a = \(deep.replacing("[", with: "{a="))").cgroupDriver == "cgroupfs")
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
