import Clusterfile
import OCI
import Report
import TestSupport
import YAML

/// Makes right clusters, each another one, out of a seeded generator.
struct ClusterGenerator {
    var random: SeededGenerator

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    private static let values = [
        "", "yes", "1.30", "a=b", " x ", "two\nlines\n", "\"q\"", "é", "#", "0755", "{a}", "$HOME", "- x", "null",
        "a;b,c",
        "\ttab", "a: b", "on", "'", "|", "\u{85}", "x\r\ny", "\\n", "%",
    ]

    private mutating func flip() -> Bool { Bool.random(using: &random) }
    private mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    private mutating func one<Value>(_ values: [Value], _ fallback: Value) -> Value {
        values.randomElement(using: &random) ?? fallback
    }
    private mutating func some<Value>(_ values: [Value]) -> [Value] {
        values.filter { _ in Bool.random(using: &random) }
    }
    private mutating func variables() -> [String: String] {
        Dictionary(
            uniqueKeysWithValues: some(["A", "b_1", "_", "yes", "null"]).map { ($0, one(Self.values, "")) })
    }

    private mutating func secret() -> SecretReference? {
        one(
            [
                nil, .prompt, .environment("PASSWORD"), .file("/run/secrets/a b: #"), .literal(.init("hunter2")),
                .literal(.init("null")),
            ], nil)
    }

    private mutating func ssh() -> SSHSettings {
        SSHSettings(
            user: one([nil, "root", "yes", "DOM\\user", "1"], nil), password: secret(),
            identityFile: one([nil, "~/.ssh/id", "/k: x"], nil), passphrase: secret(),
            port: one([nil, 22, 65535], nil))
    }

    private mutating func group(
        _ number: Int, provider: HostGroup.Provider, roles: [String], _ family: IPAddress.Family?
    ) -> HostGroup {
        var group = HostGroup(provider: provider, roles: roles)
        let base =
            family == .v6
            ? IPAddress(v6: 0xfd01 << 112 | UInt128(number) << 8) : IPAddress(v4: 0xc0a8_0000 | UInt32(number) << 8)
        switch provider {
        case .container: group.count = self.number(1...9)
        case .local: group.addresses = [base]
        case .baremetal:
            group.addresses = some(Array(0..<12)).compactMap { base.advanced(by: $0) }
            if group.addresses.isEmpty { group.addresses = [base] }
            if flip() { group.addresses.shuffle(using: &random) }
        }
        if provider != .container { group.count = group.addresses.count }
        if flip() { group.ssh = ssh() }
        group.environment = variables()
        for key in some(["disk", "a.b/c", "yes", "1"]) {
            group.labels[key] = one(["", "ssd", "true", "1.0", "null"], "")
        }
        group.taints = some([
            Taint(key: "a", effect: .noSchedule), Taint(key: "a", value: "1", effect: .noExecute),
            Taint(key: "x.y/z", value: "no", effect: .preferNoSchedule),
        ])
        return group
    }

    private mutating func networks() throws -> ClusterNetwork {
        let four = (try IPNetwork("172.16.0.0/12"), try IPNetwork("10.96.0.0/16"))
        let six = (try IPNetwork("fd00:1::/56"), try IPNetwork("fd00:2::/112"))
        return one(
            [
                ClusterNetwork(), ClusterNetwork(pods: [four.0], services: [four.1]),
                ClusterNetwork(pods: [four.0, six.0], services: [four.1, six.1]),
                ClusterNetwork(pods: [six.0, four.0], services: [six.1, four.1]),
            ], ClusterNetwork())
    }

    mutating func cluster() throws -> Cluster {
        var cluster = Cluster(
            name: one(["yes", "1", "null", "demo-7"], "x"),
            image: try Reference(one(["hello:1.30", "localhost:5000/a/b:1", "1"], "x")))
        cluster.network = try networks()
        let family = cluster.network.pods.first?.family
        cluster.hosts = [group(0, provider: one([.container, .local], .local), roles: ["master"], family)]
        if cluster.hosts[0].provider == .container { cluster.hosts[0].count = one([1, 3, 5], 1) }
        for index in 0..<number(0...3) {
            let provider = one([HostGroup.Provider.container, .baremetal], .baremetal)
            let roles = ["node"] + some(["db", "yes", "1.0"])
            cluster.hosts.append(group(index + 1, provider: provider, roles: roles, family))
        }
        if flip() { cluster.ssh = ssh() }
        cluster.environment = variables()
        cluster.certificateNames = some(["10.0.0.1", "a.example", "fd00::1", "*.b.c"])
        if flip() {
            cluster.certificates = CertificateSettings(
                authorityYears: 7, leafYears: 2, folder: one([nil, "/p: q"], nil))
        }
        if flip(), let address = IPAddress("10.0.0.9") {
            cluster.hostAliases = [HostAlias(address: address, names: ["harbor.local", "null"])]
        }
        if flip() {
            cluster.registry = RegistrySettings(
                domain: "hub.local", port: 6000, onEveryMaster: flip(),
                certificateNames: some(["a.b", "yes"]) + some(["10.0.0.1", "fd00::1"]))
        }
        cluster.containerRuntime = one([nil, "containerd"], nil)
        if flip() { cluster.dataRoot = "/data/a b" }
        if flip() {
            cluster.applications = one([nil, [], ["mysql", "1"]], nil)
        } else {
            cluster.commands = one([nil, [], ["kubectl apply -f x.yaml", "a: b # c", "two\nlines"]], nil)
        }
        if flip() { cluster.nodeContainers = NodeContainerSettings(image: "example/node:1", egress: flip()) }
        addDocuments(to: &cluster)
        return cluster
    }

    private mutating func addDocuments(to cluster: inout Cluster) {
        if flip() {
            cluster.configs = [
                ConfigOverlay(name: "1", path: "etc/a b", data: one(Self.values, "")),
                ConfigOverlay(name: "yes", path: "null", strategy: .merge, data: "a: 1\n---\nb: [x]\n"),
            ]
        }
        if flip() {
            let address = cluster.hosts.flatMap(\.addresses).first
            let labels = cluster.hosts.flatMap { $0.labels.map { "\($0.key)=\($0.value)" } }.sorted()
            cluster.plugins = [
                Plugin(
                    name: "a", kind: .shell, phases: one([[.preInstall], Plugin.Phase.allCases], []),
                    scope: some(["master", "master0"] + labels.prefix(2) + (address.map { [$0.description] } ?? [])),
                    data: "set -e\n" + one(Self.values, ""), timeout: number(1...1000))
            ]
            if let address {
                cluster.plugins.append(
                    Plugin(name: "b", kind: .label, phases: [.preLaunch], data: "\(address) a=b,c=\n# x\n"))
            }
        }
        if flip() {
            cluster.kubeadmDocuments = [
                KubeadmDocument(
                    kind: .kubeletConfiguration,
                    fields: ["failSwapOn": false, "maxPods": 0, "a": ["b": .null, "c": []]]),
                KubeadmDocument(
                    kind: .clusterConfiguration, apiVersion: "kubeadm.k8s.io/v1beta4",
                    fields: ["apiServer": ["extraArgs": [["name": "v", "value": "1"]]]]),
            ]
        }
    }
}

extension Cluster {
    /// The cluster as its written file has it: a secret of the file's own is asked for.
    var withoutSecrets: Cluster {
        func plain(_ settings: SSHSettings) -> SSHSettings {
            var settings = settings
            if case .literal? = settings.password { settings.password = .prompt }
            if case .literal? = settings.passphrase { settings.passphrase = .prompt }
            return settings
        }
        var cluster = self
        cluster.ssh = plain(ssh)
        cluster.hosts = hosts.map { group in
            var group = group
            group.ssh = group.ssh.map(plain)
            return group
        }
        return cluster
    }
}
