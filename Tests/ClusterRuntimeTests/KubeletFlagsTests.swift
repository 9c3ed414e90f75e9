import TestSupport
import Testing

@testable import ClusterRuntime

@Suite("kubelet's flags as kubeadm writes them")
struct KubeletFlagsTests {
    private static let written = """
        KUBELET_KUBEADM_ARGS="--cgroup-driver=cgroupfs --container-runtime=remote \
        --container-runtime-endpoint=/run/c.sock --node-ip=10.0.0.2"

        """

    @Test("come back as they were written")
    func same() throws {
        let flags = try #require(KubeletFlags(parsing: Self.written))
        #expect(flags.text == Self.written)
        #expect(flags.contains("node-ip") && !flags.contains("node"))
        #expect(
            KubeletFlags(parsing: "# mine\nA=b\n KUBELET_KUBEADM_ARGS=--v=2\n")?.flags == [.init(name: "v", value: "2")]
        )
        #expect(
            KubeletFlags(parsing: "KUBELET_KUBEADM_ARGS='--v 2 --x'")?.flags == [
                .init(name: "v", value: "2"), .init(name: "x"),
            ])
        #expect(KubeletFlags(parsing: "KUBELET_EXTRA_ARGS=--v=2\n") == nil)
        #expect(KubeletFlags(parsing: "") == nil)
    }

    @Test("keep what kubeadm set by itself, and have nothing else but what is wanted")
    func wanted() throws {
        let old = try #require(
            KubeletFlags(
                parsing:
                    #"KUBELET_KUBEADM_ARGS="--bogus=1 --container-runtime-endpoint=/x --hostname-override=m --resolv-conf=/r --v=9""#
            ))
        let flags = old.with(
            [("node-ip", ["10.0.0.2"]), ("resolv-conf", ["/mine"]), ("taint", ["a", "b"])],
            registered: [("container-runtime", "remote"), ("container-runtime-endpoint", "/run/c.sock")])
        #expect(
            flags.text == """
                KUBELET_KUBEADM_ARGS="--container-runtime=remote --container-runtime-endpoint=/run/c.sock \
                --hostname-override=m --node-ip=10.0.0.2 --resolv-conf=/mine --taint=a --taint=b"

                """)
        #expect(!flags.with([("node-ip", ["10.0.0.2"])], registered: []).contains("taint"))
    }

    @Test("are kubeadm's own for a node that joined, after nothing was changed")
    func unchanged() throws {
        let configuration = try KubeadmConfiguration(kubeadmSettings(KubernetesVersion(1, 20, 2)))
        let node = kubeadmNode("n")
        let old = try #require(
            KubeletFlags(parsing: Self.written.replacing("/run/c.sock", with: node.runtime.socket)))
        let flags = old.with(
            try configuration.kubeletArguments(of: node, .joined), registered: configuration.runtimeFlags(of: node))
        #expect(flags.text == old.text)
        #expect(try configuration.kubeletArguments(of: node, .initialised).map(\.name) == ["node-ip"])
    }

    @Test("come back whatever they are", arguments: 0..<50)
    func random(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let letters = Array("ab=-\"'\\/:,.é$%{")
        let flags = (0..<Int.random(in: 1...8, using: &random)).map { number in
            KubeletFlags.Flag(
                name: "\(Character(UnicodeScalar(UInt8(97 + number))))n",
                value: String(
                    (0..<Int.random(in: 0...9, using: &random)).map { _ in letters.randomElement(using: &random) ?? "a"
                    }))
        }
        let text = KubeletFlags(flags: flags.shuffled(using: &random)).text
        #expect(KubeletFlags(parsing: text)?.flags == flags)
    }

    @Test("are read from any bytes without harm", arguments: 0..<50)
    func bytes(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let pieces = ["KUBELET_KUBEADM_ARGS=", "\"", "'", "\\", " ", "--", "=", "\n", "a", "é"]
        let text = (0..<40).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
        guard let flags = KubeletFlags(parsing: text) else { return }
        // Once written, it stays.
        let written = flags.with(flags.flags.map { ($0.name, [$0.value ?? ""]) }, registered: []).text
        #expect(KubeletFlags(parsing: written)?.text == written)
    }
}
