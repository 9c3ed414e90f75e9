import Clusterfile
import FoundationEssentials
import Remote
import Report
import Synchronization
import SystemPackage
import Testing
import X509
import YAML

@testable import ClusterRuntime

@Suite("A node takes another configuration")
struct ReconfigurationTests {
    private static let configuration = "/var/lib/kubelet/config.yaml"
    private static let flags = "/var/lib/kubelet/kubeadm-flags.env"
    private static let socket = "/etc/sealerio/cri/socket-path"
    private static let keptKubelet = "/etc/sealer/kubelet-before.json"
    private static let oldFlags =
        "KUBELET_KUBEADM_ARGS=\"--cgroup-driver=cgroupfs --container-runtime=remote "
        + "--container-runtime-endpoint=/run/c.sock --node-ip=10.0.0.2\"\n"

    private func kubeadm() throws -> Kubeadm {
        try Kubeadm(.demo())
    }

    private func node(_ host: ScriptedNode, _ role: ClusterNode.Role) throws -> ClusterNode {
        ClusterNode(host: host, facts: try ScriptedNode.facts(host.name), role: role, address: "10.0.0.2")
    }

    // MARK: - kubelet

    /// A worker whose kubelet runs with what its configuration says, unless that is `bad`.
    private func worker(_ old: String, cluster new: String) -> ScriptedNode {
        ScriptedNode("n", files: [Self.configuration: old, Self.flags: Self.oldFlags, Self.socket: "/run/c.sock"]) {
            command, files in
            let words = command.words
            let isBad = String(decoding: files[Self.configuration] ?? Data(), as: UTF8.self).contains("bad")
            if words.contains("phase kubelet-config") {
                files[Self.configuration] = Data(new.utf8)
                return .succeeded("[kubelet-start] Writing\n")
            }
            if words.contains("systemctl start kubelet") { return .succeeded("1000 2026-01-01T00:00:05Z\n") }
            if words.contains("/healthz") { return .succeeded(isBad ? "NRestarts=3\nunwell\n" : "NRestarts=0\nwell\n") }
            if words.contains("journalctl") {
                return .succeeded(
                    "I0101 fine\nF0101 00:00:06 1 server.go:1] invalid configuration: maxPods\ngoroutine\n")
            }
            return .failed("what is \(words)?")
        }
    }

    private func master(_ reports: [String]) -> ScriptedNode {
        let left = Mutex(reports)
        return ScriptedNode("m", files: [:]) { command, _ in
            guard command.words.contains("get node n") else { return .failed("what is \(command.words)?") }
            return .succeeded(left.withLock { $0.count > 1 ? $0.removeFirst() : $0.first ?? "" })
        }
    }

    @Test("kubelet is started with it, and counts as done only when it has reported since")
    func kubelet() async throws {
        let host = worker("maxPods: 110\n", cluster: "maxPods: 77\n")
        let master = master([
            "True 2026-01-01T00:00:01Z", "True 2026-01-01T00:00:04Z", "False 2026-01-01T00:00:05Z",
            "True 2026-01-01T00:00:06Z",
        ])
        let runtime = try kubeadm()
        let (worker, first) = (try node(host, .node), try node(master, .master))
        try await SilentProgress().step("") {
            try await runtime.reconfigureKubelet(of: worker, through: first, step: $0)
        }
        #expect(host.files[Self.configuration] == "maxPods: 77\n")
        #expect(host.files[Self.flags] == Self.oldFlags)
        #expect(host.files[Self.keptKubelet] == nil)
        // One look before, three after.
        #expect(master.commands.count == 4)
    }

    @Test("kubelet that does not come up gets its former configuration back, and the failure says why")
    func badKubelet() async throws {
        let host = worker("maxPods: 110\n", cluster: "bad: true\n")
        let runtime = try kubeadm()
        let (worker, first) = (try node(host, .node), try node(master(["True 2026-01-01T00:00:01Z"]), .master))
        let failure = await #expect(throws: Failure.self) {
            try await SilentProgress().step("") {
                try await runtime.reconfigureKubelet(of: worker, through: first, step: $0)
            }
        }
        #expect(host.files[Self.configuration] == "maxPods: 110\n")
        #expect(host.files[Self.keptKubelet] == nil)
        #expect(failure?.what.contains("invalid configuration: maxPods") == true)
        #expect(failure?.what.contains("brought back, and kubelet runs") == true)
        #expect(failure?.what.contains("goroutine") == false)
        #expect(host.commands.filter { $0.words.contains("systemctl start kubelet") }.count == 2)
    }

    @Test("after an interruption the configuration that worked is the one that is brought back")
    func interrupted() async throws {
        let host = worker("bad: interrupted\n", cluster: "bad: true\n")
        let former = FormerFiles(
            files: [.init(path: Self.configuration, content: Data("maxPods: 110\n".utf8), permissions: 0o644)])
        try await host.writeFile(FormerFiles.place("kubelet"), try JSONEncoder().encode(former), permissions: 0o600)
        let runtime = try kubeadm()
        let (worker, first) = (try node(host, .node), try node(master(["True 2026-01-01T00:00:01Z"]), .master))
        await #expect(throws: Failure.self) {
            try await SilentProgress().step("") {
                try await runtime.reconfigureKubelet(of: worker, through: first, step: $0)
            }
        }
        #expect(host.files[Self.configuration] == "maxPods: 110\n")
    }

    @Test("a log's telling lines are its fatal ones, each once; else its errors; else its last")
    func log() {
        #expect(
            Kubeadm.tellingLines("F0101 a 1 x.go:1] one\nE0101 b\nF0102 b 2 x.go:1] one\nError: unknown flag\nrest\n")
                == ["F0102 b 2 x.go:1] one", "Error: unknown flag"])
        #expect(Kubeadm.tellingLines("I0101 a\nE0101 b\nFine words\n") == ["E0101 b"])
        #expect(Kubeadm.tellingLines("a\nb\n") == ["a", "b"])
        #expect(Kubeadm.withoutLogHead("2026-01-01T00:00:00.1Z stderr F Error: a b") == "Error: a b")
        #expect(Kubeadm.withoutLogHead("a b c d") == "a b c d")
    }

    // MARK: - The control plane

    /// A master whose kubeadm writes a manifest with the flag, and whose API server shows it at the second look; with the flag
    /// `bad` it does not answer.
    ///
    /// - Parameter logs: the number of restarts and the lines that a component's newest log has then, one after the other.
    private func controlPlane(_ old: String, _ new: String, logs: [String: [String]] = [:]) -> ScriptedNode {
        let files =
            Kubeadm.controlPlaneFiles.map { ($0.string, StaticPodTests.manifest(old)) } + [(Self.socket, "/run/c.sock")]
        let looks = Mutex(0)
        let left = Mutex(logs)
        return ScriptedNode("m", files: Dictionary(uniqueKeysWithValues: files)) { command, files in
            let words = command.words
            if words.contains("phase control-plane all") {
                for file in Kubeadm.controlPlaneFiles {
                    files[file.string] = Data(StaticPodTests.manifest(new).utf8)
                }
                looks.withLock { $0 = 1 }
                return .succeeded()
            }
            let present = String(decoding: files[Kubeadm.controlPlaneFiles[0].string] ?? Data(), as: UTF8.self)
            if words.contains("/readyz") {
                return words.contains("--server=https://10.0.0.2:6443") && !present.contains("bad")
                    ? .succeeded("ok") : .failed("connection refused")
            }
            if words.contains("get pods") {
                let isStale = looks.withLock { count in
                    if count > 0 { count += 1 }
                    return count < 4
                }
                let items = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"].map {
                    StaticPodTests.mirror(isStale ? old : new, hash: isStale ? "1" : "2", component: $0)
                }
                return .succeeded("{\"items\":[\(items.joined(separator: ","))]}")
            }
            if words.contains("/var/log/pods"), let component = command.environment["COMPONENT"] {
                return .succeeded(
                    left.withLock { logs in
                        let log = logs[component]?.first ?? ""
                        if let count = logs[component]?.count, count > 1 { logs[component]?.removeFirst() }
                        return log
                    })
            }
            return .failed("what is \(words)?")
        }
    }

    @Test("the control plane counts as done only when its pods are those of the new files")
    func controlPlane() async throws {
        let host = controlPlane("v=1", "v=2")
        let runtime = try kubeadm()
        let master = try node(host, .master)
        try await SilentProgress().step("") {
            try await runtime.reconfigureControlPlane(of: master, certificates: [], step: $0)
        }
        #expect(host.files[Kubeadm.controlPlaneFiles[0].string] == StaticPodTests.manifest("v=2"))
        #expect(host.commands.filter { $0.words.contains("get pods") }.count == 4)
        #expect(host.files["/etc/sealer/control-plane-before.json"] == nil)
        #expect(host.files["/etc/kubernetes/sealer-kubeadm.yaml"] == nil)
    }

    private static let keptControlPlane = "/etc/sealer/control-plane-before.json"

    private func reconfigureControlPlane(_ host: ScriptedNode) async throws -> Failure? {
        let runtime = try kubeadm()
        let master = try node(host, .master)
        return await #expect(throws: Failure.self) {
            try await SilentProgress().step("") {
                try await runtime.reconfigureControlPlane(of: master, certificates: [], step: $0)
            }
        }
    }

    @Test(
        "an API server that refuses its arguments is not waited for: its former manifests come back, and the failure says why"
    )
    func refusedArgument() async throws {
        let complaint = "2026-01-01T00:00:00.1Z stderr F Error: invalid argument \"1\" for \"--bad\" flag: no number\n"
        let host = controlPlane(
            "v=1", "bad=1",
            // The former pod's, what is there while it has not been started anew yet, and what may be over in a while.
            logs: [
                "kube-apiserver": [
                    "3\n2026-01-01T00:00:00.1Z stderr F Error: unknown flag: --other\n", "0\n\(complaint)",
                    "1\n2026-01-01T00:00:00.1Z stderr F Error: context deadline exceeded\n",
                    "1\n2026-01-01T00:00:00.1Z stderr F I0101 starting\n\(complaint)",
                ]
            ])
        let failure = try #require(try await reconfigureControlPlane(host))
        #expect(failure.kind == .commandFailed)
        #expect(failure.what.hasPrefix("kube-apiserver does not start with its new configuration: invalid argument"))
        #expect(failure.what.contains("was brought back, and the API server answers"))
        #expect(failure.what.contains("ended with:\nI0101 starting\nError: invalid argument"))
        #expect(failure.remedy?.contains("in the Clusterfile") == true)
        for file in Kubeadm.controlPlaneFiles { #expect(host.files[file.string] == StaticPodTests.manifest("v=1")) }
        #expect(host.files[Self.keptControlPlane] == nil)
    }

    @Test(
        "after an interruption the manifests that worked are those that are brought back, with the log of who refuses")
    func refusedAfterInterruption() async throws {
        let host = controlPlane(
            "bad=0", "bad=1",
            logs: [
                "kube-apiserver": ["0\n2026-01-01T00:00:00.1Z stderr F I0101 fine\n"],
                "kube-scheduler": ["2\n2026-01-01T00:00:00.1Z stderr F Error: unknown flag: --bad\n"],
            ])
        let former = FormerFiles(
            files: Kubeadm.controlPlaneFiles.map {
                .init(path: $0.string, content: Data(StaticPodTests.manifest("v=1").utf8), permissions: 0o600)
            })
        try await host.writeFile(
            FormerFiles.place(Kubeadm.controlPlanePurpose), try JSONEncoder().encode(former), permissions: 0o600)
        let failure = try #require(try await reconfigureControlPlane(host))
        #expect(failure.what.hasPrefix("kube-scheduler does not start with its new configuration: unknown flag: --bad"))
        #expect(failure.what.contains("the log of kube-scheduler ended with:\nError: unknown flag: --bad"))
        for file in Kubeadm.controlPlaneFiles { #expect(host.files[file.string] == StaticPodTests.manifest("v=1")) }
        #expect(host.files[Self.keptControlPlane] == nil)
    }

    @Test("what was waited for in vain is taken back too, and the failure has the last lines of the API server's log")
    func takenBack() async throws {
        let lines = (1...9).map { "2026-01-01T00:00:00.1Z stderr F line \($0)\n" }.joined()
        let host = controlPlane("v=1", "bad=1", logs: ["kube-apiserver": ["1\n\(lines)"]])
        let former = try await FormerFiles.keep(
            Kubeadm.controlPlaneFiles, for: Kubeadm.controlPlanePurpose, on: host)
        for file in Kubeadm.controlPlaneFiles {
            try await host.writeFile(file, Data(StaticPodTests.manifest("bad=1").utf8), permissions: 0o600)
        }
        #expect(host.files[Self.keptControlPlane] != nil)
        let failure = try await kubeadm().takeBack(
            former, for: Kubeadm.controlPlanePurpose, on: try node(host, .master),
            after: Failure(.timeout, "it did not come", at: "m"), of: "kube-apiserver")
        #expect(failure.kind == .timeout && failure.what.hasPrefix("it did not come; "))
        #expect(failure.what.contains("and the API server answers"))
        #expect(failure.what.contains("ended with:\nline 5\nline 6\nline 7\nline 8\nline 9"))
        for file in Kubeadm.controlPlaneFiles { #expect(host.files[file.string] == StaticPodTests.manifest("v=1")) }
        #expect(host.files[Self.keptControlPlane] == nil)
    }

    @Test(
        "only what a component says of an argument that it has ends the wait",
        arguments: [
            ("Error: unknown flag: --bad", true), ("Error: unknown flag: --also", true),
            ("Error: unknown flag: --ba", false), ("Error: unknown flag: --other", false),
            ("Error: invalid argument \"1,2\" for \"--bad\" flag: no number", true),
            ("Error: invalid argument \"3\" for \"--bad\" flag: no number", false),
            ("flag provided but not defined: -bad", true), ("flag provided but not defined: -other", false),
            ("invalid value \"1,2\" for flag -bad: parse error", true),
            ("invalid value \"3\" for flag -bad: parse error", false),
            ("Error: context deadline exceeded", false), ("Error: --bad", false), ("unknown flag: --bad", false),
            ("", false),
        ])
    func complaint(line: String, isOne: Bool) {
        #expect(Kubeadm.isComplaint(line, of: ["kube-apiserver", "--bad=1,2", "--also"]) == isOne)
    }

    @Test("the API server's certificate is replaced when its names are other ones, and only then")
    func certificates() async throws {
        let folder = CertificateFile.kubeadmFolder
        let host = controlPlane("v=1", "v=1")
        let master = try node(host, .master)
        let authorities = try ClusterAuthorities(years: 1)
        func reconfigure(_ names: [String], domain: String = "cluster.local") async throws {
            var settings = try kubeadm().settings
            settings.certificateNames = names
            settings.kubeadmDocuments = [
                KubeadmDocument(
                    kind: .clusterConfiguration, fields: ["networking": ["dnsDomain": YAMLNode(domain)]])
            ]
            let runtime = try Kubeadm(settings)
            let files = try runtime.certificates(of: master, under: authorities, years: 1)
            try await SilentProgress().step("") {
                try await runtime.reconfigureControlPlane(of: master, certificates: files, step: $0)
            }
        }
        func present(_ name: String) -> String? { host.files[folder.appending(name).string] }
        try await reconfigure([])
        let first = try #require(present("apiserver.crt"))
        try await reconfigure([])
        #expect(present("apiserver.crt") == first)
        let key = present("apiserver.key")
        try await reconfigure(["api.example.org", "10.9.9.9"])
        #expect(present("apiserver.crt") != first)
        #expect(present("apiserver.key") != key)
        #expect(present("apiserver-kubelet-client.crt") == nil)
        #expect(host.commands.contains { $0.words.contains("--tls-server-name=api.example.org") })
        // As after an interruption between key and certificate.
        try await host.writeFile(folder.appending("apiserver.crt"), Data(first.utf8), permissions: 0o644)
        try await reconfigure(["api.example.org", "10.9.9.9"])
        #expect(present("apiserver.crt") != first)
        try await host.writeFile(folder.appending("apiserver.crt"), Data("no certificate".utf8), permissions: 0o644)
        try await reconfigure(["api.example.org"])
        let last = try #require(present("apiserver.crt"))
        #expect(last.contains("BEGIN CERTIFICATE"))
        // An earlier sealer made it for cluster.local, whatever the domain was.
        try await reconfigure(["api.example.org"], domain: "corp.example")
        let names = try CertificateFile.names(inPEM: Data(try #require(present("apiserver.crt")).utf8))
        let earlier = try CertificateFile.names(inPEM: Data(last.utf8))
        #expect(names.subtracting(earlier) == [.dnsName("kubernetes.default.svc.corp.example")])
        #expect(earlier.subtracting(names) == [.dnsName("kubernetes.default.svc.cluster.local")])
        #expect(
            host.commands.contains { $0.words.contains("--tls-server-name=kubernetes.default.svc.corp.example") })
    }

    @Test("what concerns kube-proxy starts it anew, and waits for all of its pods")
    func kubeProxy() async throws {
        let looks = Mutex(["2,1,2,0,2", "2,2,2,2,", "2,2,2,2,2"])
        let host = ScriptedNode("m", files: [Self.socket: "/run/c.sock"]) { command, _ in
            let words = command.words
            if words.contains("jsonpath") {
                return .succeeded(looks.withLock { $0.count > 1 ? $0.removeFirst() : $0.first ?? "" })
            }
            return .succeeded(words.contains("--output=name") ? "daemonset.apps/kube-proxy" : "")
        }
        let runtime = try kubeadm()
        let master = try node(host, .master)
        try await SilentProgress().step("") { try await runtime.uploadConfiguration([], through: master, step: $0) }
        #expect(
            host.commands.map { $0.arguments.prefix(5).joined(separator: " ") } == [
                "kubeadm init phase upload-config all"
            ])
        try await SilentProgress().step("") {
            try await runtime.uploadConfiguration([.kubeProxy, .dns], through: master, step: $0)
        }
        #expect(host.commands.contains { $0.words.contains("rollout restart daemonset/kube-proxy") })
        #expect(host.commands.filter { $0.words.contains("jsonpath") }.count == 3)
        // The image has no CoreDNS.
        #expect(!host.commands.contains { $0.words.contains("coredns") })
    }
}
