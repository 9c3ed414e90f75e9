import Clusterfile
import Report
import Testing
import YAML

@Suite("Clusterfile: other documents")
struct DocumentTests {
    private func config(_ fields: String) -> String {
        file(document: "apiVersion: sealer.io/v1\nkind: Config\nmetadata: {name: a}\nspec:\n  \(fields)")
    }

    private func plugin(_ fields: String) -> String {
        file(document: "apiVersion: sealer.io/v1\nkind: Plugin\nmetadata: {name: a}\nspec:\n  \(fields)")
    }

    @Test("Config, Plugin, Application and kubeadm's own documents")
    func everything() throws {
        let text = file(
            document: """
                apiVersion: sealer.io/v1
                kind: Config
                metadata: {name: mysql}
                spec:
                  path: charts/mysql/values.yaml
                  strategy: merge
                  data: |
                    primary: {persistence: {size: 20Gi}}
                ---
                apiVersion: sealer.io/v1
                kind: Config
                metadata: {name: motd}
                spec: {path: etc/motd, data: "hello\\n"}
                ---
                apiVersion: sealer.io/v1
                kind: Plugin
                metadata: {name: check}
                spec: {type: SHELL, action: PreInit|pre-join | Originally, scope: "master|192.168.0.2-3|master0", data: swapoff -a, timeout: 30}
                ---
                apiVersion: sealer.io/v1
                kind: Plugin
                metadata: {name: labels}
                spec:
                  type: LABEL
                  action: PreGuest
                  data: |
                    # disks
                    192.168.0.3 disk=ssd,zone=a
                ---
                apiVersion: sealer.io/v2
                kind: Application
                metadata: {name: apps}
                spec: {launchApps: [mysql]}
                ---
                apiVersion: kubelet.config.k8s.io/v1beta1
                kind: KubeletConfiguration
                failSwapOn: false
                maxPods: 0
                """)
        let parsed = try Cluster.parse(text)
        #expect(parsed.warnings.isEmpty)
        let cluster = parsed.cluster
        #expect(
            cluster.configs == [
                ConfigOverlay(
                    name: "mysql", path: "charts/mysql/values.yaml", strategy: .merge,
                    data: "primary: {persistence: {size: 20Gi}}\n"),
                ConfigOverlay(name: "motd", path: "etc/motd", strategy: .overwrite, data: "hello\n"),
            ])
        #expect(
            cluster.plugins == [
                Plugin(
                    name: "check", kind: .shell, phases: [.preInitHost, .preJoin],
                    scope: ["master", "192.168.0.2", "192.168.0.3", "master0"], data: "swapoff -a", timeout: 30),
                Plugin(
                    name: "labels", kind: .label, phases: [.preLaunch], data: "# disks\n192.168.0.3 disk=ssd,zone=a\n",
                    timeout: 600),
            ])
        #expect(cluster.applications == ["mysql"])
        #expect(
            cluster.kubeadmDocuments == [
                KubeadmDocument(
                    kind: .kubeletConfiguration, apiVersion: "kubelet.config.k8s.io/v1beta1",
                    fields: ["failSwapOn": false, "maxPods": 0])
            ])
    }

    @Test("phases: every name of sealer 0.5 to 0.11, and no other")
    func phases() {
        for phase in Plugin.Phase.allCases { #expect(Plugin.Phase(named: phase.rawValue) == phase) }
        #expect(Plugin.Phase(named: "PreGuest") == .preLaunch)
        #expect(Plugin.Phase(named: "Originally") == .preInitHost)
        #expect(Plugin.Phase(named: "PreInstall") == .preInstall)
        #expect(Plugin.Phase(named: "PostClean") == .postCleanHost)
        #expect(Plugin.Phase(named: "postinstall") == nil)
        #expect(Plugin.Phase(named: "upgrade") == nil)
    }

    @Test("where nothing is said, an older name of a cluster's phase means every host, a newer one the first master")
    func olderScope() throws {
        func scope(_ spec: String) throws -> [String]? {
            try Cluster.parse(plugin(spec), file: "Clusterfile").cluster.plugins.first?.scope
        }
        #expect(try scope("{type: SHELL, action: PostInstall, data: a}") == [Plugin.everyHost])
        #expect(try scope("{type: SHELL, action: post-install, data: a}") == [])
        #expect(try scope("{type: SHELL, action: PreInit, data: a}") == [])
        #expect(try scope("{type: SHELL, action: PostInstall, scope: node, data: a}") == ["node"])
        #expect(try scope("{type: LABEL, action: PreGuest, data: 192.168.0.2 a=b}") == [])
    }

    @Test("what LABEL, TAINT and HOSTNAME say of hosts")
    func assignments() throws {
        let (first, second) = (IPAddress(v4: 0xc0a8_0002), IPAddress(v4: 0xc0a8_0003))
        func read(_ kind: Plugin.Kind, _ data: String) throws(Failure) -> [Plugin.Assignment] {
            try Plugin(name: "a", kind: kind, phases: [.postInstall], data: data).assignments()
        }
        let labels = try read(.label, "\n  192.168.0.2   a=1,x.y/b=\n#192.168.0.9 c=d\n192.168.0.3 c=d")
        #expect(labels.map(\.host) == [first, second])
        #expect(labels.map(\.line) == [2, 4])
        #expect(labels.map(\.change) == [.labels(["a": "1", "x.y/b": ""]), .labels(["c": "d"])])
        #expect(
            try read(.taint, "192.168.0.2 a=b:NoSchedule,c-,d=e:NoExecute-,f:NoExecute-").map(\.change) == [
                .taints(
                    set: [Taint(key: "a", value: "b", effect: .noSchedule)],
                    removed: [
                        .init(key: "c", effect: nil), .init(key: "d", effect: .noExecute),
                        .init(key: "f", effect: .noExecute),
                    ])
            ])
        #expect(
            try read(.hostname, "192.168.0.2 master-0\n192.168.0.3 a.b").map(\.change) == [
                .hostname("master-0"), .hostname("a.b"),
            ])
        #expect(try read(.shell, "192.168.0.2 x") == [])
        #expect(throws: Failure.self) { try read(.hostname, "192.168.0.2 Master_0") }
    }

    private static let configsCases: [Case] = [
        Case("path: etc/x", "12:3: spec.data is missing, a string was expected"),
        Case(
            "{path: /etc/x, data: a}",
            "12:10: \"/etc/x\" is not a path in the rootfs, one as etc/kubeadm.yml was expected, without .. and without / in front"
        ),
        Case(
            "{path: a/../../x, data: a}",
            "12:10: \"a/../../x\" is not a path in the rootfs, one as etc/kubeadm.yml was expected, without .. and without / in front"
        ),
        Case(
            "{path: a, data: a, strategy: mrge}",
            "12:32: spec.strategy \"mrge\" is not known, overwrite, merge was expected, did you mean merge?"
        ),
        Case("{path: a, data: a, process: value}", "12:22: spec.process is not supported yet"),
        Case("{path: a, data: a, appName: b}", "12:22: spec.appName is not supported yet"),
        Case("{path: a, data: a, strategy: merge}", "12:19: a YAML mapping was expected, here stands a string"),
        Case("{path: a, data: '', strategy: merge}", "12:19: there is nothing to merge, a YAML mapping was expected"),
        Case(
            "path: a\n  strategy: merge\n  data: |\n\n      a: 1\n      b: {{ .X }}\n",
            "17:11: a key must be a word, here stands a mapping: a template that was not rendered?"
        ),
    ]

    @Test("mistakes of Config", arguments: configsCases)
    func configs(example: Case) {
        #expect(mistakes(config(example.text)) == example.expected)
    }

    private static let pluginsCases: [Case] = [
        Case(
            "{action: pre-install, data: a}",
            "12:3: spec.type is missing, SHELL, LABEL, TAINT, HOSTNAME was expected"
        ),
        Case(
            "{type: SHEL, action: pre-install, data: a}",
            "12:10: spec.type \"SHEL\" is not known, SHELL, LABEL, TAINT, HOSTNAME was expected, did you mean SHELL?"
        ),
        Case("{type: ETCD, action: pre-install, data: a}", "12:10: the type ETCD is not supported yet"),
        Case(
            "{type: SHELL, action: PostInstal, data: a}",
            "12:25: unknown phase \"PostInstal\", did you mean PostInstall?"
        ),
        Case(
            "{type: SHELL, action: whenever, data: a}",
            "12:25: unknown phase \"whenever\", one of pre-install, pre-scaleup, pre-init-host, pre-join, post-join, post-init-host, pre-launch, post-install, post-scaleup, pre-uninstall, pre-clean-host, post-clean-host, post-uninstall was expected"
        ),
        Case("{type: SHELL, action: upgrade-host, data: a}", "12:25: the phase upgrade-host is not supported yet"),
        Case("{type: SHELL, action: pre-install, data: ''}", "12:44: there is nothing to do in data"),
        Case(
            "{type: SHELL, action: pre-install, data: a, timeout: 0}",
            "12:56: 1 to 86400 seconds were expected, 0 were asked for"
        ),
        Case(
            "{type: SHELL, action: pre-install, data: a, scope: masters}",
            "12:54: no host has the role \"masters\", one of db, master, node, master0, all or an address was expected, did you mean master?"
        ),
        Case(
            "{type: SHELL, action: pre-install, data: a, scope: 192.168.0.9}",
            "12:54: no host of the cluster has the address 192.168.0.9"
        ),
        Case(
            "{type: SHELL, action: pre-install, data: a, scope: 10.0.0.0-10.0.15.255|10.1.0.0-10.1.15.255}",
            "12:54: more than 5000 words are in the scope, the most there may be"
        ),
        Case(
            "{type: SHELL, action: pre-install, data: a, scope: master|}",
            "12:54: an empty word in the scope, roles and addresses with | between them were expected"
        ),
        Case(
            "{type: SHELL, action: pre-install, data: a, scope: 192.168.0.3-2}",
            "12:54: the range \"192.168.0.3-2\" is backwards, 192.168.0.2-192.168.0.3 was expected"
        ),
        Case(
            "{type: SHELL, action: pre-install, data: a, 'on': master-install=true}",
            "12:47: warning: spec.on is the older name of scope, and is read as that\n12:53: no host of the cluster has the label master-install=true"
        ),
        Case(
            "{type: SHELL, action: pre-install, data: a, scope: disk=|zone=a b|=x|node-role.kubernetes.io/master=yes}",
            "12:54: no host of the cluster has the label disk=",
            "12:54: the label's value \"a b\" is not a value: at most 63 letters, digits, -, _ and . were expected, a letter or digit at both ends",
            "12:54: the label's key \"\" is not a key: at most 63 letters, digits, -, _ and . were expected, a letter or digit at both ends, with a DNS name and / before it or without",
            "12:54: no host of the cluster has the label node-role.kubernetes.io/master=yes"
        ),
        Case(
            "{type: SHELL, action: pre-install, data: a, scope: \"node-role.kubernetes.io/master=,node-role.kubernetes.io/control-plane=\"}",
            "12:54: two labels have a comma between them, | was expected: hosts with one or the other are meant"
        ),
        Case(
            "{type: SHELL, action: pre-install, data: a, on: master}",
            "12:47: warning: spec.on is the older name of scope, and is read as that"
        ),
        Case(
            "type: LABEL\n  action: PreGuest\n  data: |\n    192.168.0.2 a=b\n\n    192.168.0.9 a=b\n     x a=b\n    192.168.0.3 a b\n    192.168.0.3 a=b c\n",
            "17:5: no host of the cluster has the address 192.168.0.9",
            "18:6: \"x\" is not an address, ADDRESS KEY=VALUE,KEY=VALUE was expected",
            "19:19: 2 words stand behind the address, ADDRESS KEY=VALUE,KEY=VALUE was expected",
            "20:21: 2 words stand behind the address, ADDRESS KEY=VALUE,KEY=VALUE was expected"
        ),
        Case(
            "{type: LABEL, action: pre-join|post-join, data: \"192.168.0.2 a=b\"}",
            "12:25: a plugin of type LABEL has nothing to do at pre-join, one of post-init-host, post-join, pre-launch, post-install, post-scaleup was expected"
        ),
        Case(
            "{type: HOSTNAME, action: PreGuest, data: \"192.168.0.2 a\"}",
            "12:28: a plugin of type HOSTNAME has nothing to do at pre-launch, one of pre-install, pre-init-host, pre-join, pre-scaleup was expected"
        ),
        Case(
            "{type: LABEL, action: PreGuest, data: \"192.168.0.2 a\"}",
            "12:41: \"a\" has no =, KEY=VALUE was expected"
        ),
        Case(
            "{type: TAINT, action: PreGuest, data: \"192.168.0.2 a=b:No\"}",
            "12:41: the taint \"a=b:No\" has no known effect, one of NoSchedule, PreferNoSchedule, NoExecute was expected"
        ),
        Case(
            "{type: HOSTNAME, action: PreInit, data: \"192.168.0.2 a\\n192.168.0.3 a\"}",
            "12:43: the name a stands twice, first in line 1 of the data"
        ),
    ]

    @Test("mistakes of Plugin", arguments: pluginsCases)
    func plugins(example: Case) {
        #expect(mistakes(plugin(example.text)) == example.expected)
    }

    @Test("labels in a scope: those of the Clusterfile's hosts, and Kubernetes' own of masters")
    func labels() throws {
        let text = plugin(
            "{type: SHELL, action: pre-init-host, data: a, on: \"disk=ssd|gone=, 10.0.0.9|node-role.kubernetes.io/master=\"}"
        )
        .replacing("roles: [node, db]", with: "roles: [node, db], labels: {disk: ssd, gone: ''}")
        .replacing("10.0.0.9", with: "192.168.0.3")
        let cluster = try Cluster.parse(text).cluster
        let words = ["disk=ssd", "gone=", "192.168.0.3", "node-role.kubernetes.io/master="]
        #expect(cluster.plugins.first?.scope == words)
        #expect(try Cluster.parse(cluster.text).cluster == cluster)

        func selects(_ word: String, _ roles: [String], _ labels: [String: String]) -> Bool? {
            Plugin.LabelSelector(word)?.selects(roles: roles, labels: labels)
        }
        #expect(selects("disk=ssd", ["node"], ["disk": "ssd"]) == true)
        #expect(selects("disk=ssd", ["node"], ["disk": "hdd"]) == false)
        #expect(selects("disk=", ["node"], ["disk": ""]) == true)
        #expect(selects("disk=", ["node"], [:]) == false)
        #expect(selects("node-role.kubernetes.io/control-plane=", ["master"], [:]) == true)
        #expect(selects("node-role.kubernetes.io/master=", ["node"], [:]) == false)
        #expect(selects("master", ["master"], [:]) == nil)
    }

    @Test("a plugin for all hosts is right where there is no worker, with a warning")
    func noWorker() {
        let text = plugin("{type: SHELL, action: pre-install, data: a, scope: master|node}")
            .replacing(", {ips: [192.168.0.3], roles: [node, db]}", with: "")
        #expect(mistakes(text) == ["Clusterfile:12:54: warning: no host has the role \"node\""])
    }

    private static let othersCases: [Case] = [
        Case(
            "apiVersion: kubeadm.k8s.io/v1\nkind: InitConfiguration",
            "8:13: \"kubeadm.k8s.io/v1\" is not an API version of InitConfiguration, kubeadm.k8s.io/v1beta2 or kubeadm.k8s.io/v1beta3 or kubeadm.k8s.io/v1beta4 was expected"
        ),
        Case("kind: InitConfiguration", "8:1: apiVersion is missing, kubeadm.k8s.io/v1beta3 was expected"),
        Case(
            "apiVersion: sealer.io/v9\nkind: Config\nmetadata: {name: a}\nspec: {path: a, data: b}",
            "8:13: apiVersion \"sealer.io/v9\" is not known, sealer.io/v1 was expected, did you mean sealer.io/v1?"
        ),
        Case(
            "apiVersion: sealer.cloud/v1\nkind: Config\nmetadata: {name: a}\nspec: {path: a, data: b}",
            "8:13: warning: the API version sealer.cloud/v1 is of an older release: sealer.io/v1 has taken its place"
        ),
        Case(
            "apiVersion: sealer.io/v2\nkind: Application\nmetadata: {name: a}\nspec: {configs: []}",
            "11:8: spec.configs is not supported yet"
        ),
        Case(
            "apiVersion: sealer.io/v1\nkind: Config\nmetadata: {name: a b}\nspec: {path: a, data: b}",
            "10:18: the name \"a b\" is not a value: at most 63 letters, digits, -, _ and . were expected, a letter or digit at both ends"
        ),
        Case(
            "apiVersion: sealer.io/v1\nkind: Config\nmetadata: {name: a}\nspec: {path: a, data: b}\n---\napiVersion: sealer.io/v1\nkind: Config\nmetadata: {name: a}\nspec: {path: a, data: b}",
            "15:18: the name a stands twice, first in line 10"
        ),
        Case(
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration",
            "11:1: a second document of kind KubeletConfiguration, first in line 8"
        ),
    ]

    @Test("mistakes of the other kinds", arguments: othersCases)
    func others(example: Case) {
        #expect(mistakes(file(document: example.text)) == example.expected)
    }

    @Test("kubeadm's networks must be the cluster's, when both are named")
    func networks() {
        let document =
            "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\nnetworking: {podSubnet: 10.50.0.0/16}"
        let text = file(document: document).replacing(
            "image: hello", with: "image: hello\n  network: {podCIDR: 10.51.0.0/16}")
        #expect(
            mistakes(text) == [
                "Clusterfile:11:25: networking.podSubnet differs from the pods' network 10.51.0.0/16: set spec.network.podCIDR, and leave this out, see line 6"
            ])
        #expect(mistakes(text.replacing("10.51", with: "10.50")) == [])
    }

    @Test("appNames and an Application exclude each other")
    func applications() {
        let text = file(
            document: "apiVersion: sealer.io/v2\nkind: Application\nmetadata: {name: a}\nspec: {launchApps: [a]}"
        )
        .replacing("image: hello", with: "image: hello\n  appNames: [b]")
        #expect(
            mistakes(text) == [
                "Clusterfile:12:8: spec.launchApps and appNames of the Cluster exclude each other"
            ])
    }
}
