import Testing
import YAML

@testable import ClusterRuntime

@Suite("What versions of Kubernetes know")
struct KubernetesKnowledgeTests {
    @Test(
        "decides which flags are passed",
        arguments: [
            ("apiServer", "insecure-port", 23, true), ("apiServer", "insecure-port", 24, false),
            ("apiServer", "kubelet-https", 21, true), ("apiServer", "kubelet-https", 22, false),
            ("controllerManager", "port", 23, true), ("controllerManager", "port", 24, false),
            ("controllerManager", "pod-eviction-timeout", 26, true),
            ("controllerManager", "pod-eviction-timeout", 27, false),
            ("scheduler", "policy-config-file", 22, true), ("scheduler", "policy-config-file", 23, false),
            ("scheduler", "logtostderr", 25, true), ("scheduler", "logtostderr", 26, false),
            ("scheduler", "v", 31, true),
        ])
    func flags(component: String, flag: String, minor: Int, isPassed: Bool) throws {
        let (documents, notes) = try initDocuments(
            kubeadmSettings(
                KubernetesVersion(1, minor),
                overlays: "kind: ClusterConfiguration\n\(component): {extraArgs: {\(flag): \"1\"}}\n"))
        let text = documents[1].at(component, "extraArgs")?.text ?? ""
        #expect(text.contains(flag) == isPassed)
        #expect(notes.count == (isPassed ? 0 : 1))
    }

    @Test("renames the flag for the life of signed certificates", arguments: [(18, true), (19, false), (31, false)])
    func renamed(minor: Int, isOld: Bool) throws {
        for name in ["cluster-signing-duration", "experimental-cluster-signing-duration"] {
            let (documents, notes) = try initDocuments(
                kubeadmSettings(
                    KubernetesVersion(1, minor),
                    overlays: "kind: ClusterConfiguration\ncontrollerManager: {extraArgs: {\(name): 1h}}\n"))
            let text = documents[1].at("controllerManager", "extraArgs")?.text ?? ""
            #expect(text.contains("experimental-cluster-signing-duration") == isOld)
            #expect(text.contains("1h"))
            #expect(notes.isEmpty)
        }
    }

    @Test(
        "decides which feature gates are passed, to whomever",
        arguments: [(15, "B"), (16, "A,B"), (24, "A,B"), (25, "A"), (26, "A"), (27, "")])
    func gates(minor: Int, known: String) throws {
        let (documents, _) = try initDocuments(
            kubeadmSettings(
                KubernetesVersion(1, minor),
                overlays: """
                    kind: ClusterConfiguration
                    scheduler: {extraArgs: {feature-gates: "EphemeralContainers=true,TTLAfterFinished=true,Own=true"}}
                    featureGates: {EtcdLearnerMode: false, Own: true}
                    ---
                    kind: KubeletConfiguration
                    featureGates: {EphemeralContainers: true, TTLAfterFinished: true}
                    """))
        let words = ["A": "EphemeralContainers", "B": "TTLAfterFinished"]
        let expected = known.split(separator: ",").compactMap { words[String($0)] }
        let text = documents[1].at("scheduler", "extraArgs")?.text ?? ""
        #expect(text.contains((expected.map { "\($0)=true" } + ["Own=true"]).joined(separator: ",")))
        for word in words.values where !expected.contains(word) { #expect(!text.contains(word)) }
        let kubelet = documents[2]["featureGates"]?.mapping?.entries.map(\.key) ?? []
        #expect(kubelet == expected)
        #expect(documents[1].at("featureGates", "EtcdLearnerMode") == (minor >= 27 ? false : nil))
        #expect(documents[1].at("featureGates", "Own") == true)
    }

    @Test("decides which fields a document has")
    func fields() throws {
        let overlays = """
            kind: ClusterConfiguration
            dns: {type: CoreDNS}
            apiServer: {timeoutForControlPlane: 4m0s, extraEnvs: [{name: A, value: b}]}
            encryptionAlgorithm: ECDSA-P256
            ---
            kind: InitConfiguration
            skipPhases: [addon/kube-proxy]
            timeouts: {kubeletHealthCheck: 4m0s}
            """
        for (version, paths) in [
            (KubernetesVersion(1, 20), ["dns.type", "apiServer.timeoutForControlPlane"]),
            (KubernetesVersion(1, 25), ["apiServer.timeoutForControlPlane", "skipPhases"]),
            (KubernetesVersion(1, 31), ["apiServer.extraEnvs", "encryptionAlgorithm", "skipPhases", "timeouts"]),
        ] {
            let (documents, notes) = try initDocuments(kubeadmSettings(version, overlays: overlays))
            let all = [
                "dns.type", "apiServer.timeoutForControlPlane", "apiServer.extraEnvs", "encryptionAlgorithm",
                "skipPhases", "timeouts",
            ]
            let there = all.filter { path in
                let parts = path.split(separator: ".").map(String.init)
                return documents[0].mapping?[path: parts] != nil || documents[1].mapping?[path: parts] != nil
            }
            #expect(Set(there) == Set(paths), "\(version)")
            #expect(notes.count == all.count - paths.count)
        }
    }

    @Test("has no entry that can never be")
    func table() {
        let entries =
            KubernetesKnowledge.flags.values.flatMap { $0 } + KubernetesKnowledge.gates
            + KubernetesKnowledge.kubeadmGates
        for entry in entries {
            #expect(entry.since != nil || entry.until != nil, "\(entry.name)")
            if let since = entry.since, let until = entry.until { #expect(since < until, "\(entry.name)") }
        }
        for component in KubeadmArguments.Component.allCases {
            let names = (KubernetesKnowledge.flags[component] ?? []).map(\.name)
            #expect(names.count == Set(names).count)
        }
    }
}
