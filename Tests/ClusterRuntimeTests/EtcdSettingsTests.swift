import FoundationEssentials
import Remote
import Report
import Synchronization
import SystemPackage
import Testing

@testable import ClusterRuntime

@Suite("etcd of a master takes other settings")
struct EtcdSettingsTests {
    private static let manifest = Kubeadm.etcdFiles[0].string
    private static let kept = FormerFiles.place(Kubeadm.etcdPurpose).string
    private static let socket = "/etc/sealerio/cri/socket-path"

    /// The first of two masters. kubeadm writes a manifest with the flag; etcd does not run with one that has the flag `bad`.
    private func master(
        _ old: String, _ new: String, log: String = "", isOtherSilent: Bool = false,
        files more: [String: String] = [:],
        refusal: @escaping @Sendable (_ words: String) -> String? = { _ in nil },
        told: @escaping @Sendable (String) -> Void = { _ in },
        isWell: @escaping @Sendable (_ manifest: String) -> Bool = { !$0.contains("bad") }
    ) -> ScriptedNode {
        let files = [Self.manifest: StaticPodTests.manifest(old), Self.socket: "/run/c.sock"]
        return ScriptedNode("m", files: files.merging(more) { $1 }) { command, files in
            let words = command.words
            if words.contains("phase etcd local") {
                told(String(decoding: files[Kubeadm.configurationFile.string] ?? Data(), as: UTF8.self))
                files[Self.manifest] = Data(StaticPodTests.manifest(new).utf8)
                return .succeeded()
            }
            let present = String(decoding: files[Self.manifest] ?? Data(), as: UTF8.self)
            if words.contains("/readyz") { return isWell(present) ? .succeeded("ok") : .failed("refused") }
            if words.contains("systemctl start kubelet") {
                told("restart")
            }
            if words.contains("get pods") {
                let flag = present.contains(new) ? new : old
                return .succeeded("{\"items\":[\(StaticPodTests.mirror(flag, hash: flag, component: "etcd"))]}")
            }
            if words.contains("etcdctl"), let error = refusal(words) { return .failed(error) }
            if words.contains("member list") {
                let members = ["m", "n"].enumerated().map { number, name in
                    #"{"ID":\#(number + 1),"name":"\#(name)","peerURLs":["https://10.0.0.\#(number + 2):2380"],"#
                        + #""clientURLs":["https://10.0.0.\#(number + 2):2379"]}"#
                }
                let learner = #"{"ID":9,"name":"","peerURLs":["https://10.0.0.4:2380"],"isLearner":true}"#
                return .succeeded("{\"members\":[\((members + [learner]).joined(separator: ","))]}")
            }
            if words.contains("endpoint health") { return isOtherSilent ? .failed("unhealthy") : .succeeded() }
            if words.contains("/var/log/pods") { return .succeeded(log) }
            return words.contains("systemctl start kubelet")
                ? .succeeded("1000 2026-01-01T00:00:05Z\n") : .failed("what is \(words)?")
        }
    }

    private func kubeadm() throws -> Kubeadm {
        try Kubeadm(.demo())
    }

    private func node(_ host: ScriptedNode) throws -> ClusterNode {
        ClusterNode(host: host, facts: try ScriptedNode.facts(host.name), role: .master, address: "10.0.0.2")
    }

    private func reconfigure(_ host: ScriptedNode) async throws {
        let (runtime, master) = (try kubeadm(), try node(host))
        try await SilentProgress().step("") {
            try await runtime.reconfigureEtcd(of: master, among: [master], through: master, step: $0)
        }
    }

    @Test("with all members in its arguments, and nothing is kept afterwards")
    func taken() async throws {
        let told = Mutex("")
        let host = master("v=1", "v=2", told: { text in told.withLock { $0 = text } })
        try await reconfigure(host)
        #expect(host.files[Self.manifest] == StaticPodTests.manifest("v=2"))
        #expect(host.files[Self.kept] == nil)
        let text = told.withLock { $0 }
        #expect(text.contains("m=https://10.0.0.2:2380,n=https://10.0.0.3:2380"), "\(text)")
        #expect(text.contains("initial-cluster-state: existing"), "\(text)")
        // A learner is none of them, and etcd's version stays.
        #expect(!text.contains("10.0.0.4") && text.contains("imageTag: v1.20.2"), "\(text)")
    }

    @Test("also where its container starts just now: etcd is asked again")
    func unknown() async throws {
        let asked = Mutex<[String: Int]>([:])
        let host = master(
            "v=1", "v=2",
            refusal: { words in
                // Each question comes twice: what containerd says is no answer of etcd's, also where etcd may refuse.
                let question = words.contains("member list") ? "members" : "health"
                let times = asked.withLock { asked in
                    asked[question, default: 0] += 1
                    return asked[question]
                }
                return times == 1 ? "ctr: no container of etcd-m runs" : nil
            })
        try await reconfigure(host)
        #expect(host.files[Self.manifest] == StaticPodTests.manifest("v=2"))
        #expect(asked.withLock { $0 } == ["members": 2, "health": 2])
    }

    @Test("not while another member does not answer: nothing is written, nothing kept")
    func silentMember() async throws {
        let host = master("v=1", "v=2", isOtherSilent: true)
        let failure = await #expect(throws: Failure.self) { try await reconfigure(host) }
        #expect(failure?.kind == .conflict && failure?.what.contains("etcd of n does not answer") == true)
        #expect(host.files[Self.manifest] == StaticPodTests.manifest("v=1"))
        #expect(host.files[Self.kept] == nil)
    }

    @Test(
        "an argument that it does not know ends the wait, though its usage fills the log; the former manifest comes back"
    )
    func refused() async throws {
        let usage = (1...20).map { "2026-01-01T00:00:00.1Z stderr F usage \($0)\n" }.joined()
        let log = "1\n2026-01-01T00:00:00.1Z stderr F flag provided but not defined: -bad\n\(usage)"
        let host = master("v=1", "bad=1", log: log)
        let failure = await #expect(throws: Failure.self) { try await reconfigure(host) }
        #expect(
            failure?.what.hasPrefix(
                "etcd does not start with its new configuration: flag provided but not defined: -bad") == true)
        #expect(host.files[Self.manifest] == StaticPodTests.manifest("v=1"))
        #expect(host.files[Self.kept] == nil)
        // The script itself hands on more than the usage.
        #expect(host.commands.contains { $0.words.contains("tail -n 60") })
    }

    @Test("a manifest that is not there is written")
    func missing() async throws {
        let host = master("v=1", "v=2")
        try await host.delete(FilePath(Self.manifest))
        try await reconfigure(host)
        #expect(host.files[Self.manifest] == StaticPodTests.manifest("v=2"))
    }

    @Test("what interrupted changes left comes back on all masters before one is waited for")
    func broughtBack() async throws {
        let former = FormerFiles(
            files: [.init(path: Self.manifest, content: Data(StaticPodTests.manifest("v=1").utf8), permissions: 0o600)])
        let kept = [Self.kept: String(decoding: try JSONEncoder().encode(former), as: UTF8.self)]
        // Two members of etcd have their quorum together only.
        let mended = Mutex<Set<Int>>([])
        let hosts = (0..<2).map { number in
            master(
                "bad=1", "v=2", files: kept,
                told: { if $0 == "restart" { mended.withLock { _ = $0.insert(number) } } },
                isWell: { _ in mended.withLock { $0.count == 2 } })
        }
        let (runtime, masters) = (try kubeadm(), try hosts.map(node))
        for master in masters { #expect(try await runtime.isCut(master)) }
        try await SilentProgress().step("") { try await runtime.bringBackFormerSettings(of: masters, step: $0) }
        for (host, master) in zip(hosts, masters) {
            #expect(host.files[Self.manifest] == StaticPodTests.manifest("v=1"))
            #expect(host.commands.first?.words.contains("systemctl start kubelet") == true)
            #expect(try await !runtime.isCut(master))
        }
    }
}
