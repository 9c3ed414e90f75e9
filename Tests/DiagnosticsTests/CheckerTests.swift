import Diagnostics
import OCI
import Remote
import Testing

@Suite("Checking hosts")
struct CheckerTests {
    private func facts(_ change: (inout HostFacts) -> Void = { _ in }) throws -> HostFacts {
        var facts = HostFacts(
            hostname: "a", kernel: "6.1", operatingSystem: "debian 12", platform: Platform(architecture: "amd64"),
            processors: 2, memory: 8 << 30, hasSwap: false, freeDisk: 50 << 30, addresses: ["10.0.0.1"], cgroups: "v1",
            hasSystemd: true, isContainer: false, capabilities: 0, programs: ["ip", "iptables", "mount", "systemctl"],
            listeningPorts: [22], clock: 1000,
            agentDigest: try Digest("sha256:" + String(repeating: "0", count: 64)), isKubernetesNode: false
        )
        change(&facts)
        return facts
    }

    private func findings(
        _ subjects: [Checker.Subject], kubernetes: Checker.Kubernetes = .init(minor: 20)
    ) -> [Checker.Finding] {
        Checker().check(subjects, neededDisk: 10 << 30, kubernetes: kubernetes, now: 1000)
    }

    @Test("a fit host has no findings")
    func fit() throws {
        #expect(findings([.init(host: "a", facts: try facts(), isMaster: true, registryPort: 5000)]).isEmpty)
    }

    /// Something that a host lacks, and how the finding must name it.
    struct Lack: Sendable {
        var word: String
        var isFatal: Bool
        var change: @Sendable (inout HostFacts) -> Void

        init(_ word: String, isFatal: Bool = true, _ change: @escaping @Sendable (inout HostFacts) -> Void) {
            self.word = word
            self.isFatal = isFatal
            self.change = change
        }
    }

    static let lacks = [
        Lack("systemd") { $0.hasSystemd = false },
        Lack("iptables") { $0.programs = ["ip", "mount", "systemctl"] },
        Lack("member of a cluster") { $0.isKubernetesNode = true },
        Lack("port 6443") { $0.listeningPorts = [6443] },
        Lack("port 5000") { $0.listeningPorts = [5000] },
        Lack("1024 MiB of disk") { $0.freeDisk = 1 << 30 },
        Lack("clock is 4000 s ahead of this machine's") { $0.clock = 5000 },
        Lack("clock is 61 s behind this machine's") { $0.clock = 939.1 },
        Lack("something in /etc/cni/net.d, /var/lib/etcd, it was expected to be empty") {
            $0.occupied = ["/etc/cni/net.d", "/var/lib/etcd"]
        },
        Lack("containerd runs there") { $0.runtimes = ["containerd"] },
        Lack("containerd and dockerd run there") { $0.runtimes = ["containerd", "dockerd"] },
        Lack("kubectl, runc are there already", isFatal: false) { $0.programs += ["runc", "bash", "kubectl"] },
        Lack("processor", isFatal: false) { $0.processors = 1 },
        Lack("memory", isFatal: false) { $0.memory = 1 << 30 },
    ]

    @Test("each lack is found and named", arguments: lacks)
    func lack(_ lack: Lack) throws {
        let found = findings([.init(host: "a", facts: try facts(lack.change), isMaster: true, registryPort: 5000)])
        #expect(found.count == 1)
        #expect(found.first?.message.contains(lack.word) == true)
        #expect(found.first?.isFatal == lack.isFatal)
    }

    @Test("what would be lost is named with what to do, the way to take the host back among it")
    func losses() throws {
        let facts = try facts {
            $0.occupied = ["/var/lib/containerd"]
            $0.runtimes = ["containerd"]
        }
        for isMaster in [true, false] {
            let found = findings([
                .init(host: "a", facts: facts, isMaster: isMaster, resetCommand: "sealer reset a --user ops")
            ])
            #expect(found.count == 2 && found.allSatisfy(\.isFatal), "\(found)")
            #expect(found.allSatisfy { $0.message.contains("take another host") }, "\(found)")
            #expect(found.allSatisfy { $0.message.contains("sealer reset a --user ops") }, "\(found)")
        }
        let short = findings([.init(host: "a", facts: facts, isMaster: true)])
        #expect(short.first?.message.contains("by sealer reset a when") == true, "\(short)")
    }

    @Test("a worker does not need the control plane's ports, but those of its way to the masters")
    func worker() throws {
        func found(_ ports: [UInt16]) throws -> [Checker.Finding] {
            let facts = try facts { $0.listeningPorts = ports }
            return findings([.init(host: "a", facts: facts, isMaster: false, registryPort: 5001)])
        }
        #expect(try found([22, 2379, 2380, 10257, 10259, 5000]).isEmpty)
        for port: UInt16 in [6443, 5001] {
            let seen = try found([port])
            let finding = try #require(seen.first)
            #expect(finding.isFatal)
            #expect(finding.message.contains("port \(port) is taken"))
            #expect(finding.message.contains("a worker's way to the masters"))
        }
        let others = try found([10250])
        let kubelet = try #require(others.first)
        #expect(kubelet.message.contains("port 10250 is taken") && !kubelet.message.contains("way to the masters"))
    }

    @Test(
        "control groups that kubelet of that version does not run on are refused",
        arguments: [
            ("v2", 18, "1.19 or later"), ("v2", 19, nil), ("v2", 35, nil), ("v1", 15, nil), ("v1", 34, nil),
            ("v1", 35, "failCgroupV1"), ("hybrid", 18, nil), ("hybrid", 36, "failCgroupV1"), ("none", 18, nil),
            ("none", 35, nil),
        ] as [(String, Int, String?)])
    func controlGroups(groups: String, minor: Int, hint: String?) throws {
        let facts = try facts { $0.cgroups = groups }
        for isMaster in [true, false] {
            let subject = Checker.Subject(host: "a", facts: facts, isMaster: isMaster)
            let found = findings([subject], kubernetes: .init(minor: minor))
            #expect(found.count == (hint == nil ? 0 : 1) && found.allSatisfy(\.isFatal), "\(found)")
            if let hint { #expect(found.first?.message.contains(hint) == true, "\(found)") }
            // The user's word for version 1 counts, and says nothing of version 2.
            let told = findings([subject], kubernetes: .init(minor: minor, takesControlGroups1: true))
            #expect(told.count == (groups == "v2" ? found.count : 0))
        }
    }

    @Test("a master that does not serve the registry does not need its port")
    func noRegistry() throws {
        let facts = try facts { $0.listeningPorts = [5000] }
        #expect(findings([.init(host: "a", facts: facts, isMaster: true)]).isEmpty)
    }

    @Test(
        "a host name that Kubernetes would change or refuse is refused",
        arguments: [
            ("node1", true), ("a", true), ("7", true), ("db-0.example.org", true),
            (String(repeating: "a", count: 63), true),
            ("Node1", false), ("node_1", false), ("", false), ("(none)", false), ("-a", false), ("a-.b", false),
            ("a..b", false), ("a.", false), ("n\u{f6}de", false), (String(repeating: "a", count: 64), false),
        ])
    func nodeNames(name: String, isFit: Bool) throws {
        let facts = try facts { $0.hostname = name }
        let found = findings([.init(host: "10.0.0.1", facts: facts, isMaster: false)])
        #expect(found.count == (isFit ? 0 : 1) && found.allSatisfy(\.isFatal), "\(found)")
        guard !isFit else { return }
        for words in ["host name \(name) cannot", "hostnamectl set-hostname", "HOSTNAME plugin"] {
            #expect(found.first?.message.contains(words) == true, "\(found)")
        }
    }

    @Test("two hosts of one name are found, both named")
    func names() throws {
        let found = findings([
            .init(host: "10.0.0.1", facts: try facts(), isMaster: true),
            .init(host: "10.0.0.2", facts: try facts(), isMaster: false),
        ])
        #expect(found.map(\.host) == ["10.0.0.1", "10.0.0.2"])
        #expect(found.allSatisfy { $0.isFatal && $0.message.contains("host name a") })
    }
}
