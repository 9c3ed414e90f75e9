import Testing
import YAML

@testable import ClusterRuntime

@Suite("What versions of Kubernetes know")
struct KubernetesKnowledgeTests {
    @Test(
        "decides which flags are passed",
        arguments: [
            ("apiServer", "insecure-port", 19, true), ("apiServer", "insecure-port", 20, false),
            ("apiServer", "basic-auth-file", 18, true), ("apiServer", "basic-auth-file", 19, false),
            ("apiServer", "kubelet-https", 21, true), ("apiServer", "kubelet-https", 22, false),
            ("apiServer", "target-ram-mb", 23, true), ("apiServer", "target-ram-mb", 24, false),
            ("apiServer", "cloud-provider", 32, true), ("apiServer", "cloud-provider", 33, false),
            ("controllerManager", "cloud-provider", 33, true),
            ("controllerManager", "port", 21, true), ("controllerManager", "port", 22, false),
            ("controllerManager", "deleting-pods-qps", 24, true), ("controllerManager", "deleting-pods-qps", 25, false),
            ("controllerManager", "pod-eviction-timeout", 26, true),
            ("controllerManager", "pod-eviction-timeout", 27, false),
            ("scheduler", "port", 22, true), ("scheduler", "port", 23, false),
            ("scheduler", "algorithm-provider", 21, true), ("scheduler", "algorithm-provider", 22, false),
            ("scheduler", "policy-config-file", 22, true), ("scheduler", "policy-config-file", 23, false),
            ("scheduler", "use-legacy-policy-config", 22, true), ("scheduler", "use-legacy-policy-config", 23, false),
            ("scheduler", "experimental-logging-sanitization", 19, false),
            ("scheduler", "experimental-logging-sanitization", 23, true),
            ("scheduler", "logtostderr", 25, true), ("scheduler", "logtostderr", 26, false),
            ("scheduler", "v", 31, true), ("scheduler", "logging-format", 18, false),
            ("scheduler", "logging-format", 19, true),
            ("apiServer", "goaway-chance", 17, false), ("apiServer", "goaway-chance", 18, true),
            ("apiServer", "tracing-config-file", 21, false), ("apiServer", "tracing-config-file", 22, true),
            ("apiServer", "encryption-provider-config-automatic-reload", 25, false),
            ("apiServer", "encryption-provider-config-automatic-reload", 26, true),
            ("apiServer", "authorization-config", 28, false), ("apiServer", "authorization-config", 29, true),
            ("controllerManager", "leader-migration-config", 20, false),
            ("controllerManager", "leader-migration-config", 21, true),
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

    @Test(
        "decides which of kubelet's flags are passed",
        arguments: [
            ("network-plugin", 23, true), ("network-plugin", 24, false), ("container-runtime", 26, true),
            ("container-runtime", 27, false), ("keep-terminated-pod-volumes", 30, true),
            ("keep-terminated-pod-volumes", 31, false), ("pod-infra-container-image", 34, true),
            ("pod-infra-container-image", 35, false), ("log-flush-frequency", 35, true),
            ("topology-manager-policy", 15, false), ("topology-manager-policy", 16, true),
            ("image-credential-provider-config", 19, false), ("image-credential-provider-config", 20, true),
            ("seccomp-default", 21, false), ("seccomp-default", 22, true), ("config-dir", 27, false),
            ("config-dir", 28, true),
        ])
    func kubelet(flag: String, minor: Int, isPassed: Bool) throws {
        let (documents, notes) = try initDocuments(
            kubeadmSettings(
                KubernetesVersion(1, minor),
                overlays: "kind: InitConfiguration\nnodeRegistration: {kubeletExtraArgs: {\(flag): \"1\"}}\n"))
        let text = documents[0].at("nodeRegistration", "kubeletExtraArgs")?.text ?? ""
        #expect(text.contains(flag) == isPassed)
        #expect(notes.count == (isPassed ? 0 : 1))
    }

    @Test("renames the API server's flag for audiences", arguments: [(24, "service-account-"), (25, "")])
    func audiences(minor: Int, prefix: String) throws {
        let (documents, notes) = try initDocuments(
            kubeadmSettings(
                KubernetesVersion(1, minor),
                overlays: "kind: ClusterConfiguration\napiServer: {extraArgs: {service-account-api-audiences: own}}\n"))
        #expect(documents[1].at("apiServer", "extraArgs", "\(prefix)api-audiences") == "own")
        #expect(notes.isEmpty)
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
        arguments: [(15, "B"), (16, "A,B"), (23, "A,B"), (24, "A"), (25, "A"), (26, "")])
    func gates(minor: Int, known: String) throws {
        let (documents, _) = try initDocuments(
            kubeadmSettings(
                KubernetesVersion(1, minor),
                overlays: """
                    kind: ClusterConfiguration
                    scheduler: {extraArgs: {feature-gates: "EphemeralContainers=true,TTLAfterFinished=true,Own=true"}}
                    featureGates: {EtcdLearnerMode: true, Own: true}
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
        #expect(documents[1].at("featureGates", "EtcdLearnerMode") == nil)
        #expect(documents[1].at("featureGates", "Own") == true)
    }

    @Test(
        "knows when a gate came and when it was settled",
        arguments: [
            // Said by a CHANGELOG, or by a list of versioned gates.
            ("WarningHeaders", 23, 24), ("ConfigurableFSGroupPolicy", 24, 25), ("TokenRequest", 20, 21),
            ("HyperVContainer", 20, 21), ("IPv6DualStack", 23, 24), ("CSRDuration", 24, 25),
            ("ServerSideFieldValidation", 27, 28), ("ValidatingAdmissionPolicy", 30, 31), ("AppArmor", 31, 32),
            ("MemoryManager", 32, 33), ("UserNamespacesPodSecurityStandards", 34, 35),
        ])
    func settled(gate: String, last: Int, first: Int) {
        let entry = KubernetesKnowledge.gates[gate]
        #expect(entry?.isKnown(to: KubernetesVersion(1, last, 99)) == true)
        #expect(entry?.isKnown(to: KubernetesVersion(1, first)) == false)
    }

    @Test(
        "knows when a gate came",
        arguments: [
            ("GracefulNodeShutdown", 20), ("NodeSwap", 22), ("LoggingAlphaOptions", 24), ("SidecarContainers", 28),
            ("NFTablesProxyMode", 29),
            ("ImageVolume", 31), ("KubeletPSI", 33), ("EnvFiles", 34), ("GenericWorkload", 35),
        ])
    func added(gate: String, first: Int) {
        let entry = KubernetesKnowledge.gates[gate]
        #expect(entry?.isKnown(to: KubernetesVersion(1, first - 1, 99)) == false)
        #expect(entry?.isKnown(to: KubernetesVersion(1, first)) == true)
        #expect(entry?.isKnown(to: KubernetesVersion(1, 40)) == true)
    }

    @Test(
        "knows when kubeadm's own gates came and went",
        arguments: [
            ("ControlPlaneKubeletLocalMode", 31, 36), ("EtcdLearnerMode", 27, 33), ("IPv6DualStack", 16, 24),
            ("NodeLocalCRISocket", 32, 37), ("PublicKeysECDSA", 19, 36), ("RootlessControlPlane", 22, 35),
            ("UnversionedKubeletConfigMap", 23, 26), ("UpgradeAddonsBeforeControlPlane", 28, 31),
            ("WaitForAllControlPlaneComponents", 30, 35),
        ])
    func own(gate: String, since: Int, until: Int) throws {
        for (minor, isKnown) in [(since - 1, false), (since, true), (until - 1, true), (until, false)] {
            let (documents, notes) = try initDocuments(
                kubeadmSettings(
                    KubernetesVersion(1, minor),
                    overlays: "kind: ClusterConfiguration\nfeatureGates: {\(gate): true}\n"))
            #expect(documents[1].at("featureGates", gate) == (isKnown ? true : nil), "1.\(minor)")
            #expect(notes.count == (isKnown ? 0 : 1))
        }
    }

    @Test("says why something is left out")
    func reasons() throws {
        func notes(_ minor: Int) throws -> [String] {
            try initDocuments(
                kubeadmSettings(
                    KubernetesVersion(1, minor),
                    overlays: """
                        kind: ClusterConfiguration
                        scheduler: {extraArgs: {scheduler-name: own, feature-gates: "JobReadyPods=true,NodeSwap=true"}}
                        """)
            ).notes
        }
        #expect(
            try notes(21) == [
                "feature gate JobReadyPods of kube-scheduler is left out: v1.21.0 does not know it yet",
                "feature gate NodeSwap of kube-scheduler is left out: v1.21.0 does not know it yet",
            ])
        #expect(
            try notes(30) == [
                "kube-scheduler --scheduler-name is left out: v1.30.0 leaves no choice in it any more",
                "feature gate JobReadyPods of kube-scheduler is left out: v1.30.0 leaves no choice in it any more",
            ])
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

    @Test("warns of feature gates that are in no table, each once, and of none that is")
    func strange() throws {
        var settings = try kubeadmSettings(
            KubernetesVersion(1, 30),
            overlays: """
                kind: ClusterConfiguration
                apiServer: {extraArgs: [{name: feature-gates, value: "NodeSwap=true,Onw=true"}, {name: feature-gates, value: Onw=true}]}
                scheduler: {extraArgs: {v: "2"}}
                etcd: {local: {extraArgs: {feature-gates: EtcdsOwn=true}}}
                featureGates: {EtcdLearnerMode: true, NodeSwap: true}
                ---
                kind: KubeletConfiguration
                featureGates: {AllAlpha: true, RotateKubeletServerCertificate: true, OrderedNamespaceDeletion: true, JobReadyPods: true, Misspelt: true}
                """)
        func gates() throws -> [String] {
            try KubeadmConfiguration(settings).strangeGates().compactMap { warning in
                let words = warning.split(separator: " ")
                let place = words.firstIndex(of: "gate") ?? words.startIndex
                return words[place...].dropFirst().prefix(3).joined(separator: " ").replacing(":", with: "")
            }
        }
        let expected = [
            "Onw of kube-apiserver", "NodeSwap of ClusterConfiguration", "Misspelt of KubeletConfiguration",
        ]
        #expect(try gates() == expected)
        // The image's count too, and what both have is told once.
        settings.imageOverlays = settings.overlays
        #expect(try gates() == expected)
    }

    @Test("has no entry that can never be")
    func table() {
        let entries =
            KubernetesKnowledge.flags.values.flatMap { $0 } + KubernetesKnowledge.gates.values
            + KubernetesKnowledge.kubeadmGates.values
        #expect(KubernetesKnowledge.gates.count > 400)
        for entry in entries {
            #expect(entry.name.allSatisfy { $0.isLetter || $0.isNumber || $0 == "-" }, "\(entry.name)")
            #expect(entry.since != nil || entry.until != nil, "\(entry.name)")
            if let since = entry.since, let until = entry.until { #expect(since < until, "\(entry.name)") }
        }
        for component in KubeadmArguments.Component.allCases {
            let names = (KubernetesKnowledge.flags[component] ?? []).map(\.name)
            #expect(names.count == Set(names).count)
        }
    }
}
