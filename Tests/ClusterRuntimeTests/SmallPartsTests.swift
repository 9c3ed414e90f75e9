import Clusterfile
import FoundationEssentials
import Remote
import Report
import SystemPackage
import Testing

@testable import ClusterRuntime

@Suite("Kubernetes versions")
struct KubernetesVersionTests {
    @Test(
        "are read with their decorations",
        arguments: [
            ("v1.20.2", KubernetesVersion(1, 20, 2)), ("1.9.11", KubernetesVersion(1, 9, 11)),
            ("v1.31.0-rc.1", KubernetesVersion(1, 31, 0)), ("v1.28.5+k3s1", KubernetesVersion(1, 28, 5)),
        ])
    func parse(text: String, version: KubernetesVersion) throws {
        #expect(try KubernetesVersion(parsing: text) == version)
    }

    @Test("that are none are refused", arguments: ["", "v", "1.20", "latest", "v1.x.2", "1..2"])
    func refused(text: String) {
        #expect(throws: Failure.self) { try KubernetesVersion(parsing: text) }
    }

    @Test(
        "choose kubeadm's API by number, not by text",
        arguments: [
            (KubernetesVersion(1, 15), "kubeadm.k8s.io/v1beta2"),
            (KubernetesVersion(1, 21, 14), "kubeadm.k8s.io/v1beta2"),
            (KubernetesVersion(1, 22), "kubeadm.k8s.io/v1beta3"),
            (KubernetesVersion(1, 30, 9), "kubeadm.k8s.io/v1beta3"),
            (KubernetesVersion(1, 31), "kubeadm.k8s.io/v1beta4"),
        ])
    func api(version: KubernetesVersion, api: String) throws {
        #expect(try version.kubeadmAPI.rawValue == api)
    }

    @Test(
        "have their images under the name that their kubeadm asks for",
        arguments: [
            (KubernetesVersion(1, 20, 2), false), (KubernetesVersion(1, 21, 14), false),
            (KubernetesVersion(1, 22, 16), false), (KubernetesVersion(1, 22, 17), true),
            (KubernetesVersion(1, 23, 14), false), (KubernetesVersion(1, 23, 15), true),
            (KubernetesVersion(1, 24, 8), false), (KubernetesVersion(1, 24, 9), true),
            (KubernetesVersion(1, 25), true), (KubernetesVersion(1, 34, 1), true),
        ])
    func repository(version: KubernetesVersion, isRenamed: Bool) {
        #expect(version.defaultImageRepository == (isRenamed ? "registry.k8s.io" : "k8s.gcr.io"))
    }

    @Test("before 1.15 are not installed")
    func tooOld() {
        #expect(throws: Failure.self) { _ = try KubernetesVersion(1, 9, 11).kubeadmAPI }
    }
}

@Suite("The hosts file")
struct HostsFileTests {
    @Test("a block in /etc/hosts whose end is lost takes no line of the user's with it")
    func hostsFileWithoutEnd() {
        let begin = "# begin: names of the sealer cluster\n"
        let entries = "10.0.0.2\tapiserver.cluster.local\n10.0.0.2\tsea.hub db\nfd00::2\tdb-0\n"
        let users = [
            "10.0.0.9 shop\n10.0.0.8\ttab\n", "# mine\n10.0.0.8\ttab\n", "127.0.0.1\tlocalhost\n", "10.0.0.9\t\tshop\n",
            "10.0.0.9\tshop # mine\n", "\n10.0.0.8\ttab\n", "shop\t10.0.0.9\n",
        ]
        let before = "127.0.0.1 localhost\n"
        for user in users {
            let old = before + begin + entries + user
            #expect(HostsFile.text(old, with: []) == before + user)
            let new = HostsFile.text(old, with: [.init(address: "10.0.0.3", names: ["a"])])
            #expect(new == before + user + begin + "10.0.0.3\ta\n# end: names of the sealer cluster\n")
            #expect(HostsFile.text(new, with: []) == before + user)
            // A whole block behind it has an end of its own.
            #expect(HostsFile.text(old + new.dropFirst((before + user).count), with: []) == before + user)
        }
        #expect(HostsFile.text(before + begin + entries, with: []) == before)
        #expect(HostsFile.text(before + begin, with: []) == before)
    }

    @Test("keeps what is there, and its block once")
    func block() {
        let old = "127.0.0.1\tlocalhost\n\n172.18.0.2\tdemo\n"
        let once = HostsFile.text(old, with: [.init(address: "172.18.0.2", names: ["a", "b"])])
        #expect(once.hasPrefix("127.0.0.1\tlocalhost\n\n172.18.0.2\tdemo\n#"))
        #expect(once.contains("\n172.18.0.2\ta b\n"))
        #expect(HostsFile.text(once, with: [.init(address: "172.18.0.2", names: ["a", "b"])]) == once)
        let moved = HostsFile.text(once, with: [.init(address: "172.18.0.9", names: ["a"])])
        #expect(!moved.contains("172.18.0.2\ta b"))
        #expect(HostsFile.text(moved, with: []) == old)
    }

    @Test("comes back to the byte when the block goes", arguments: ["", "a\n", "a\n\n\n", "\n\na\n", "a\n\nb\n"])
    func back(old: String) {
        let entries = [HostsFile.Entry(address: "10.0.0.2", names: ["a"])]
        let with = HostsFile.text(old, with: entries)
        #expect(HostsFile.text(with, with: entries) == with)
        #expect(HostsFile.text(with, with: []) == old)
        #expect(HostsFile.text(old, with: []) == old)
    }
}

@Suite("A bootstrap token")
struct BootstrapTokenTests {
    @Test("has Kubernetes' form, and is another one each time")
    func form() {
        let tokens = (0..<100).map { _ in BootstrapToken().text }
        for token in tokens { #expect(token.wholeMatch(of: /[a-z0-9]{6}\.[a-z0-9]{16}/) != nil) }
        #expect(Set(tokens).count == 100)
    }

    @Test("becomes a Secret that names its parts and says in RFC 3339 when it ends")
    func secret() throws {
        struct Secret: Decodable {
            struct Metadata: Decodable { var name: String }
            var metadata: Metadata
            var type: String
            var stringData: [String: String]
        }
        let token = BootstrapToken()
        let start = Date(timeIntervalSince1970: 1_700_000_000)
        let secret = try JSONDecoder().decode(Secret.self, from: token.secret(validFor: .seconds(7200), from: start))
        let parts = token.text.split(separator: ".").map(String.init)
        #expect(secret.metadata.name == "bootstrap-token-\(parts[0])")
        #expect(secret.type == "bootstrap.kubernetes.io/token")
        #expect(secret.stringData["token-id"] == parts[0] && secret.stringData["token-secret"] == parts[1])
        #expect(secret.stringData["expiration"] == "2023-11-15T00:13:20Z")
    }
}

@Suite("What kubectl says")
struct StatusTests {
    @Test("of nodes: ready or why not")
    func nodes() throws {
        let json = #"""
            {"items":[
              {"metadata":{"name":"a","labels":{"node-role.kubernetes.io/master":"","disk":"ssd"}},
               "spec":{"podCIDR":"10.244.0.0/24","unschedulable":true,
                       "taints":[{"key":"k","value":"v","effect":"NoSchedule"},{"key":"a","effect":"NoExecute"}]},
               "status":{"addresses":[{"type":"Hostname","address":"a"},{"type":"InternalIP","address":"10.0.0.2"}],
                         "conditions":[{"type":"Ready","status":"True"}],"nodeInfo":{"kubeletVersion":"v1.20.2"}}},
              {"metadata":{"name":"b"},"spec":{},
               "status":{"conditions":[{"type":"Ready","status":"False","reason":"KubeletNotReady","message":"cni"}]}},
              {"metadata":{"name":"c"},"status":{}},
              {"metadata":{"name":"d"},"spec":{"podCIDR":"fd00:1::/64","podCIDRs":["fd00:1::/64","10.1.0.0/24"]},
               "status":{}}
            ]}
            """#
        let nodes = try NodeStatus.list(fromJSON: Data(json.utf8))
        #expect(nodes.map(\.isReady) == [true, false, false, false])
        #expect(nodes[0].podNetwork == "10.244.0.0/24")
        #expect(nodes[0].isMaster && !nodes[0].isSchedulable && nodes[0].address == "10.0.0.2")
        #expect(nodes[0].labels["disk"] == "ssd" && nodes[0].taints == ["a:NoExecute", "k=v:NoSchedule"])
        #expect(!nodes[1].isMaster && nodes[1].isSchedulable && nodes[1].address == nil)
        #expect(nodes[1].reason == "KubeletNotReady: cni")
        #expect(nodes[3].podNetwork == "fd00:1::/64,10.1.0.0/24")
        #expect(nodes[2].reason == "kubelet has not reported yet")
    }

    @Test("that was said before kubelet was started counts no more; both times are cut to seconds")
    func staleness() throws {
        let json = #"""
            {"items":[{"metadata":{"name":"a"},"status":{"conditions":[
              {"type":"Ready","status":"True","lastHeartbeatTime":"2023-11-14T22:13:20Z"}]}}]}
            """#
        let node = try #require(try NodeStatus.list(fromJSON: Data(json.utf8)).first)
        #expect(node.reported == 1_700_000_000)
        #expect(!node.isStale(since: nil) && !node.isStale(since: 1_700_000_001) && node.isStale(since: 1_700_000_002))
        #expect(!NodeStatus(name: "b", isReady: false, reported: 0).isStale(since: 10))
        #expect(Kubeadm.start("ActiveEnterTimestampMonotonic=65500000\n100.25 3.1\n1700000100\n") == 1_700_000_065)
        // Long ago, or by another machine's clock.
        #expect(Kubeadm.start("ActiveEnterTimestampMonotonic=5500000\n100.25 3.1\n1700000100\n") == nil)
        #expect(Kubeadm.start("ActiveEnterTimestampMonotonic=500500000\n100.25 3.1\n1700000100\n") == nil)
        // It has not run since the host was started, or nobody knows.
        for text in ["ActiveEnterTimestampMonotonic=0\n100.25 3.1\n1700000100\n", "", "x\ny\nz", "=5\nnan 1\n7\n"] {
            #expect(Kubeadm.start(text) == nil, "\(text)")
        }
    }

    @Test("of a taint that is gone are told from those of a node that is")
    func goneTaints() {
        #expect(Kubeadm.saysThatTaintIsGone("error: taint \"dedicated:NoSchedule\" not found"))
        #expect(!Kubeadm.saysThatTaintIsGone("Error from server (NotFound): nodes \"db-0\" not found"))
        #expect(!Kubeadm.saysThatTaintIsGone("error: etcdserver: request timed out"))
    }

    @Test("of pods: well or why not")
    func pods() throws {
        let json = #"""
            {"items":[
              {"metadata":{"name":"a","namespace":"x"},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}},
              {"metadata":{"name":"b"},"status":{"phase":"Succeeded"}},
              {"metadata":{"name":"c"},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"False"}],
               "containerStatuses":[{"name":"web","state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off"}}}]}},
              {"metadata":{"name":"d"},"status":{"phase":"Pending",
               "conditions":[{"type":"PodScheduled","status":"False","message":"0/1 nodes are available"}]}}
            ]}
            """#
        let pods = try PodStatus.list(fromJSON: Data(json.utf8))
        #expect(pods.map(\.isWell) == [true, true, false, false])
        #expect(pods[0].name == "x/a")
        #expect(pods[2].reason == "Running, web: CrashLoopBackOff: back-off")
        #expect(pods[3].reason == "Pending, 0/1 nodes are available")
    }

    @Test("that is no JSON is an error, not an empty list")
    func garbage() {
        #expect(throws: Failure.self) { try NodeStatus.list(fromJSON: Data("error".utf8)) }
        #expect(throws: Failure.self) { try PodStatus.list(fromJSON: Data()) }
    }
}

@Suite("etcd's members")
struct EtcdMemberTests {
    @Test("are read from etcdctl's JSON, identifiers as etcdctl wants them back")
    func list() throws {
        let json = #"""
            {"header":{"cluster_id":1},"members":[
             {"ID":10276657743932975437,"name":"m-0","peerURLs":["https://10.0.0.2:2380"],"clientURLs":["https://10.0.0.2:2379"]},
             {"ID":5,"peerURLs":["https://[fd00::3]:2380"],"isLearner":true}]}
            """#
        let members = try EtcdMember.list(fromJSON: Data(json.utf8))
        #expect(members.map(\.name) == ["m-0", ""])
        #expect(members[0].identifierInHex == "8e9e05c52164694d")
        #expect(members[0].clientAddress == "https://10.0.0.2:2379")
        #expect(members.map(\.isLearner) == [false, true])
        #expect(members.map(\.peerAddresses) == [["10.0.0.2"], ["fd00::3"]].map { $0.map(EtcdMember.peerAddress) })
        #expect(throws: Failure.self) { try EtcdMember.list(fromJSON: Data("{}".utf8)) }
    }
}

@Suite("An aspect of a node")
struct NodeAspectTests {
    private let aspect = NodeAspect(
        .registry, files: [ManagedFile("/etc/a", Data("a".utf8), permissions: 0o600)], service: "s.service",
        closingFiles: [ManagedFile("/etc/b", Data("b".utf8))])

    @Test("names each thing that is not as it should be")
    func differences() throws {
        let a = try #require(aspect.files[0].state)
        let b = try #require(aspect.closingFiles[0].state)
        let runs = ServiceState(isActive: true, isEnabled: true)
        #expect(aspect.differences(files: ["/etc/a": a, "/etc/b": b], services: ["s.service": runs]) == [])
        #expect(
            aspect.differences(files: [:], services: [:])
                == [
                    "/etc/a is not there", "/etc/b is not there", "s.service does not run",
                    "s.service does not start at boot",
                ])
        let open = FileState(digest: a.digest, permissions: 0o644)
        #expect(
            aspect.differences(files: ["/etc/a": open, "/etc/b": a], services: ["s.service": runs])
                == ["/etc/a has the permissions 644", "/etc/b has another content"])
    }

    @Test("systemd's own words for services are understood")
    func services() {
        let text = """
            Id=a.service
            ActiveState=active
            UnitFileState=enabled

            Id=b.service
            ActiveState=inactive
            UnitFileState=

            """
        #expect(
            ServiceState.list(fromShow: text) == [
                "a.service": ServiceState(isActive: true, isEnabled: true),
                "b.service": ServiceState(isActive: false, isEnabled: false),
            ])
    }
}

@Suite("What kubectl complains of")
struct PassingErrorTests {
    @Test("is asked again when it goes away by itself, and only then")
    func passing() {
        #expect(Kubeadm.isPassing("Error from server: etcdserver: request timed out"))
        #expect(Kubeadm.isPassing("The connection to the server 10.0.0.2:6443 was refused: connection refused"))
        #expect(!Kubeadm.isPassing("Error from server (Forbidden): nodes is forbidden"))
        #expect(!Kubeadm.isPassing("error: unknown flag: --nothing"))
    }
}
