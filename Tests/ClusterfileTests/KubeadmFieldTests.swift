import Clusterfile
import Report
import Testing
import YAML

@Suite("Clusterfile: fields of kubeadm's own documents")
struct KubeadmFieldTests {
    /// A right Clusterfile with a document whose fields begin in line 10.
    private func document(_ kind: KubeadmDocument.Kind, _ fields: String) -> String {
        let version = kind.apiVersions.first ?? ""
        return file(document: "apiVersion: \(version)\nkind: \(kind.rawValue)\n\(fields)")
    }

    private static let clusterCases: [Case] = [
        Case(
            "certificatesDir: /etc/company/pki",
            "10:18: certificatesDir cannot be another folder: sealer keeps the certificates in /etc/kubernetes/pki"
        ),
        Case("certificatesDir: 7", "10:18: certificatesDir must be a string, here stands a number: quote it"),
        Case(
            "etcd:\n  external:\n    endpoints: [\"https://10.0.0.9:2379\"]",
            "11:3: etcd.external is not supported yet: etcd runs on the cluster's masters"
        ),
        Case("etcd: [local]", "10:7: etcd must be a mapping, here stands a list"),
        Case(
            "etcd: {local: {imageTag: 3.5}}",
            "10:26: etcd.local.imageTag must be a string, here stands a number: quote it"),
        Case("apiServer: x", "10:12: apiServer must be a mapping, here stands a string"),
        Case(
            "controllerManager: []\nscheduler: true",
            "10:20: controllerManager must be a mapping, here stands a list",
            "11:12: scheduler must be a mapping, here stands a truth value (true)"
        ),
        Case("apiServer: {certSANs: a.b}", "10:23: apiServer.certSANs must be a list of strings, here stands a string"),
        Case(
            "apiServer: {certSANs: [a.b, 7]}",
            "10:29: apiServer.certSANs[1] must be a string, here stands a number: quote it"
        ),
        Case(
            "apiServer: {extraArgs: v=1}",
            "10:24: apiServer.extraArgs must be a mapping, or a list of names and values, here stands a string"
        ),
        Case(
            "apiServer: {extraArgs: {v: [1], audit: {}}}",
            "10:28: apiServer.extraArgs.v must be a string, here stands a list",
            "10:40: apiServer.extraArgs.audit must be a string, here stands a mapping"
        ),
        Case(
            "scheduler:\n  extraArgs:\n    - {name: v, value: 4}\n    - {name: v}\n    - {value: a}\n    - {name: '', value: a}\n    - x",
            "13:7: scheduler.extraArgs must list arguments with name and value",
            "14:7: scheduler.extraArgs must list arguments with name and value",
            "15:7: scheduler.extraArgs must list arguments with name and value",
            "16:7: scheduler.extraArgs must list arguments with name and value"
        ),
        Case("networking: 10.0.0.0/8", "10:13: networking must be a mapping, here stands a string"),
        Case(
            "networking: {podSubnet: [10.1.0.0/16], serviceSubnet: 7, dnsDomain: true}",
            "10:25: networking.podSubnet must be a string, here stands a list",
            "10:55: networking.serviceSubnet must be a string, here stands a number: quote it",
            "10:69: networking.dnsDomain must be a string, here stands a truth value (true): quote it"
        ),
        Case("kubernetesVersion: 1.20", "10:20: kubernetesVersion must be a string, here stands a number: quote it"),
        Case(
            "featureGates: {A: true, B: \"true\"}",
            "10:28: featureGates.B must be true or false, here stands a string"
        ),
    ]

    @Test("of a ClusterConfiguration, each at its place", arguments: clusterCases)
    func cluster(example: Case) {
        #expect(mistakes(document(.clusterConfiguration, example.text)) == example.expected)
    }

    @Test("of the other kinds, each at its place")
    func others() {
        func found(_ kind: KubeadmDocument.Kind, _ fields: String) -> [String] {
            mistakes(document(kind, fields)).map { String($0.dropFirst("Clusterfile:".count)) }
        }
        #expect(
            found(
                .initConfiguration, "bootstrapTokens: {}\nlocalAPIEndpoint: {bindPort: \"6443\"}\nnodeRegistration: x")
                == [
                    "10:18: bootstrapTokens must be a list, here stands a mapping",
                    "11:30: localAPIEndpoint.bindPort must be a whole number, here stands a string",
                    "12:19: nodeRegistration must be a mapping, here stands a string",
                ])
        #expect(
            found(.joinConfiguration, "nodeRegistration: {kubeletExtraArgs: 7}\ncontrolPlane: yes") == [
                "10:38: nodeRegistration.kubeletExtraArgs must be a mapping, or a list of names and values, here stands a number",
                "11:15: controlPlane must be a mapping, here stands a truth value (yes)",
            ])
        // What may be a secret is not shown.
        #expect(
            found(.joinConfiguration, "discovery: {tlsBootstrapToken: 123456}") == [
                "10:32: discovery.tlsBootstrapToken must be a string, here stands a number: quote it"
            ])
        #expect(
            found(.kubeletConfiguration, "failSwapOn: \"false\"\nclusterDNS: 10.96.0.10\nhealthzPort: x") == [
                "10:13: failSwapOn must be true or false, here stands a string",
                "11:13: clusterDNS must be a list of strings, here stands a string",
                "12:14: healthzPort must be a whole number, here stands a string",
            ])
        #expect(
            found(.kubeProxyConfiguration, "conntrack: {min: none}\nmode: 1") == [
                "10:18: conntrack.min must be a whole number, here stands a string",
                "11:7: mode must be a string, here stands a number: quote it",
            ])
    }

    @Test("are right in both forms of arguments, with nothing behind them, and with what kubeadm writes itself")
    func right() {
        for fields in [
            "apiServer: {extraArgs: {v: 4, audit-log-path: /x, profiling: false, gone: null}}",
            "apiServer: {extraArgs: [{name: v, value: \"4\"}, {name: v, value: 5}, {name: a, value: ''}]}",
            "certificatesDir: /etc/kubernetes/pki", "certificatesDir: ''",
            "certificatesDir:\nkubernetesVersion:\nnetworking:\napiServer:\nfeatureGates:\netcd:",
            "etcd: {local: {dataDir: /var/lib/etcd}, external: null}", "networking: {podSubnet: null}",
            "kubernetesVersion: v1.20.2\nscheduler: {}\ncontrollerManager: {}\ndns: {}\nfeatureGates: {A: no, B: null}",
            // Left to kubeadm.
            "unheardOf: [1]\napiServer: {extraVolumes: 7}",
        ] {
            #expect(mistakes(document(.clusterConfiguration, fields)) == [], "\(fields)")
        }
        #expect(mistakes(document(.kubeletConfiguration, "failSwapOn: no\nmaxPods: x")) == [])
    }

    @Test("are told of clusters made in code, by their way")
    func paths() throws {
        var cluster = try Cluster.parse(file("")).cluster
        cluster.kubeadmDocuments = [
            KubeadmDocument(kind: .kubeletConfiguration, fields: ["failSwapOn": false]),
            KubeadmDocument(
                kind: .clusterConfiguration,
                fields: [
                    "certificatesDir": "/c", "etcd": ["external": ["endpoints": []]],
                    "scheduler": ["extraArgs": [["name": "v"]]],
                ]),
        ]
        #expect(
            cluster.problems.map(\.path) == [
                "kubeadm[1].scheduler.extraArgs[0]", "kubeadm[1].certificatesDir", "kubeadm[1].etcd.external",
            ])
    }
}
