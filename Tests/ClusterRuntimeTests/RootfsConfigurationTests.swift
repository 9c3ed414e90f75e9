import Clusterfile
import FoundationEssentials
import Report
import SystemPackage
import TestSupport
import Testing
import YAML

@testable import ClusterRuntime

@Suite("Files that Config documents change")
struct RootfsConfigurationTests {
    private func files(
        _ overlays: [ConfigOverlay], _ image: [String: String] = [:], permissions: UInt32 = 0o644
    ) throws -> [ManagedFile] {
        try RootfsConfiguration.files(
            overlays: overlays,
            image: image.mapValues { .init(bytes: Data($0.utf8), permissions: permissions) }, rootfs: "/data/rootfs")
    }

    private func merged(_ data: String..., over file: String?) throws -> String {
        let overlays = data.enumerated().map { ConfigOverlay(name: "c\($0)", path: "p", strategy: .merge, data: $1) }
        let file = try #require(try files(overlays, file.map { ["p": $0] } ?? [:]).first)
        return String(decoding: file.content, as: UTF8.self)
    }

    @Test("are the data to the byte when overwritten, with the image's permissions and no setuid bit")
    func overwrite() throws {
        let made = try files(
            [
                ConfigOverlay(name: "b", path: "etc/x/b.conf", data: "a: [\n\t"),
                ConfigOverlay(name: "a", path: "run.sh", data: "exit 0"),
            ], ["run.sh": "exit 1"], permissions: 0o4755)
        #expect(made.map(\.path) == ["/data/rootfs/etc/x/b.conf", "/data/rootfs/run.sh"])
        #expect(made.map { String(decoding: $0.content, as: UTF8.self) } == ["a: [\n\t", "exit 0"])
        #expect(made.map(\.permissions) == [0o644, 0o755])
        #expect(made.allSatisfy { !$0.needsRestart })
    }

    @Test("are merged deep, with false and 0 as values, null taking out, lists replaced, the order of keys kept")
    func merge() throws {
        let text = try merged(
            """
            replicas: 0
            primary: {enabled: false, persistence: {size: 20Gi, old: null}}
            list: [c]
            image: null
            added: "yes"
            """,
            over: """
                # how many
                replicas: 3
                list: [a, b]
                primary:
                  persistence:
                    size: 8Gi
                    old: 1
                    class: fast
                  enabled: true
                image: x:1
                last: 0.10
                """)
        #expect(
            text
                == """
                replicas: 0
                list:
                - c
                primary:
                  persistence:
                    size: 20Gi
                    class: fast
                  enabled: false
                last: 0.10
                added: "yes"

                """.replacing("list:\n- c", with: "list:\n  - c"))
    }

    @Test("are merged document by document, the first upon the first; further ones come behind")
    func documents() throws {
        let file = "# one\na: 1\n---\n# nothing\n---\nb: 1\nkeep: |\n  x: '---\n  y\n"
        let text = try merged("{}\n---\nb: 2\n---\nc: {d: null}\n", over: file)
        let documents = try YAMLDocuments.parse(text, file: "p")
        #expect(documents == [["a": 1], ["b": 2, "keep": "x: '---\ny\n"], ["c": ["d": .null]]])
        #expect(
            try YAMLDocuments.parse(merged("a: 2", over: file), file: "p") == [["a": 2], documents[1].with("b", 1)])
    }

    @Test("apply in their order, become the file where there is none, and leave it alone where nothing changes")
    func order() throws {
        #expect(try merged("a: 1 # one\n", "b: 2", over: nil) == "a: 1\nb: 2\n")
        #expect(try merged("a: {b: null} # one\n", over: nil) == "a: {b: null} # one\n")
        #expect(try merged("a: 1", over: "# only this\n") == "a: 1\n")
        #expect(try merged("a: 1\nz: null", over: "# kept\na:   1\n") == "# kept\na:   1\n")
        let both = try files(
            [
                ConfigOverlay(name: "one", path: "p", strategy: .merge, data: "a: 1"),
                ConfigOverlay(name: "two", path: "p", data: "z: 1\n"),
                ConfigOverlay(name: "three", path: "p", strategy: .merge, data: "a: 3"),
            ], ["p": "y: 0"])
        #expect(both.map { String(decoding: $0.content, as: UTF8.self) } == ["z: 1\na: 3\n"])
    }

    @Test(
        "are refused with document, path and place when they are no YAML that can be laid over",
        arguments: [
            ("a: 1\nb: {{ .Values.x }}\n", "Config c0", "p:2:"), ("a: 1\n---\n- x\n", "Config c0", "p:3:1: a mapping"),
            ("a: [\n", "Config c0", "p:"), ("word", "Config c0", "p:1:1: a mapping was expected, here stands a string"),
        ])
    func refused(file: String, place: String, cause: String) {
        do {
            _ = try merged("a: 2\n---\nb: 1\n", over: file)
            Issue.record("\(file) was not refused")
        } catch {
            let failure = error as? Failure
            #expect(failure?.kind == .invalidInput)
            #expect(failure?.place == place)
            #expect("\(error)".contains(cause), "\(error)")
        }
        #expect(throws: Failure.self) {
            try RootfsConfiguration.files(
                overlays: [ConfigOverlay(name: "c", path: "p", strategy: .merge, data: "a: 1")],
                image: ["p": .init(bytes: Data([0xff, 0xfe]), permissions: 0o644)], rootfs: "/r")
        }
    }

    @Test("say the same however often they are applied, for any mappings")
    func idempotent() throws {
        func node(_ dice: inout SeededGenerator, _ depth: Int) -> YAMLNode {
            switch Int.random(in: 0..<(depth > 0 ? 8 : 6), using: &dice) {
            case 0: .null
            case 1: false
            case 2: 0
            case 3: "no"
            case 4: ["a", 1]
            case 5: "two\nlines\n"
            default: YAMLNode(mapping(&dice, depth - 1))
            }
        }
        func mapping(_ dice: inout SeededGenerator, _ depth: Int) -> YAMLMapping {
            YAMLMapping(
                (0..<Int.random(in: 0...4, using: &dice)).map { _ in
                    (["a", "b", "c", "true", "1"].randomElement(using: &dice) ?? "a", node(&dice, depth))
                })
        }
        for seed in UInt64(0)..<500 {
            var dice = SeededGenerator(seed: seed)
            let (lower, upper) = (mapping(&dice, 3), mapping(&dice, 3))
            let data = YAMLNode(upper).text
            let once = try merged(data, over: YAMLNode(lower).text)
            #expect(try merged(data, over: once) == once, "seed \(seed)")
            let result = try YAMLDocuments.parseOne(once, file: "p").mapping ?? [:]
            for entry in upper {
                if entry.value.isNull {
                    #expect(result[entry.key] == nil, "seed \(seed)")
                } else if entry.value.mapping == nil {
                    #expect(result[entry.key] == entry.value, "seed \(seed)")
                }
            }
            for entry in lower where upper[entry.key] == nil {
                #expect(result[entry.key] == entry.value, "seed \(seed)")
            }
        }
    }
}

extension YAMLNode {
    fileprivate func with(_ key: String, _ value: YAMLNode) -> YAMLNode {
        var mapping = mapping ?? [:]
        mapping[key] = value
        return YAMLNode(mapping)
    }
}

@Suite("kubeadm's documents of the image")
struct ImageDocumentTests {
    private let image = """
        apiVersion: kubeadm.k8s.io/v1beta2
        kind: ClusterConfiguration
        kubernetesVersion: v1.19.8
        imageRepository: sea.hub:5000/library
        controlPlaneEndpoint: "apiserver.cluster.local:6443"
        networking: {podSubnet: 100.64.0.0/10, serviceSubnet: 10.96.0.0/22, dnsDomain: cluster.local}
        apiServer:
          certSANs: [10.103.97.2]
          extraArgs: {audit-log-maxage: "7", profiling: "true"}
        ---
        apiVersion: kubeadm.k8s.io/v1beta2
        kind: InitConfiguration
        bootstrapTokens: [{token: abcdef.0123456789abcdef}]
        ---
        apiVersion: kubelet.config.k8s.io/v1beta1
        kind: KubeletConfiguration
        cgroupDriver:
        clusterDNS: [10.96.0.10]
        failSwapOn: true
        maxPods: 200
        podPidsLimit: 4096
        ---
        apiVersion: kubeproxy.config.k8s.io/v1alpha1
        kind: KubeProxyConfiguration
        mode: ipvs
        clusterCIDR: 100.64.0.0/10
        conntrack: {maxPerCore: 32768, min: 131072, tcpEstablishedTimeout: 24h0m0s}
        """

    private func documents(isContainer: Bool = true, hasSwap: Bool = true) throws -> (
        documents: [YAMLNode], notes: [String]
    ) {
        var settings = try kubeadmSettings(
            KubernetesVersion(1, 26),
            overlays: """
                kind: KubeletConfiguration
                maxPods: 0
                ---
                kind: ClusterConfiguration
                apiServer: {extraArgs: {profiling: "false"}}
                """)
        settings.imageOverlays = try KubeadmDocument.parse(image, file: "etc/kubeadm.yml")
        var node = kubeadmNode()
        node.isContainer = isContainer
        node.hasSwap = hasSwap
        return try initDocuments(settings, node: node)
    }

    @Test("lie between sealer's and the Clusterfile's")
    func order() throws {
        let documents = try documents().documents
        #expect(documents[1].at("apiServer", "extraArgs") == ["audit-log-maxage": "7", "profiling": "false"])
        #expect(documents[1].at("apiServer", "certSANs")?.sequence?.last == "10.103.97.2")
        #expect(documents[2]["maxPods"] == 0)
        #expect(documents[2]["podPidsLimit"] == 4096)
        #expect(documents[3]["mode"] == "ipvs")
    }

    @Test("do not decide what depends on the cluster or its hosts, and a note says so")
    func leftOut() throws {
        let (documents, notes) = try documents()
        #expect(
            documents[1]["networking"] == [
                "dnsDomain": "cluster.local", "podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/12",
            ])
        #expect(documents[1]["imageRepository"] == "registry.k8s.io")
        #expect(documents[0]["bootstrapTokens"]?.sequence?.count == 1)
        #expect(documents[2]["cgroupDriver"] == "cgroupfs")
        #expect(documents[2]["failSwapOn"] == false)
        #expect(documents[2]["clusterDNS"] == nil)
        #expect(documents[3]["clusterCIDR"] == nil)
        #expect(documents[3]["conntrack"] == ["maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "24h0m0s"])
        let why = "of the image is left out: it depends on the cluster"
        #expect(
            notes == [
                "InitConfiguration.bootstrapTokens \(why)", "ClusterConfiguration.imageRepository \(why)",
                "ClusterConfiguration.networking.podSubnet \(why)",
                "ClusterConfiguration.networking.serviceSubnet \(why)",
                "ClusterConfiguration.kubernetesVersion is left out: sealer sets it",
                "KubeletConfiguration.clusterDNS \(why)", "KubeletConfiguration.failSwapOn \(why)",
                "KubeProxyConfiguration.clusterCIDR \(why)", "KubeProxyConfiguration.conntrack.maxPerCore \(why)",
                "KubeProxyConfiguration.conntrack.min \(why)",
            ])
    }

    @Test("decide about connection tracking where sealer does not")
    func conntrack() throws {
        #expect(try documents(isContainer: false).documents[3].at("conntrack", "min") == 131072)
    }
}
