import Clusterfile
import Report
import Testing
import YAML

@testable import ClusterRuntime

@Suite("Documents that are laid over kubeadm's configuration")
struct KubeadmOverlayTests {
    @Test("count field by field, later ones more, false and 0 too; lists are replaced; null takes out")
    func merge() throws {
        let (documents, notes) = try initDocuments(
            kubeadmSettings(
                KubernetesVersion(1, 26),
                overlays: """
                    kind: KubeletConfiguration
                    failSwapOn: false
                    maxPods: 110
                    evictionHard: {memory.available: 1Gi, nodefs.available: 10%}
                    clusterDNS: [10.96.0.10, 10.96.0.11]
                    ---
                    kind: KubeletConfiguration
                    maxPods: 0
                    evictionHard: {memory.available: 2Gi}
                    clusterDNS: [10.96.0.12]
                    cgroupDriver:
                    ---
                    kind: InitConfiguration
                    nodeRegistration: {taints: [], kubeletExtraArgs: {v: 4}}
                    """))
        let kubelet = documents[2]
        #expect(kubelet["failSwapOn"] == false)
        #expect(kubelet["maxPods"] == 0)
        #expect(kubelet["evictionHard"] == ["memory.available": "2Gi", "nodefs.available": "10%"])
        #expect(kubelet["clusterDNS"] == ["10.96.0.12"])
        #expect(kubelet["cgroupDriver"] == nil)
        let registration = documents[0]["nodeRegistration"]
        #expect(registration?["taints"] == YAMLNode([YAMLNode]()))
        #expect(registration?["kubeletExtraArgs"] == ["node-ip": "10.0.0.2", "v": "4"])
        #expect(registration?["name"] == "m")
        #expect(notes.isEmpty)
    }

    @Test("do not change what the cluster hangs on, and names and tokens are added to sealer's")
    func kept() throws {
        let settings = try kubeadmSettings(
            KubernetesVersion(1, 26),
            overlays: """
                kind: ClusterConfiguration
                kubernetesVersion: v1.19.0
                controlPlaneEndpoint: lb.example.org:443
                apiServer: {certSANs: [one.example.org, localhost]}
                ---
                kind: ClusterConfiguration
                apiServer: {certSANs: [two.example.org]}
                ---
                kind: InitConfiguration
                bootstrapTokens: [{token: abcdef.0123456789abcdef}]
                nodeRegistration: {name: other}
                """)
        let (documents, notes) = try initDocuments(settings)
        #expect(documents[1]["kubernetesVersion"] == "v1.26.0")
        #expect(documents[1]["controlPlaneEndpoint"] == "apiserver.cluster.local:6443")
        #expect(
            documents[1].at("apiServer", "certSANs") == [
                "apiserver.cluster.local", "localhost", "127.0.0.1", "api.example.org", "one.example.org",
                "two.example.org",
            ])
        #expect(documents[0]["bootstrapTokens"]?.sequence?.count == 2)
        #expect(documents[0].at("nodeRegistration", "name") == "m")
        #expect(
            notes == [
                "InitConfiguration.nodeRegistration.name is left out: sealer sets it",
                "ClusterConfiguration.kubernetesVersion is left out: sealer sets it",
                "ClusterConfiguration.controlPlaneEndpoint is left out: sealer sets it",
            ])
        #expect(
            try KubeadmConfiguration(settings).certificateNames == [
                "api.example.org", "localhost", "one.example.org", "two.example.org",
            ])
    }

    @Test("say what the domain of the cluster's DNS is, and the image's do not")
    func domain() throws {
        func domain(_ text: String, ofImage: Bool = false) throws -> String {
            var settings = try kubeadmSettings(
                KubernetesVersion(1, 26), overlays: "kind: ClusterConfiguration\nnetworking: \(text)\n")
            if ofImage { (settings.imageOverlays, settings.overlays) = (settings.overlays, []) }
            return try KubeadmConfiguration(settings).dnsDomain()
        }
        #expect(try domain("{dnsDomain: corp.example}") == "corp.example")
        #expect(try domain("{dnsDomain: corp.example}", ofImage: true) == "cluster.local")
        // Where none is said, kubeadm takes its own.
        for text in ["{}", "{dnsDomain: null}", "{dnsDomain: \"\"}", "null"] {
            #expect(try domain(text) == "cluster.local", "\(text)")
        }
    }

    @Test("say how long kubeadm's own certificates live, where the Clusterfile's years do not do")
    func lives() throws {
        func periods(_ version: KubernetesVersion, _ overlay: String = "") throws -> [String?] {
            var settings = try kubeadmSettings(version, overlays: overlay)
            settings.certificates = CertificateSettings(authorityYears: 20, leafYears: 3)
            let (documents, notes) = try initDocuments(settings)
            #expect(notes.isEmpty)
            return ["certificateValidityPeriod", "caCertificateValidityPeriod"].map { documents[1][$0]?.string }
        }
        let new = KubernetesVersion(1, 31)
        #expect(try periods(new) == ["26280h0m0s", "175200h0m0s"])
        let overlay = "kind: ClusterConfiguration\ncertificateValidityPeriod: 100h0m0s\n"
        #expect(try periods(new, overlay) == ["100h0m0s", "175200h0m0s"])
        // It cannot be told, and nobody asked for it by name.
        #expect(try periods(KubernetesVersion(1, 30)) == [nil, nil])
    }

    @Test("have their arguments in either form, and get the version's")
    func forms() throws {
        let overlays = """
            kind: ClusterConfiguration
            apiServer: {extraArgs: {audit-log-maxage: "7", anonymous-auth: "true"}}
            ---
            kind: ClusterConfiguration
            apiServer: {extraArgs: [{name: anonymous-auth, value: "false"}, {name: profiling, value: "false"}]}
            """
        let old = try initDocuments(kubeadmSettings(KubernetesVersion(1, 30), overlays: overlays)).documents[1]
        #expect(
            old.at("apiServer", "extraArgs") == [
                "audit-log-maxage": "7", "anonymous-auth": "false", "profiling": "false",
            ])
        let new = try initDocuments(kubeadmSettings(KubernetesVersion(1, 31), overlays: overlays)).documents[1]
        #expect(
            new.at("apiServer", "extraArgs") == [
                ["name": "anonymous-auth", "value": "false"], ["name": "audit-log-maxage", "value": "7"],
                ["name": "profiling", "value": "false"],
            ])
    }

    @Test("may give an argument several times where kubeadm takes it")
    func repeated() throws {
        let overlays = """
            kind: ClusterConfiguration
            apiServer: {extraArgs: [{name: service-account-issuer, value: a}, {name: service-account-issuer, value: b}]}
            """
        let new = try initDocuments(kubeadmSettings(KubernetesVersion(1, 31), overlays: overlays)).documents[1]
        #expect(
            new.at("apiServer", "extraArgs") == [
                ["name": "service-account-issuer", "value": "a"], ["name": "service-account-issuer", "value": "b"],
            ])
        #expect(throws: Failure.self) {
            try initDocuments(kubeadmSettings(KubernetesVersion(1, 30), overlays: overlays))
        }
    }

    @Test(
        "are refused when arguments are neither a map nor a list",
        arguments: ["{extraArgs: 5}", "{extraArgs: [{value: x}]}", "{extraArgs: {a: [b]}}"])
    func refused(text: String) {
        #expect(throws: Failure.self) {
            try initDocuments(
                kubeadmSettings(KubernetesVersion(1, 26), overlays: "kind: ClusterConfiguration\nscheduler: \(text)\n"))
        }
    }
}
