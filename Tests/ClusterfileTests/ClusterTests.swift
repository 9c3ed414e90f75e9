import Clusterfile
import OCI
import Report
import TestSupport
import Testing

@Suite("Clusterfile: what is read")
struct ClusterTests {
    private func addresses(_ texts: String...) throws -> [IPAddress] {
        try texts.flatMap { try [IPAddress](ranges: $0) }
    }

    @Test("every field of the form with hosts")
    func everything() throws {
        let text = """
            # my cluster
            apiVersion: sealer.io/v2
            kind: Cluster
            metadata:
              name: demo-1
            spec:
              image: localhost:5000/hello:v1
              env:
                - GREETING=hello, "you" = me; and you
                - EMPTY=
              ssh:
                user: admin
                passwd: env:SSH_PASSWORD
                pk: ~/.ssh/id_ed25519
                pkPasswd: file:/run/passphrase
                port: "2222"
              network:
                podCIDR: 10.1.0.0/16,fd00:1::/56
                svcCIDR: 10.2.0.0/24, fd00:2::/112
              certSANs: [demo.example.com, 192.0.2.7, "*.example.com", fd00::7]
              certificates: {authorityYears: 20, leafYears: 2, folder: /etc/pki/mine}
              hostAliases: [{ip: 10.0.0.9, hostnames: [harbor.local, harbor]}]
              registry:
                localRegistry:
                  domain: hub.local
                  port: 5443
                  ha: false
                  insecure: false
                  cert: {subjectAltName: {dnsNames: [hub.example], ips: [10.0.0.2]}}
              containerRuntime: {type: containerd}
              dataRoot: /data/sealer
              appNames: [mysql, shop]
              container:
                nodeImage: example/node:1
                egress: true
              hosts:
                - ips: [192.168.0.2, 192.168.0.3-192.168.0.4]
                  roles: [master]
                  env: {ETCD: "/data/etcd"}
                - ips: [192.168.0.5]
                  roles: [node, db]
                  labels: {disk: ssd, example.com/zone: "1"}
                  taints: ["dedicated=db:NoSchedule", "gone:NoExecute"]
                  ssh: {user: root, port: 24}
                - {provider: container, count: 2, roles: [node]}
                - {provider: local, ips: ["192.168.0.9"], roles: [node]}
            """
        let parsed = try Cluster.parse(text)
        let expected = Cluster(
            name: "demo-1",
            image: try Reference("localhost:5000/hello:v1"),
            hosts: [
                HostGroup(
                    addresses: try addresses("192.168.0.2-4"), roles: ["master"], environment: ["ETCD": "/data/etcd"]),
                HostGroup(
                    addresses: try addresses("192.168.0.5"), roles: ["node", "db"],
                    ssh: SSHSettings(user: "root", port: 24), labels: ["disk": "ssd", "example.com/zone": "1"],
                    taints: [
                        Taint(key: "dedicated", value: "db", effect: .noSchedule),
                        Taint(key: "gone", effect: .noExecute),
                    ]),
                HostGroup(provider: .container, count: 2, roles: ["node"]),
                HostGroup(provider: .local, addresses: try addresses("192.168.0.9"), roles: ["node"]),
            ],
            ssh: SSHSettings(
                user: "admin", password: .environment("SSH_PASSWORD"), identityFile: "~/.ssh/id_ed25519",
                passphrase: .file("/run/passphrase"), port: 2222),
            network: ClusterNetwork(
                pods: [try IPNetwork("10.1.0.0/16"), try IPNetwork("fd00:1::/56")],
                services: [try IPNetwork("10.2.0.0/24"), try IPNetwork("fd00:2::/112")]),
            environment: ["GREETING": "hello, \"you\" = me; and you", "EMPTY": ""],
            certificateNames: ["demo.example.com", "192.0.2.7", "*.example.com", "fd00::7"],
            certificates: CertificateSettings(authorityYears: 20, leafYears: 2, folder: "/etc/pki/mine"),
            hostAliases: [HostAlias(address: try addresses("10.0.0.9")[0], names: ["harbor.local", "harbor"])],
            registry: RegistrySettings(
                domain: "hub.local", port: 5443, onEveryMaster: false, certificateNames: ["hub.example", "10.0.0.2"]),
            containerRuntime: "containerd",
            dataRoot: "/data/sealer",
            applications: ["mysql", "shop"],
            nodeContainers: NodeContainerSettings(image: "example/node:1", egress: true)
        )
        #expect(parsed.cluster == expected)
        #expect(parsed.warnings.isEmpty, "\(parsed.warnings)")
        #expect(parsed.cluster.network.apiServerService?.description == "10.2.0.1")
        #expect(parsed.cluster.network.dnsService?.description == "10.2.0.10")
    }

    @Test("members: numbers among masters and others, settings of the group over those of the cluster")
    func members() throws {
        let cluster = try Cluster.parse(
            file(
                hosts: """
                    {ips: [192.168.0.2-3, 192.168.0.9], roles: [master], env: {A: "2"}},
                    {provider: container, count: 2, roles: [node]},
                    {ips: [192.168.0.5], roles: [db, node], ssh: {user: root}}
                    """
            ).replacingHead("ssh: {user: admin, port: 2222}, env: {A: \"1\", B: \"1\"}")
        ).cluster
        let members = cluster.members
        #expect(members.map(\.isMaster) == [true, true, true, false, false, false])
        #expect(members.map(\.index) == [0, 1, 2, 0, 1, 2])
        #expect(
            members.map { $0.address?.description } == [
                "192.168.0.2", "192.168.0.3", "192.168.0.9", nil, nil, "192.168.0.5",
            ])
        #expect(members.last?.ssh == SSHSettings(user: "root", port: 2222))
        #expect(members.first?.environment == ["A": "2", "B": "1"])
    }

    @Test("what is left out has its default")
    func defaults() throws {
        let cluster = try Cluster.parse(file("")).cluster
        let hosts = [
            HostGroup(addresses: try addresses("192.168.0.2"), roles: ["master"]),
            HostGroup(addresses: try addresses("192.168.0.3"), roles: ["node"]),
        ]
        #expect(cluster == Cluster(name: "demo", image: try Reference("hello"), hosts: hosts))
        #expect(cluster.network.pods.map(\.description) == ["10.244.0.0/16"])
        #expect(cluster.network.services.map(\.description) == ["10.96.0.0/12"])
        #expect(cluster.registry == RegistrySettings(domain: "sea.hub", port: 5000, onEveryMaster: true))
        #expect(cluster.applications == nil)
        #expect(try Cluster.parse(file("appNames: []")).cluster.applications == [])
        #expect(try Cluster.parse(file("appNames: ['']")).cluster.applications == [])
        #expect(try Cluster.parse(file("cmd: [\"a && b, c\"]")).cluster.commands == ["a && b, c"])
    }

    @Test("the short form with containers")
    func containers() throws {
        func groups(_ text: String) throws -> [HostGroup] { try Cluster.parse(shortFile(text)).cluster.hosts }
        let master = HostGroup(provider: .container, count: 1, roles: ["master"])
        #expect(try groups("") == [master, HostGroup(provider: .container, count: 1, roles: ["node"])])
        #expect(try groups("nodes: {count: 0}") == [master])
        #expect(
            try groups("masters: {count: 3}\nnodes: {count: \"2\"}") == [
                HostGroup(provider: .container, count: 3, roles: ["master"]),
                HostGroup(provider: .container, count: 2, roles: ["node"]),
            ])
        #expect(try groups("masters: {}\nnodes: {}") == groups(""))
        #expect(try groups("masters: {count: 1, ipList: []}\nnodes: {ipList: []}") == groups(""))
    }

    @Test("the form of sealer 0.5, with its API group and spellings")
    func versionOne() throws {
        let text = """
            apiVersion: sealer.aliyun.com/v1alpha1
            kind: Cluster
            metadata: {name: my-cluster, annotations: {}, creationTimestamp: null}
            spec:
              image: kubernetes:v1.19.8
              env: ["key=value"]
              provider: BAREMETAL
              ssh: {user: root, passwd: "", pk: ~/.ssh/id_rsa, pkPasswd: "", port: "22"}
              network: {podCIDR: 100.64.0.0/10, svcCIDR: 10.96.0.0/22}
              certSANS: [example.com, 10.0.0.2]
              masters: {cpu: "4", count: "3", ipList: [192.168.0.2-4]}
              nodes: {ipList: ["192.168.0.5", "192.168.0.6:2222", "192.168.0.7:2222", "[fd00::1]:23"]}
            status: {}
            """
        // Dual stack, so that a host of IPv6 is right here.
        let both = text.replacing("100.64.0.0/10", with: "100.64.0.0/10,fd00:1::/56")
            .replacing("10.96.0.0/22", with: "10.96.0.0/22,fd00:2::/112")
        let parsed = try Cluster.parse(
            both.replacing("{podCIDR: ", with: "{podCIDR: \"").replacing("fd00:1::/56", with: "fd00:1::/56\"")
                .replacing("svcCIDR: ", with: "svcCIDR: \"").replacing("fd00:2::/112", with: "fd00:2::/112\""))
        let cluster = parsed.cluster
        #expect(
            cluster.hosts == [
                HostGroup(addresses: try addresses("192.168.0.2-4"), roles: ["master"]),
                HostGroup(addresses: try addresses("192.168.0.5"), roles: ["node"]),
                HostGroup(addresses: try addresses("192.168.0.6-7"), roles: ["node"], ssh: SSHSettings(port: 2222)),
                HostGroup(addresses: try addresses("fd00::1"), roles: ["node"], ssh: SSHSettings(port: 23)),
            ])
        #expect(cluster.ssh == SSHSettings(user: "root", identityFile: "~/.ssh/id_rsa", port: 22))
        #expect(cluster.certificateNames == ["example.com", "10.0.0.2"])
        #expect(
            parsed.warnings.map(\.description) == [
                "Clusterfile:1:13: warning: the API version sealer.aliyun.com/v1alpha1 is of an older release: sealer.io/v2 has taken its place",
                "Clusterfile:11:13: warning: spec.masters.cpu belongs to hosts of a cloud, which sealer does not make, and is passed over",
            ])
    }

    @Test(
        "API versions",
        arguments: [
            "zlink.aliyun.com/v1alpha1", "sealer.aliyun.com/v1", "cluster.sealer.cool/v2", "sealer.cloud/v2",
            "sealer.io/v1", "sealer.io/v2",
        ])
    func versions(version: String) {
        let found = mistakes(shortFile("", version: version))
        #expect(found.count == (version.hasPrefix("sealer.io") ? 0 : 1), "\(found)")
        #expect(found.allSatisfy { $0.contains("warning: the API version \(version) is of an older release") })
    }

    @Test("secrets: references are read, a literal one warns and shows nowhere")
    func secrets() throws {
        let parsed = try Cluster.parse(file("ssh: {password: \"hun:ter 2\", passphrase: prompt, identityFile: /k}"))
        #expect(parsed.cluster.ssh.password == .literal(.init("hun:ter 2")))
        #expect(parsed.cluster.ssh.passphrase == .prompt)
        #expect(parsed.cluster.ssh.identityFile == "/k")
        #expect(
            parsed.warnings.map(\.description) == [
                "Clusterfile:9:19: warning: the password itself stands here: env:NAME, file:PATH or prompt keeps it out of the file; sealer never writes it anywhere"
            ])
        #expect(!"\(parsed)".contains("ter 2") && !parsed.cluster.text.contains("ter 2"))
        #expect(!String(reflecting: parsed.cluster).contains("ter 2"))
        var dumped = ""
        dump(parsed.cluster, to: &dumped)
        #expect(!dumped.contains("ter 2"))
        #expect(parsed.cluster.text.contains("passwd: prompt"))
        for text in ["ssh: {passwd: 123456789}", "ssh: {passwd: [123456789]}", "ssh: {passwd: \"env:12-3456789\"}"] {
            let found = mistakes(file(text))
            #expect(found.count == 1 && !found[0].contains("3456789"), "\(found)")
        }
    }

    @Test("networks that only kubeadm's document names become the cluster's")
    func networksOfKubeadm() throws {
        let document = """
            apiVersion: kubeadm.k8s.io/v1beta3
            kind: ClusterConfiguration
            networking: {podSubnet: 10.50.0.0/16, serviceSubnet: 10.60.0.0/16, dnsDomain: x.local}
            """
        let cluster = try Cluster.parse(file(document: document)).cluster
        #expect(cluster.network.pods.map(\.description) == ["10.50.0.0/16"])
        #expect(cluster.network.services.map(\.description) == ["10.60.0.0/16"])
        #expect(
            mistakes(file(document: document.replacing("10.60.0.0/16", with: "10.50.8.0/24"))) == [
                "Clusterfile:10:54: the services' network 10.50.8.0/24 overlaps the pods' network 10.50.0.0/16"
            ])
    }

    @Test("names", arguments: ["a", "demo", "my-cluster-2", "1a", "17", String(repeating: "x", count: 40)])
    func names(name: String) throws {
        try Cluster.checkName(name)
        #expect(try Cluster.parse(file("", name: "'\(name)'")).cluster.name == name)
    }

    @Test(
        "bad names",
        arguments: ["", "-a", "a-", "A", "a.b", "1.2", "a_b", "a/b", "..", "é", String(repeating: "x", count: 41)])
    func badNames(name: String) {
        #expect(throws: Failure.self) { try Cluster.checkName(name) }
        let found = mistakes(file("", name: "'\(name)'"))
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("Clusterfile:3:18: ") == true)
    }

    @Test("five thousand hosts are read, more are refused")
    func many() throws {
        let right = file(
            hosts:
                "{ips: [192.168.0.2], roles: [master]}, {ips: [10.0.0.0-10.0.15.255, 10.1.0.1-10.1.3.135], roles: [node]}"
        )
        let network = "network: {podCIDR: 172.0.0.0/8, svcCIDR: 11.0.0.0/16}"
        #expect(try Cluster.parse(right.replacingHead(network)).cluster.members.count == 5000)
        let found = mistakes(right.replacing("10.1.3.135", with: "10.1.3.136").replacingHead(network))
        #expect(
            found == [
                "Clusterfile:6:73: with \"10.1.0.1-10.1.3.136\" there are more than 5000 hosts, the most there may be"
            ])
    }
}

extension String {
    /// Puts fields at the beginning of a specification in one line.
    fileprivate func replacingHead(_ fields: String) -> String { replacing("spec: {", with: "spec: {\(fields), ") }
}
