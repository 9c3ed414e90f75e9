import FoundationEssentials
import Report
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

    @Test("before 1.15 are not installed")
    func tooOld() {
        #expect(throws: Failure.self) { _ = try KubernetesVersion(1, 9, 11).kubeadmAPI }
    }
}

@Suite("The hosts file")
struct HostsFileTests {
    @Test("keeps what is there, and its block once")
    func block() {
        let old = "127.0.0.1\tlocalhost\n\n172.18.0.2\tdemo\n"
        let once = HostsFile.text(old, with: [("172.18.0.2", ["a", "b"])])
        #expect(once.hasPrefix("127.0.0.1\tlocalhost\n\n172.18.0.2\tdemo\n#"))
        #expect(once.contains("\n172.18.0.2\ta b\n"))
        #expect(HostsFile.text(once, with: [("172.18.0.2", ["a", "b"])]) == once)
        let moved = HostsFile.text(once, with: [("172.18.0.9", ["a"])])
        #expect(!moved.contains("172.18.0.2\ta b"))
        #expect(HostsFile.text(moved, with: []) == old)
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
}

@Suite("What kubectl says")
struct StatusTests {
    @Test("of nodes: ready or why not")
    func nodes() throws {
        let json = #"""
            {"items":[
              {"metadata":{"name":"a"},"spec":{"podCIDR":"10.244.0.0/24"},
               "status":{"conditions":[{"type":"Ready","status":"True"}],"nodeInfo":{"kubeletVersion":"v1.20.2"}}},
              {"metadata":{"name":"b"},"spec":{},
               "status":{"conditions":[{"type":"Ready","status":"False","reason":"KubeletNotReady","message":"cni"}]}},
              {"metadata":{"name":"c"},"status":{}}
            ]}
            """#
        let nodes = try NodeStatus.list(fromJSON: Data(json.utf8))
        #expect(nodes.map(\.isReady) == [true, false, false])
        #expect(nodes[0].podNetwork == "10.244.0.0/24")
        #expect(nodes[1].reason == "KubeletNotReady: cni")
        #expect(nodes[2].reason == "kubelet has not reported yet")
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
