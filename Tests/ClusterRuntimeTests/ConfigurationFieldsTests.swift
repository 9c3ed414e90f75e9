import Clusterfile
import FoundationEssentials
import Report
import TestSupport
import Testing
import YAML

@testable import ClusterRuntime

/// A version for each of kubeadm's APIs: v1beta2, v1beta3, v1beta4.
private let versions = [KubernetesVersion(1, 20, 2), KubernetesVersion(1, 26, 4), KubernetesVersion(1, 31)]

private func fields(_ version: KubernetesVersion, _ overlays: String = "", pods: [String] = ["10.244.0.0/16"]) throws
    -> ConfigurationFields
{
    try ConfigurationFields(kubeadmSettings(version, pods: pods, overlays: overlays))
}

private func changes(_ version: KubernetesVersion, from old: String, to new: String) throws -> [ConfigurationChange] {
    try fields(version, new).changes(from: fields(version, old))
}

@Suite("The fields of a cluster's configuration")
struct ConfigurationFieldsTests {
    @Test("are the whole cluster's, without one node's and without what the image brings", arguments: versions)
    func plain(_ version: KubernetesVersion) throws {
        #expect(
            try fields(version).values == [
                "ClusterConfiguration.apiServer.certSANs":
                    #"["127.0.0.1","api.example.org","apiserver.cluster.local","localhost"]"#,
                "ClusterConfiguration.clusterName": #""demo""#,
                "ClusterConfiguration.controlPlaneEndpoint": #""apiserver.cluster.local:6443""#,
                "ClusterConfiguration.controllerManager.extraArgs.allocate-node-cidrs": #""false""#,
                "ClusterConfiguration.networking.dnsDomain": #""cluster.local""#,
                "ClusterConfiguration.networking.podSubnet": #""10.244.0.0/16""#,
                "ClusterConfiguration.networking.serviceSubnet": #""10.96.0.0/12""#,
                "KubeProxyConfiguration.mode": #""iptables""#,
            ])
    }

    @Test("come out of their text as they went in, and other texts are refused")
    func text() throws {
        let fields = try fields(KubernetesVersion(1, 20), Change.all.map(\.overlay).joined(separator: "\n---\n"))
        #expect(try ConfigurationFields.decode(from: fields.text) == fields)
        #expect(try ConfigurationFields.decode(from: "{}").changes(from: fields).count == fields.values.count)
        for text in ["", "[]", "{", #"{"a":1}"#, "null"] {
            #expect(throws: Failure.self) { try ConfigurationFields.decode(from: text) }
        }
    }

    struct Change: Sendable, CustomTestStringConvertible {
        var overlay: String
        var path: String
        var new: String
        var old: String?
        var part: ConfigurationChange.Part
        var testDescription: String { path }

        init(
            _ overlay: String, _ path: String, _ new: String, was old: String? = nil, _ part: ConfigurationChange.Part
        ) {
            (self.overlay, self.path, self.new, self.old, self.part) = (overlay, path, new, old, part)
        }

        static let all: [Change] = [
            Change(
                "kind: ClusterConfiguration\napiServer: {extraArgs: {audit-log-path: /var/log/audit}}",
                "ClusterConfiguration.apiServer.extraArgs.audit-log-path", #""/var/log/audit""#, .controlPlane),
            Change(
                "kind: ClusterConfiguration\nscheduler: {extraVolumes: [{name: v, hostPath: /a, mountPath: /b}]}",
                "ClusterConfiguration.scheduler.extraVolumes", #"[{"hostPath":"/a","mountPath":"/b","name":"v"}]"#,
                .controlPlane),
            Change(
                "kind: ClusterConfiguration\napiServer: {certSANs: [lb.example.org, localhost]}",
                "ClusterConfiguration.apiServer.certSANs",
                #"["127.0.0.1","api.example.org","apiserver.cluster.local","lb.example.org","localhost"]"#,
                was: #"["127.0.0.1","api.example.org","apiserver.cluster.local","localhost"]"#, .controlPlane),
            Change(
                "kind: ClusterConfiguration\ncontrollerManager: {extraArgs: {allocate-node-cidrs: true}}",
                "ClusterConfiguration.controllerManager.extraArgs.allocate-node-cidrs", #""true""#, was: #""false""#,
                .controlPlane),
            Change(
                "kind: ClusterConfiguration\nfeatureGates: {PublicKeysECDSA: true}",
                "ClusterConfiguration.featureGates.PublicKeysECDSA", "true", .controlPlane),
            Change(
                "kind: ClusterConfiguration\ndns: {imageTag: 1.8.0}", "ClusterConfiguration.dns.imageTag",
                #""1.8.0""#, .dns),
            Change("kind: KubeletConfiguration\nmaxPods: 77", "KubeletConfiguration.maxPods", "77", .kubelet),
            Change(
                "kind: KubeletConfiguration\nevictionHard: {memory.available: 1Gi}",
                #"KubeletConfiguration.evictionHard["memory.available"]"#, #""1Gi""#, .kubelet),
            // What is one node's otherwise counts when somebody says it for all.
            Change(
                "kind: KubeletConfiguration\ncgroupDriver: systemd", "KubeletConfiguration.cgroupDriver",
                #""systemd""#, .kubelet),
            Change("kind: KubeletConfiguration\nfailSwapOn:", "KubeletConfiguration.failSwapOn", "null", .kubelet),
            Change(
                "kind: InitConfiguration\nnodeRegistration: {kubeletExtraArgs: {v: 4}, taints: []}",
                "InitConfiguration.nodeRegistration.kubeletExtraArgs.v", #""4""#, .kubelet),
            Change(
                "kind: JoinConfiguration\nnodeRegistration: {kubeletExtraArgs: [{name: v, value: 4}]}",
                "JoinConfiguration.nodeRegistration.kubeletExtraArgs.v", #""4""#, .kubelet),
            Change(
                "kind: KubeProxyConfiguration\nmode: ipvs", "KubeProxyConfiguration.mode", #""ipvs""#,
                was: #""iptables""#, .kubeProxy),
            Change(
                "kind: KubeProxyConfiguration\nconntrack: {min: 5}", "KubeProxyConfiguration.conntrack.min", "5",
                .kubeProxy),
            Change(
                "kind: ClusterConfiguration\nnetworking: {podSubnet: 10.1.0.0/16}",
                "ClusterConfiguration.networking.podSubnet", #""10.1.0.0/16""#, was: #""10.244.0.0/16""#, .fixed),
            Change(
                "kind: ClusterConfiguration\nimageRepository: r.example.org",
                "ClusterConfiguration.imageRepository", #""r.example.org""#, .fixed),
            Change(
                "kind: ClusterConfiguration\netcd: {local: {extraArgs: {heartbeat-interval: 150}}}",
                "ClusterConfiguration.etcd.local.extraArgs.heartbeat-interval", #""150""#, .etcd),
            // Another member's.
            Change(
                "kind: ClusterConfiguration\netcd: {local: {extraArgs: {data-dir: /e}}}",
                "ClusterConfiguration.etcd.local.extraArgs.data-dir", #""/e""#, .fixed),
            Change(
                "kind: ClusterConfiguration\netcd: {local: {extraArgs: {force-new-cluster: true}}}",
                "ClusterConfiguration.etcd.local.extraArgs.force-new-cluster", #""true""#, .fixed),
            Change(
                "kind: ClusterConfiguration\netcd: {local: {dataDir: /e}}",
                "ClusterConfiguration.etcd.local.dataDir", #""/e""#, .fixed),
            Change(
                "kind: ClusterConfiguration\ncertificatesDir: /c", "ClusterConfiguration.certificatesDir", #""/c""#,
                .fixed),
        ]
    }

    @Test("change with a document that is laid over, and say what that concerns", arguments: versions, Change.all)
    func change(_ version: KubernetesVersion, _ change: Change) throws {
        let found = try changes(version, from: "", to: change.overlay)
        #expect(found == [ConfigurationChange(path: change.path, old: change.old, new: change.new)])
        #expect(found.first?.part == change.part)
        // And back.
        let back = try changes(version, from: change.overlay, to: "")
        #expect(back == [ConfigurationChange(path: change.path, old: change.new, new: change.old)])
        #expect(try changes(version, from: change.overlay, to: change.overlay).isEmpty)
    }

    @Test("do not change with what counts for one node only, or once, or not at all", arguments: versions)
    func unchanged(_ version: KubernetesVersion) throws {
        for overlay in [
            "kind: InitConfiguration\nbootstrapTokens: [{token: abcdef.0123456789abcdef}]\nlocalAPIEndpoint: {bindPort: 1}",
            "kind: InitConfiguration\nnodeRegistration: {name: x, taints: [], criSocket: /x}",
            "kind: JoinConfiguration\ndiscovery: {timeout: 9m0s}",
            "kind: ClusterConfiguration\nkubernetesVersion: v1.1.1\nclusterName: x\ncontrolPlaneEndpoint: x:1",
            "kind: ClusterConfiguration\napiServer: {extraArgs: {}}",
            // The same in other words.
            "kind: ClusterConfiguration\napiServer: {certSANs: [localhost]}\ncontrollerManager: {extraArgs: [{name: allocate-node-cidrs, value: 'false'}]}",
        ] {
            #expect(try changes(version, from: "", to: overlay).isEmpty, "\(overlay)")
        }
    }

    @Test("do not change with the image: its version, its etcd, its repository are another matter")
    func image() throws {
        var settings = try kubeadmSettings(versions[0], pods: ["10.244.0.0/16", "fd00:244::/56"])
        settings.serviceSubnets = ["10.96.0.0/12", "fd00:96::/112"]
        let before = try ConfigurationFields(settings)
        settings.version = versions[2]
        settings.etcdTag = "3.5.9-0"
        #expect(try ConfigurationFields(settings).changes(from: before).isEmpty)
    }

    @Test("do not change with the life of certificates that are still to be made")
    func lives() throws {
        var settings = try kubeadmSettings(versions[2])
        let before = try ConfigurationFields(settings)
        settings.certificates = CertificateSettings(authorityYears: 20, leafYears: 3)
        #expect(try ConfigurationFields(settings).changes(from: before).isEmpty)
    }

    @Test("leave out what the version does not know, as kubeadm's file does")
    func knowledge() throws {
        let overlay = "kind: ClusterConfiguration\nscheduler: {extraArgs: {address: 0.0.0.0, v: 2}}\n"
        #expect(try changes(versions[0], from: "", to: overlay).count == 2)
        #expect(
            try changes(versions[1], from: "", to: overlay).map(\.path) == [
                "ClusterConfiguration.scheduler.extraArgs.v"
            ])
    }

    @Test("have a digest for each part, which only a change of that part changes", arguments: Change.all)
    func digest(_ change: Change) throws {
        let (old, new) = (try fields(versions[0]), try fields(versions[0], change.overlay))
        for part in ConfigurationChange.Part.allCases {
            #expect(try (old.digest(of: part) != new.digest(of: part)) == (part == change.part))
        }
    }

    @Test("tell a component's environment apart, but do not hold it")
    func environment() throws {
        func text(_ value: String) throws -> String {
            try fields(
                versions[2],
                "kind: ClusterConfiguration\napiServer: {extraEnvs: [{name: KEY, value: \(value)}]}"
            ).text
        }
        #expect(try !text("hunter2").contains("hunter2"))
        #expect(try text("hunter2") != text("hunter3"))
    }

    @Test("that cannot be changed are refused together, in the Clusterfile's words")
    func refusal() throws {
        var settings = try kubeadmSettings(versions[0])
        let before = try ConfigurationFields(settings)
        settings.podSubnets = ["10.1.0.0/16"]
        settings.overlays = try kubeadmSettings(
            versions[0],
            overlays: "kind: ClusterConfiguration\ncertificatesDir: /c\n---\nkind: KubeletConfiguration\nmaxPods: 5"
        ).overlays
        let changes = try ConfigurationFields(settings).changes(from: before)
        let failure = try #require(ConfigurationChange.refusal(of: changes, in: "demo"))
        #expect(
            failure.what == "cannot be changed in a cluster that is there: ClusterConfiguration.certificatesDir was "
                + "not set, /c is wanted; spec.network.podCIDR was 10.244.0.0/16, 10.1.0.0/16 is wanted")
        #expect(failure.kind == .conflict)
        #expect(ConfigurationChange.refusal(of: changes.filter { $0.part != .fixed }, in: "demo") == nil)
        #expect(changes.first { $0.part == .kubelet }?.words == "KubeletConfiguration.maxPods was not set, 5 is wanted")
        #expect(
            ConfigurationChange(path: "KubeletConfiguration.maxPods", old: "5", new: nil).words
                == "KubeletConfiguration.maxPods was 5, nothing is wanted")
    }

    @Test("are one for each field of any document: a changed one is found, and no other", arguments: 0..<30)
    func random(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let version = try #require(versions.randomElement(using: &random))
        let kind = try #require(["KubeletConfiguration", "KubeProxyConfiguration"].randomElement(using: &random))
        var leaves = 0
        func node(_ depth: Int, value: Int) -> String {
            if depth == 0 || Int.random(in: 0..<3, using: &random) == 0 {
                leaves += 1
                return "L\(leaves)L"
            }
            let keys = ["a", "b.c", "d e", "f\"", "0", "x-y"].shuffled(using: &random).prefix(
                Int.random(in: 1...4, using: &random))
            let inner = keys.map { "\(YAMLNode($0).text.dropLast()): \(node(depth - 1, value: value))" }
            return "{\(inner.joined(separator: ", "))}"
        }
        let body = node(4, value: 0)
        let chosen = Int.random(in: 1...leaves, using: &random)
        func document(changed: Bool) -> String {
            var text = body
            for leaf in 1...leaves {
                text = text.replacing("L\(leaf)L", with: changed && leaf == chosen ? "other" : "v\(leaf)")
            }
            return "kind: \(kind)\ntop: \(text)\n"
        }
        let old = try fields(version, document(changed: false))
        #expect(try old == fields(version, document(changed: false)))
        #expect(old.values.keys.filter { $0.contains(".top") }.count == leaves)
        let found = try fields(version, document(changed: true)).changes(from: old)
        #expect(found.map(\.old) == ["\"v\(chosen)\""])
        #expect(found.map(\.new) == ["\"other\""])
        #expect(found.first?.part == (kind == "KubeletConfiguration" ? .kubelet : .kubeProxy))
    }
}
