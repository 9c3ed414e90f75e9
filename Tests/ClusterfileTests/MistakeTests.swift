import Clusterfile
import Report
import Testing

@Suite("Clusterfile: mistakes")
struct MistakeTests {
    private static let alike: [String] =
        ["5:29: the pods' network 10.244.0.0/16 is too small: each of the 4197 hosts needs 256 addresses"]
        + (0..<10).map { "8:12: the address 10.0.0.\($0) stands twice, first in line 7" }
        + ["8:12: 90 more addresses stand twice"]

    private static let specificationCases: [Case] = [
        Case("imag: x", "9:3: unknown field spec.imag, did you mean image?"),
        Case(
            "zzzzzz: x",
            "9:3: unknown field spec.zzzzzz, one of image, hosts, provider, masters, nodes, ssh, network, env, certSANs, certificates, hostAliases, registry, containerRuntime, dataRoot, appNames, cmd, container was expected"
        ),
        Case("cmd_args: [a=b]", "9:3: spec.cmd_args is not supported yet"),
        Case(
            "masters: {count: 1}",
            "9:3: spec.masters and spec.hosts exclude each other: put these hosts among spec.hosts"
        ),
        Case(
            "network: {podCIDR: 10.1.2.0/16}",
            "9:22: \"10.1.2.0/16\" is an address in the network 10.1.0.0/16, the network was expected"
        ),
        Case(
            "network: {podCIDR: 10}",
            "9:22: spec.network.podCIDR must be a string, here stands a number: quote it, \"10\""
        ),
        Case(
            "network: {podCIDR: 10.100.0.0/16}",
            "9:22: the services' network 10.96.0.0/12 overlaps the pods' network 10.100.0.0/16"
        ),
        Case(
            "network:\n  podCIDR: 10.0.0.0/16\n  svcCIDR: 10.0.8.0/24",
            "11:14: the services' network 10.0.8.0/24 overlaps the pods' network 10.0.0.0/16, see line 10"
        ),
        Case(
            "network: {podCIDR: 10.1.0.0/24}",
            "9:22: the pods' network 10.1.0.0/24 is too small: each of the 2 hosts needs 256 addresses"
        ),
        Case(
            "network: {svcCIDR: 10.0.0.0/29}",
            "9:22: the services' network 10.0.0.0/29 must have a length from /12 to /28"
        ),
        Case(
            "network: {svcCIDR: 127.0.0.0/16}",
            "9:22: the network 127.0.0.0/16 overlaps 127.0.0.0/8, which is for the machine itself"
        ),
        Case(
            "network: {podCIDR: 192.168.0.0/16}",
            "7:14: the host's address 192.168.0.2 is in the pods' network 192.168.0.0/16, see line 9",
            "8:14: the host's address 192.168.0.3 is in the pods' network 192.168.0.0/16, see line 9"
        ),
        Case(
            "network: {podCIDR: \"10.1.0.0/16,10.2.0.0/16\"}",
            "9:22: 10.1.0.0/16,10.2.0.0/16: one network, or one of IPv4 and one of IPv6 joined by a comma, was expected",
            "9:22: the services' networks are IPv4, but the pods' are IPv4 and then IPv4: the same were expected"
        ),
        Case(
            "network: {podCIDR: \"10.1.0.0/16,fd00::/56\"}",
            "9:22: the services' networks are IPv4, but the pods' are IPv4 and then IPv6: the same were expected"
        ),
        Case(
            "network: {podCIDR: \"fd00:1::/40\", svcCIDR: \"fd00:2::/64\"}",
            "7:14: 192.168.0.2 is an IPv4 address, but no network of the pods is one, see line 9",
            "8:14: 192.168.0.3 is an IPv4 address, but no network of the pods is one, see line 9",
            "9:22: the pods' network fd00:1::/40 must have a length from /48 to /64",
            "9:46: the services' network fd00:2::/64 must have a length from /108 to /124"
        ),
        Case(
            "network: {podCIDR: \"fd00:1::/56,10.1.0.0/16\", svcCIDR: \"fd00:2::/112,10.2.0.0/16\"}",
            "7:14: 192.168.0.2 is an IPv4 address, but the pods' first network is one of IPv6, see line 9"
        ),
        Case(
            "network: {cniName: calico}",
            "9:13: warning: spec.network.cniName has had no meaning since sealer 0.5, and is passed over"
        ),
        Case(
            "env: 7",
            "9:8: spec.env must be a list of strings, or mapping of strings, here stands a number"
        ),
        Case("env: [a]", "9:9: \"a\" has no =, NAME=VALUE was expected"),
        Case("env: [a=1, a=2]", "9:14: a stands twice in spec.env"),
        Case(
            "env: [a-b=1]",
            "9:9: \"a-b\" is not a variable's name: letters, digits and _ were expected, no digit first"
        ),
        Case(
            "env: {a-b: \"1\"}",
            "9:9: \"a-b\" is not a variable's name: letters, digits and _ were expected, no digit first"
        ),
        Case("env: [1]", "9:9: spec.env must be a string, here stands a number: quote it, \"1\""),
        Case("env: {A: 1}", "9:12: spec.env.A must be a string, here stands a number: quote it, \"1\""),
        Case(
            "env: [PodCIDR=10.1.0.0/16]",
            "9:9: warning: the variable PodCIDR sets nothing but itself: spec.network.podCIDR is what sealer reads"
        ),
        Case("certSANs: [a_b]", "9:14: \"a_b\" is neither a host name nor an address"),
        Case("certSANs: [a.b, 10.0.0.256]", "9:19: \"10.0.0.256\" is neither a host name nor an address"),
        Case("certSANs: []\ncertSANS: []", "10:3: spec.certSANS is the same field as certSANs, which stands in line 9"),
        Case("container: {egress: 1}", "9:23: spec.container.egress must be true or false, here stands a number"),
        Case(
            "container: {nodeImage: Bad Name}",
            "9:26: \"Bad Name\" is not an image name: the repository must be lower-case letters and digits, parted by single . _ - or /"
        ),
        Case("certificates: {leafYears: 0}", "9:29: 1 to 100 years were expected, 0 were asked for"),
        Case(
            "certificates: {leafYears: 11}",
            "9:29: certificates cannot be valid for 11 years when their authority is for 10"
        ),
        Case(
            "hostAliases: [{ip: x, hostnames: [a]}]",
            "9:22: \"x\" is not an address, one as 192.168.0.2 or fd00::2 was expected"
        ),
        Case(
            "hostAliases: [{ip: 10.0.0.9}]",
            "9:17: spec.hostAliases[0].hostnames is missing, a list of strings was expected"
        ),
        Case(
            "hostAliases: [{ip: 10.0.0.9, hostnames: []}]",
            "9:43: 10.0.0.9 has no name here, one or more were expected"
        ),
        Case(
            "hostAliases: [{ip: 10.0.0.9, hostnames: [sea.hub, a.b, a.b]}]",
            "9:44: sea.hub is a name of the cluster's own, another one was expected\n9:58: the name a.b stands twice, first in line 9"
        ),
        Case("registry: {externalRegistry: {domain: x}}", "9:14: spec.registry.externalRegistry is not supported yet"),
        Case(
            "registry: {localRegistry: {insecure: true}}",
            "9:40: spec.registry.localRegistry.insecure cannot be true: the registry is served over TLS, with the cluster's own authority"
        ),
        Case(
            "registry: {localRegistry: {username: u}}",
            "9:30: spec.registry.localRegistry.username is not supported yet: the registry gives images to the cluster's nodes without a login"
        ),
        Case(
            "registry: {localRegistry: {domain: a_b, port: 70000, cert: {subjectAltName: {ips: [x], dnsNames: [1.2.3.4]}}}}",
            "9:38: \"a_b\" is not a host name, one as sea.hub was expected",
            "9:49: spec.registry.localRegistry.port must be 1 to 65535, here stands 70000",
            "9:86: \"x\" is not an address",
            "9:101: 1.2.3.4 is an address, and belongs to ips"
        ),
        Case(
            "containerRuntime: {type: ../x}",
            "9:28: \"../x\" is not a container runtime, containerd was expected"
        ),
        Case(
            "containerRuntime: {type: docker}",
            "9:28: the container runtime docker is not installed yet, containerd was expected"
        ),
        Case(
            "dataRoot: data",
            "9:13: \"data\" is not a folder's path, one as /var/lib/sealer/data was expected"
        ),
        Case("dataRoot: /a/../b", "9:13: \"/a/../b\" is not a folder's path, one as /var/lib/sealer/data was expected"),
        Case("appNames: [a, a]", "9:17: the application a stands twice, first in line 9"),
        Case("appNames: [a/b]", "9:14: \"a/b\" is not an application's name"),
        Case("cmd: [' ']", "9:9: a command was expected, here stands none"),
        Case(
            "appNames: [a]\ncmd: [b]",
            "10:8: cmd and appNames exclude each other: cmd takes the place of every application's own commands, see line 9"
        ),
        Case("ssh: {port: 0}", "9:15: spec.ssh.port must be 1 to 65535, here stands 0"),
        Case("ssh: {port: \"22x\"}", "9:15: spec.ssh.port must be a whole number, here stands a string"),
        Case(
            "ssh: {user: \"-oProxyCommand=x\"}",
            "9:15: \"-oProxyCommand=x\" is not a user's name, one as root was expected"
        ),
        Case(
            "ssh: {passwd: prompt, password: prompt}",
            "9:25: spec.ssh.password is the same field as passwd, which stands in line 9"
        ),
        Case(
            "ssh: {passwd: \"env:\"}",
            "9:17: the name of a variable was expected behind env: (letters, digits and _, no digit first)"
        ),
        Case("ssh: {passwd: \"file:\"}", "9:17: the path of a file was expected behind file:"),
        Case(
            "ssh: {encrypted: true}",
            "9:20: spec.ssh.encrypted cannot be true: other tools of the field encrypt with a key that stands in their source, which keeps no secret"
        ),
    ]

    @Test("of the specification, each at its place", arguments: specificationCases)
    func specification(example: Case) {
        #expect(mistakes(file(example.text)) == example.expected)
    }

    private static let hostsCases: [Case] = [
        Case(
            "{ips: [192.168.0.2], roles: [node]}",
            "5:29: a cluster needs a master: a host with the role master was expected"
        ),
        Case("", "5:29: a cluster needs a master: a host with the role master was expected"),
        Case("7", "6:5: spec.hosts[0] must be a mapping, here stands a number"),
        Case(
            "{ips: [192.168.0.2, 192.168.0.3], roles: [master]}",
            "6:46: warning: etcd on 2 masters survives no more losses than on 1: use an odd number"
        ),
        Case(
            "{ips: [192.168.0.1-9], roles: [master]}",
            "6:35: 9 masters were asked for, 7 are the most there may be"
        ),
        Case(
            "{ips: [192.168.0.2], roles: [master]},\n{ips: [192.168.0.1-3, 192.168.0.1], roles: [node]}",
            "7:12: the address 192.168.0.2 stands twice, first in line 6\n7:27: the address 192.168.0.1 stands twice, first in line 7"
        ),
        Case(
            "{ips: [192.168.0.2], roles: [master]},\n{ips: [10.0.0.0-10.0.15.255], roles: [node]},\n{ips: [10.0.0.0-99], roles: [node]}",
            all: alike
        ),
        Case(
            "{ips: [127.0.0.1], roles: [master]}",
            "6:12: 127.0.0.1 is in 127.0.0.0/8, which is for the machine itself"
        ),
        Case(
            "{ips: [\"fe80::1\"], roles: [master]}",
            "6:12: fe80::1 is in fe80::/10, which is for link-local addresses\n6:12: fe80::1 is an IPv6 address, but no network of the pods is one"
        ),
        Case(
            "{ips: [192.168.0.5-2], roles: [master]}",
            "6:12: the range \"192.168.0.5-2\" is backwards, 192.168.0.2-192.168.0.5 was expected"
        ),
        Case(
            "{ips: [192.168.0.300], roles: [master]}",
            "6:12: \"192.168.0.300\" is not an address, one as 192.168.0.2 or a range as 192.168.0.2-192.168.0.5 was expected"
        ),
        Case(
            "{roles: [master]}",
            "5:29: a cluster needs a master: a host with the role master was expected\n6:5: no host: ips was expected, with an address or a range"
        ),
        Case(
            "{ips: 192.168.0.2, roles: [master]}",
            "6:11: spec.hosts[0].ips must be a list of strings, here stands a string"
        ),
        Case(
            "{ips: [192.168.0.2]}",
            "6:5: spec.hosts[0].roles is missing, a list of strings was expected"
        ),
        Case(
            "{ips: [192.168.0.2], roles: []}",
            "5:29: a cluster needs a master: a host with the role master was expected\n6:33: a host needs a role: master, node or a name of your own was expected"
        ),
        Case(
            "{ips: [192.168.0.2], roles: [master, \"\", a b, master, master0]}",
            "6:42: an empty role: master, node or a name of your own was expected",
            "6:46: the role \"a b\" is not a value: at most 63 letters, digits, -, _ and . were expected, a letter or digit at both ends",
            "6:51: the role master stands twice, first in line 6",
            "6:59: master0 means the first master, and is no role: another name was expected"
        ),
        Case(
            "{ips: [192.168.0.2], roles: [master]}, {ips: [192.168.0.3], roles: [nodes]}, {ips: [192.168.0.4], roles: [db]}",
            "6:72: warning: neither master nor node is among the roles, so these hosts become workers, did you mean node?\n6:110: warning: neither master nor node is among the roles, so these hosts become workers: write node beside them"
        ),
        Case(
            "{ips: [192.168.0.2], roles: [master]}, {ips: [192.168.0.3], roles: [node, mastr, db, core, Nodes, edge]}",
            "6:79: warning: the role mastr is a name of your own, did you mean master?",
            "6:96: warning: the role Nodes is a name of your own, did you mean node?"
        ),
        Case(
            "{ips: [192.168.0.2], roles: [master], provider: contaner}",
            "6:53: spec.hosts[0].provider \"contaner\" is not known, baremetal, container, local was expected, did you mean container?"
        ),
        Case(
            "{ips: [192.168.0.2], roles: [master], provider: ALI_CLOUD}",
            "6:53: the provider ALI_CLOUD is not supported yet, baremetal, container, local was expected"
        ),
        Case(
            "{ips: [192.168.0.2], roles: [master], provider: container}",
            "6:11: containers get their addresses from Docker, count was expected instead of ips"
        ),
        Case(
            "{count: 0, roles: [master], provider: container}",
            "5:29: a cluster needs a master: a host with the role master was expected\n6:13: 1 container or more was expected, 0 were asked for"
        ),
        Case(
            "{count: 1, roles: [master], provider: container}, {count: 100, roles: [node], provider: container}",
            "6:63: 101 containers were asked for, 100 are the most there may be on one machine"
        ),
        Case(
            "{ips: [192.168.0.2], count: 3, roles: [master]}",
            "6:33: count is 3, but there are 1 addresses"
        ),
        Case(
            "{ips: [192.168.0.2-3], roles: [node], provider: local}, {ips: [192.168.0.4], roles: [master]}",
            "6:11: the provider local is this very machine: one address was expected"
        ),
        Case(
            "{ips: [192.168.0.2], roles: [master], provider: local},\n{ips: [192.168.0.3], roles: [node], provider: local}",
            "7:51: a second group of provider local: there is only one such machine, first in line 6"
        ),
        Case(
            "{ips: [192.168.0.2], roles: [master], labels: {a b: x, c: \"y z\", d: 1, e: \"\"}}",
            "6:52: the label's key \"a b\" is not a key: at most 63 letters, digits, -, _ and . were expected, a letter or digit at both ends, with a DNS name and / before it or without",
            "6:60: the label's value \"y z\" is not a value: at most 63 letters, digits, -, _ and . were expected, a letter or digit at both ends",
            "6:73: spec.hosts[0].labels.d must be a string, here stands a number: quote it, \"1\""
        ),
        Case(
            "{ips: [192.168.0.2], roles: [master], taints: [a, \"a=b:noschedule\", \"a=b:NoSchedule\", \"a=c:NoSchedule\", \"/:NoExecute\"]}",
            "6:52: \"a\" is not a taint, one as key=value:NoSchedule was expected",
            "6:55: the taint \"a=b:noschedule\" has no known effect, one of NoSchedule, PreferNoSchedule, NoExecute was expected, did you mean NoSchedule?",
            "6:91: a taint of key a and effect NoSchedule stands twice, first in line 6",
            "6:109: the taint's key \"/\" is not a key: at most 63 letters, digits, -, _ and . were expected, a letter or digit at both ends, with a DNS name and / before it or without"
        ),
        Case(
            "{ips: [192.168.0.2], roles: [master], ssh: {usr: root, port: 99999}, env: [\"1=2\"]}",
            "6:49: unknown field spec.hosts[0].ssh.usr, did you mean user?",
            "6:66: spec.hosts[0].ssh.port must be 1 to 65535, here stands 99999",
            "6:80: \"1\" is not a variable's name: letters, digits and _ were expected, no digit first"
        ),
        Case(
            "{ips: [192.168.0.2], roles: [master], ssh: {passwd: hunter2}}",
            "6:57: warning: the password itself stands here: env:NAME, file:PATH or prompt keeps it out of the file; sealer never writes it anywhere"
        ),
    ]

    @Test("of hosts, each at its place", arguments: hostsCases)
    func hosts(example: Case) {
        #expect(mistakes(file(hosts: example.text)) == example.expected)
    }

    private static let shortFormCases: [Case] = [
        Case("masters: 1", "7:12: spec.masters must be a mapping, here stands a number"),
        Case("masters: {count: x}", "7:20: spec.masters.count must be a whole number, here stands a string"),
        Case("masters: {count: 0}", "7:20: a cluster needs a master: a host with the role master was expected"),
        Case(
            "masters: {count: 4}",
            "7:20: warning: etcd on 4 masters survives no more losses than on 3: use an odd number"
        ),
        Case("masters: {count: 9}", "7:20: 9 masters were asked for, 7 are the most there may be"),
        Case("nodes: {count: -1}", "7:18: 1 container or more was expected, -1 were asked for"),
        Case("nodes: {count: 1.5}", "7:18: spec.nodes.count must be a whole number, here stands a number"),
        Case(
            "nodes: {count: 101}",
            "7:18: 102 containers were asked for, 100 are the most there may be on one machine"
        ),
        Case(
            "nodes: {ipList: [192.168.0.2]}",
            "7:19: containers get their addresses from Docker, count was expected instead of ipList"
        ),
        Case(
            "nodes: {memory: 4}",
            "7:11: warning: spec.nodes.memory belongs to hosts of a cloud, which sealer does not make, and is passed over"
        ),
    ]

    @Test("of the short form", arguments: shortFormCases)
    func shortForm(example: Case) {
        #expect(mistakes(shortFile(example.text)) == example.expected)
    }

    private static let addressesCases: [Case] = [
        Case("masters: {count: 1}", "7:20: hosts of the provider baremetal have addresses: ipList was expected"),
        Case("masters: {count: 2, ipList: [192.168.0.2]}", "7:20: spec.masters.count is 2, but ipList has 1 addresses"),
        Case(
            "masters: {ipList: [\"192.168.0.2:0\"]}",
            "7:22: \"192.168.0.2:0\" does not end in a port, 1 to 65535 was expected"
        ),
        Case(
            "masters: {ipList: [\"[192.168.0.2]x22\"]}",
            "7:22: \"[192.168.0.2]x22\" is not an address, one as 192.168.0.2 or a range as 192.168.0.2-192.168.0.5 was expected"
        ),
        Case(
            "masters: {ipList: [\"[192.168.0.2]:\"]}",
            "7:22: \"[192.168.0.2]:\" does not end in a port, 1 to 65535 was expected"
        ),
        Case(
            "masters: {ipList: [192.168.0]}",
            "7:22: \"192.168.0\" is not an address, one as 192.168.0.2 or a range as 192.168.0.2-192.168.0.5 was expected"
        ),
        Case(
            "nodes: {ipList: [192.168.0.2]}",
            "6:13: a cluster needs a master: a host with the role master was expected"
        ),
        Case(
            "masters: {ipList: [192.168.0.2]}\nnodes: {ipList: [192.168.0.2]}",
            "8:20: the address 192.168.0.2 stands twice, first in line 7"
        ),
    ]

    @Test("of the short form with addresses", arguments: addressesCases)
    func addresses(example: Case) {
        let whole = shortFile(example.text).replacing("provider: container", with: "provider: baremetal")
        #expect(mistakes(whole) == example.expected)
    }

    @Test("provider or hosts must be there")
    func nothing() {
        let text = "apiVersion: sealer.io/v2\nkind: Cluster\nmetadata: {name: a}\nspec:\n  image: b\n"
        #expect(
            mistakes(text) == [
                "Clusterfile:5:3: spec.hosts is missing, a list of hosts with ips and roles was expected"
            ])
        #expect(
            mistakes(text + "  masters: {count: 1}\n") == [
                "Clusterfile:5:3: spec.provider is missing, baremetal, container, local was expected"
            ])
        #expect(mistakes(text + "  masters: {ipList: [192.168.0.2]}\n") == [])
        #expect(
            mistakes(text + "  provider: ALI_CLOUD\n  masters: {count: 1}\n") == [
                "Clusterfile:6:13: the provider ALI_CLOUD is not supported yet, baremetal, container, local was expected"
            ])
        #expect(mistakes(text + "  provider: CONTAINER\n") == [])
    }

    private static let documentsCases: [Case] = [
        Case("", "1:1: the file is empty, a document of kind Cluster was expected"),
        Case("x", "1:1: a document must be a mapping, here stands a string"),
        Case(
            "a: 1",
            "1:1: kind is missing, Cluster, Config, Plugin, Application, InitConfiguration, ClusterConfiguration, JoinConfiguration, KubeletConfiguration, KubeProxyConfiguration was expected"
        ),
        Case(
            "kind: KubeadmConfig",
            "1:7: the kind KubeadmConfig is not supported: it was planned once, and never came"
        ),
        Case(
            "kind: Klaster",
            "1:7: unknown kind Klaster, Cluster, Config, Plugin, Application, InitConfiguration, ClusterConfiguration, JoinConfiguration, KubeletConfiguration, KubeProxyConfiguration was expected, did you mean Cluster?"
        ),
        Case(
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration",
            "1:1: there is no document of kind Cluster"
        ),
        Case("a: {{ .X }}", "1:5: a key must be a word, here stands a mapping: a template that was not rendered?"),
        Case(
            "kind: Cluster",
            "1:1: apiVersion is missing, sealer.io/v2 was expected\n1:1: metadata is missing, a mapping was expected\n1:1: spec is missing, a mapping was expected"
        ),
    ]

    @Test("of whole documents", arguments: documentsCases)
    func documents(example: Case) {
        #expect(mistakes(example.text) == example.expected)
    }

    @Test("all mistakes come together, in the order of their places")
    func together() {
        let text = """
            apiVersion: sealer.cloud/v3
            kind: Cluster
            metadata:
              name: Demo
              label: {}
            spec:
              image: Hello World
              network: {podCIDR: nonsense, svcCIDR: 10.244.0.0/16}
              spech: 1
              hosts:
                - ips: [192.168.0.2, 192.168.0.2, 10.244.0.7]
                  roles: [master]
                - ips: [192.168.0.2]
            ---
            apiVersion: sealer.io/v1
            kind: Plugin
            metadata: {name: a}
            spec: {type: SHELL, action: PostInstal, scope: workers, data: x}
            ---
            apiVersion: sealer.io/v2
            kind: Cluster
            """
        let found = mistakes(text)
        let places = found.map { $0.split(separator: " ", maxSplits: 1).first.map(String.init) ?? "" }
        #expect(
            places.map { $0.dropFirst("Clusterfile:".count) } == [
                "1:13:", "4:9:", "5:3:", "7:10:", "8:22:", "9:3:", "11:26:", "11:39:", "13:7:", "13:13:", "18:29:",
                "20:1:",
            ],
            "\(found.joined(separator: "\n"))"
        )
        #expect(found.last == "Clusterfile:20:1: a second document of kind Cluster, the first stands in line 1")
    }
}
