import Clusterfile
import FoundationEssentials
import OCI
import Remote
import Report
import SystemPackage
import Testing

@testable import ClusterRuntime

@Suite("kubeadm's configuration")
struct KubeadmConfigurationTests {
    private struct NoHost: Host {
        var name: String
        func facts() async throws -> HostFacts { throw Failure(.software, "not here") }
        func run(
            _ command: RemoteCommand, limit: Duration, output: @escaping @Sendable (OutputLine) -> Void
        ) async throws -> CommandResult { throw Failure(.software, "not here") }
        func writeFile(_ path: FilePath, _ bytes: Data, permissions: UInt32) async throws {}
        func readFile(_ path: FilePath, limit: Int) async throws -> Data? { nil }
        func delete(_ path: FilePath) async throws {}
        func missing(_ blobs: [Descriptor]) async throws -> [Descriptor] { [] }
        func send(_ blob: Descriptor, from file: FilePath, advanced: @escaping @Sendable (Int64) -> Void) async throws {
        }
        func name(_ image: Descriptor, as reference: Reference) async throws {}
        func fetch(_ request: FetchRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws {}
        func unpack(_ request: UnpackRequest, advanced: @escaping @Sendable (Int64) -> Void) async throws {}
        func close() async {}
    }

    private func node(_ name: String, programs: [String] = [], isContainer: Bool = true) throws -> ClusterNode {
        let facts = HostFacts(
            hostname: name, kernel: "6", operatingSystem: "debian 12", platform: Platform(architecture: "amd64"),
            processors: 2, memory: 8 << 30, hasSwap: false, freeDisk: 50 << 30, addresses: [], cgroups: "v1",
            hasSystemd: true, isContainer: isContainer, capabilities: 0, programs: programs, listeningPorts: [],
            clock: 0,
            agentDigest: try Digest("sha256:" + String(repeating: "0", count: 64)), isKubernetesNode: false
        )
        return ClusterNode(host: NoHost(name: name), facts: facts, role: .master, address: "10.0.0.2")
    }

    private func settings(_ version: KubernetesVersion, network: PodNetworking = .bridge, dns: Bool = false)
        -> ClusterSettings
    {
        ClusterSettings(
            name: "demo", version: version, podNetwork: Cluster.defaultPodNetwork,
            serviceNetwork: Cluster.defaultServiceNetwork, certificateNames: ["api.example.org", "localhost"],
            etcdTag: "3.4.23-0", hasCoreDNS: dns, podNetworking: network, rootfs: "/r"
        )
    }

    private let runtime = KubeadmConfiguration.NodeRuntime(socket: "/run/c.sock", cgroupDriver: "cgroupfs")

    private func documents(_ file: Data) throws -> [[String: JSONValue]] {
        try String(decoding: file, as: UTF8.self).split(separator: "---\n").map {
            try JSONDecoder().decode([String: JSONValue].self, from: Data($0.utf8))
        }
    }

    @Test("of a first master of 1.20 is this, to the letter")
    func golden() throws {
        let token = BootstrapToken()
        let file = try KubeadmConfiguration(settings(KubernetesVersion(1, 20, 2)))
            .initFile(for: node("demo-master-0"), runtime: runtime, token: token, isAlone: false)
        let text = String(decoding: file, as: UTF8.self).replacing(token.text, with: "TOKEN")
        #expect(text == Self.initOf120)
    }

    @Test(
        "follows the version: API, socket, image repository, form of extra arguments",
        arguments: [
            (KubernetesVersion(1, 22), "kubeadm.k8s.io/v1beta3", "/run/c.sock", "k8s.gcr.io"),
            (KubernetesVersion(1, 26), "kubeadm.k8s.io/v1beta3", "unix:///run/c.sock", "registry.k8s.io"),
            (KubernetesVersion(1, 31), "kubeadm.k8s.io/v1beta4", "unix:///run/c.sock", "registry.k8s.io"),
        ])
    func versions(version: KubernetesVersion, api: String, socket: String, repository: String) throws {
        let file = try KubeadmConfiguration(settings(version))
            .initFile(for: node("m"), runtime: runtime, token: BootstrapToken(), isAlone: true)
        let documents = try documents(file)
        #expect(documents[0]["apiVersion"] == .string(api))
        #expect(documents[1]["imageRepository"] == .string(repository))
        let registration = documents[0]["nodeRegistration"]
        #expect(registration?["criSocket"] == .string(socket))
        #expect(registration?["taints"] == .array([]))
        let arguments: JSONValue =
            api.hasSuffix("v1beta4")
            ? .array([.object(["name": .string("node-ip"), "value": .string("10.0.0.2")])])
            : .object(["node-ip": .string("10.0.0.2")])
        #expect(registration?["kubeletExtraArgs"] == arguments)
    }

    @Test("of a worker has the token and the CA's hash, and nothing of the master's")
    func join() throws {
        let token = BootstrapToken()
        let file = try KubeadmConfiguration(settings(KubernetesVersion(1, 20, 2)))
            .joinFile(for: node("n"), runtime: runtime, token: token, authorityHash: "sha256:ab")
        let documents = try documents(file)
        #expect(documents.count == 1)
        let discovery = documents[0]["discovery"]?["bootstrapToken"]
        #expect(discovery?["token"] == .string(token.text))
        #expect(discovery?["caCertHashes"] == .array([.string("sha256:ab")]))
        #expect(discovery?["apiServerEndpoint"] == .string("apiserver.cluster.local:6443"))
    }

    @Test("skips only what the image does not bring, and says why")
    func phases() throws {
        let without = try KubeadmConfiguration(settings(KubernetesVersion(1, 20, 2)))
        #expect(without.skippedPhases(for: try node("m")).map(\.phase) == ["preflight", "addon/coredns"])
        let with = try KubeadmConfiguration(settings(KubernetesVersion(1, 20, 2), dns: true))
        #expect(with.skippedPhases(for: try node("m", programs: ["crictl"])).isEmpty)
    }

    @Test("leaves the nodes' networks to Kubernetes when an application brings the pod network")
    func applicationsNetwork() throws {
        let file = try KubeadmConfiguration(settings(KubernetesVersion(1, 20, 2), network: .fromApplications))
            .initFile(for: node("m", isContainer: false), runtime: runtime, token: BootstrapToken(), isAlone: false)
        let documents = try documents(file)
        #expect(documents[1]["controllerManager"] == nil)
        #expect(documents[3]["conntrack"] == nil)
    }

    private static let initOf120 = """
        ---
        {
          "apiVersion" : "kubeadm.k8s.io/v1beta2",
          "bootstrapTokens" : [
            {
              "groups" : [
                "system:bootstrappers:kubeadm:default-node-token"
              ],
              "token" : "TOKEN",
              "ttl" : "2h0m0s",
              "usages" : [
                "signing",
                "authentication"
              ]
            }
          ],
          "kind" : "InitConfiguration",
          "localAPIEndpoint" : {
            "advertiseAddress" : "10.0.0.2",
            "bindPort" : 6443
          },
          "nodeRegistration" : {
            "criSocket" : "/run/c.sock",
            "kubeletExtraArgs" : {
              "node-ip" : "10.0.0.2"
            },
            "name" : "demo-master-0"
          }
        }
        ---
        {
          "apiServer" : {
            "certSANs" : [
              "apiserver.cluster.local",
              "localhost",
              "127.0.0.1",
              "10.0.0.2",
              "api.example.org"
            ]
          },
          "apiVersion" : "kubeadm.k8s.io/v1beta2",
          "clusterName" : "demo",
          "controlPlaneEndpoint" : "apiserver.cluster.local:6443",
          "controllerManager" : {
            "extraArgs" : {
              "allocate-node-cidrs" : "false"
            }
          },
          "etcd" : {
            "local" : {
              "imageTag" : "3.4.23-0"
            }
          },
          "imageRepository" : "k8s.gcr.io",
          "kind" : "ClusterConfiguration",
          "kubernetesVersion" : "v1.20.2",
          "networking" : {
            "dnsDomain" : "cluster.local",
            "podSubnet" : "10.244.0.0/16",
            "serviceSubnet" : "10.96.0.0/12"
          }
        }
        ---
        {
          "apiVersion" : "kubelet.config.k8s.io/v1beta1",
          "cgroupDriver" : "cgroupfs",
          "failSwapOn" : true,
          "kind" : "KubeletConfiguration"
        }
        ---
        {
          "apiVersion" : "kubeproxy.config.k8s.io/v1alpha1",
          "conntrack" : {
            "maxPerCore" : 0,
            "min" : 0
          },
          "kind" : "KubeProxyConfiguration",
          "mode" : "iptables"
        }

        """
}

/// Any JSON, for looking into documents.
enum JSONValue: Decodable, Hashable {
    case null, bool(Bool), number(Double), string(String), array([JSONValue]), object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    subscript(_ key: String) -> JSONValue? {
        if case .object(let members) = self { members[key] } else { nil }
    }
}
