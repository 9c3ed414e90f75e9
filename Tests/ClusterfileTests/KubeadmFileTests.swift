import Clusterfile
import Report
import TestSupport
import Testing
import YAML

@Suite("A file of kubeadm's documents")
struct KubeadmFileTests {
    @Test("is read as its documents, with what is in them but the head")
    func documents() throws {
        let documents = try KubeadmDocument.parse(
            """
            # made by hand
            apiVersion: kubeadm.k8s.io/v1beta2
            kind: ClusterConfiguration
            networking: {podSubnet: 100.64.0.0/10}
            ---
            ---
            kind: KubeletConfiguration
            apiVersion: kubelet.config.k8s.io/v1beta1
            failSwapOn: false
            """, file: "f")
        #expect(documents.map(\.kind) == [.clusterConfiguration, .kubeletConfiguration])
        #expect(documents[0].apiVersion == "kubeadm.k8s.io/v1beta2")
        #expect(documents[0].fields == ["networking": ["podSubnet": "100.64.0.0/10"]])
        #expect(documents[1].fields == ["failSwapOn": false])
        #expect(try KubeadmDocument.parse("# nothing\n", file: "f").isEmpty)
    }

    @Test("says whether kubelet takes control groups of version 1, or nothing of it")
    func controlGroups() {
        func takes(_ kind: KubeadmDocument.Kind, _ fields: YAMLMapping) -> Bool? {
            KubeadmDocument(kind: kind, fields: fields).takesControlGroups1
        }
        #expect(takes(.kubeletConfiguration, ["failCgroupV1": false]) == true)
        #expect(takes(.kubeletConfiguration, ["failCgroupV1": true]) == false)
        #expect(takes(.kubeletConfiguration, ["maxPods": 1]) == nil)
        #expect(takes(.kubeProxyConfiguration, ["failCgroupV1": false]) == nil)
    }

    @Test("is refused with all its mistakes and their places")
    func refused() throws {
        let error = #expect(throws: InvalidText.self) {
            try KubeadmDocument.parse(
                """
                kind: ConfigMap
                apiVersion: v1
                ---
                kind: InitConfiguration
                apiVersion: kubeadm.k8s.io/v1alpha1
                ---
                kind: KubeletConfiguration
                ---
                - x
                ---
                kind: KubeProxyConfiguration
                apiVersion: kubeproxy.config.k8s.io/v1alpha1
                ---
                kind: KubeProxyConfiguration
                apiVersion: kubeproxy.config.k8s.io/v1alpha1
                """, file: "f")
        }
        let lines = error?.diagnostics.map(\.description) ?? []
        #expect(lines.count == 5)
        #expect(lines.first?.hasPrefix("f:1:7: a document of kubeadm's own must have a kind") == true)
        #expect(lines.dropFirst().first?.hasPrefix("f:5:13: kubeadm.k8s.io/v1beta2 or") == true)
        #expect(lines.dropFirst(2).first?.hasPrefix("f:7:1: kubelet.config.k8s.io/v1beta1 was expected") == true)
        #expect(lines.dropFirst(3).first == "f:9:1: a document must be a mapping, here stands a list")
        #expect(lines.last?.hasSuffix("the first stands in line 11") == true)
        let template = #expect(throws: InvalidText.self) {
            try KubeadmDocument.parse("kind: {{ .Kind }}\n", file: "f")
        }
        #expect(template?.diagnostics.first?.line == 1)
    }

    @Test("never stops the reader, whatever its bytes")
    func random() {
        let words = [
            "kind: ", "apiVersion: ", "KubeletConfiguration", "kubelet.config.k8s.io/v1beta1", "\n", "---\n", "- ", "{",
            "}", ": ", "\"", "  ", "&a ", "*a", "null", "\u{0}", "é",
        ]
        for seed in UInt64(0)..<2000 {
            var dice = SeededGenerator(seed: seed)
            let text = (0..<Int.random(in: 0...30, using: &dice)).map { _ in
                words.randomElement(using: &dice) ?? ""
            }.joined()
            do {
                let documents = try KubeadmDocument.parse(text, file: "f")
                #expect(documents.allSatisfy { $0.fields["kind"] == nil && $0.fields["apiVersion"] == nil })
            } catch {
                #expect(!error.diagnostics.isEmpty)
            }
        }
    }
}
