import Clusterfile
import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing
import YAML

@testable import ClusterRuntime

/// Makes settings as the tests need them.
func kubeadmSettings(
    _ version: KubernetesVersion, pods: [String] = ["10.244.0.0/16"], services: [String] = ["10.96.0.0/12"],
    overlays: String = ""
) throws -> KubeadmSettings {
    var settings = KubeadmSettings(
        clusterName: "demo", version: version, podSubnets: pods, serviceSubnets: services)
    settings.certificateNames = ["api.example.org", "localhost"]
    settings.etcdTag = "3.4.23-0"
    settings.hasCoreDNS = false
    settings.assignsPodNetworks = true
    settings.overlays = try YAMLDocuments.parse(overlays, file: "overlays").map { document in
        var fields = try #require(document.mapping)
        let kind = try #require(fields["kind"]?.string.flatMap { KubeadmDocument.Kind(rawValue: $0) })
        fields["kind"] = nil
        return KubeadmDocument(kind: kind, fields: fields)
    }
    return settings
}

func kubeadmNode(_ name: String = "m", _ addresses: [String] = ["10.0.0.2"], driver: String = "cgroupfs") -> KubeadmNode
{
    var node = KubeadmNode(
        name: name, addresses: addresses, runtime: .init(socket: "/run/c.sock", cgroupDriver: driver))
    node.isContainer = true
    return node
}

/// The documents of the file for the first master, and the notes.
func initDocuments(
    _ settings: KubeadmSettings, node: KubeadmNode = kubeadmNode(), isAlone: Bool = false
) throws -> (documents: [YAMLNode], notes: [String]) {
    let file = try KubeadmConfiguration(settings).initFile(for: node, token: BootstrapToken(), isAlone: isAlone)
    return (try YAMLDocuments.parse(String(decoding: file.bytes, as: UTF8.self), file: "init"), file.notes)
}

@Suite("kubeadm's configuration, to the letter")
struct GoldenTests {
    enum Kind: String, CaseIterable { case first, worker, master }

    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var version: KubernetesVersion
        var kind: Kind
        var pods = ["10.244.0.0/16"]
        var services = ["10.96.0.0/12"]
        var addresses = ["10.0.0.2"]
        var overlays = ""
        var testDescription: String { name }
    }

    private static let dualPods = ["10.244.0.0/16", "fd00:244::/56"]
    private static let dualServices = ["10.96.0.0/12", "fd00:96::/112"]
    private static let dualAddresses = ["10.0.0.2", "fd00::2"]
    private static let overlays = """
        kind: ClusterConfiguration
        apiServer:
          certSANs: [lb.example.org]
          extraArgs: {feature-gates: "TTLAfterFinished=true,EphemeralContainers=true", audit-log-maxage: 7}
        controllerManager:
          extraArgs: {experimental-cluster-signing-duration: 876000h}
        ---
        kind: InitConfiguration
        nodeRegistration:
          kubeletExtraArgs: [{name: v, value: "4"}]
          taints: [{key: dedicated, effect: NoSchedule}]
        ---
        kind: KubeletConfiguration
        failSwapOn: false
        maxPods: 0
        featureGates: {EphemeralContainers: true, RotateKubeletServerCertificate: true}
        ---
        kind: JoinConfiguration
        discovery: {timeout: 9m0s}
        """

    static let cases: [Case] =
        [
            (KubernetesVersion(1, 15, 12), "1.15"), (KubernetesVersion(1, 20, 2), "1.20"),
            (KubernetesVersion(1, 26, 4), "1.26"), (KubernetesVersion(1, 31, 0), "1.31"),
        ].flatMap { version, text in
            Kind.allCases.map { Case(name: "\(text)-\($0.rawValue)", version: version, kind: $0) }
        }
        + [
            Case(
                name: "1.20-dual-stack-first", version: KubernetesVersion(1, 20, 2), kind: .first, pods: dualPods,
                services: dualServices, addresses: dualAddresses),
            Case(
                name: "1.26-dual-stack-master", version: KubernetesVersion(1, 26, 4), kind: .master, pods: dualPods,
                services: dualServices, addresses: dualAddresses),
            Case(
                name: "1.28-ipv6-first", version: KubernetesVersion(1, 28, 0), kind: .first, pods: ["fd00:244::/56"],
                services: ["fd00:96::/112"], addresses: ["fd00::2"]),
            Case(name: "1.20-overlays-first", version: KubernetesVersion(1, 20, 2), kind: .first, overlays: overlays),
            Case(name: "1.31-overlays-first", version: KubernetesVersion(1, 31, 0), kind: .first, overlays: overlays),
            Case(name: "1.31-overlays-worker", version: KubernetesVersion(1, 31, 0), kind: .worker, overlays: overlays),
        ]

    /// `SEALER_REWRITE_GOLDEN=1` writes the files anew; the change is then for git and for people to look at.
    @Test("is what the golden files say", arguments: cases)
    func golden(_ item: Case) throws {
        let token = BootstrapToken()
        let settings = try kubeadmSettings(
            item.version, pods: item.pods, services: item.services, overlays: item.overlays)
        let configuration = try KubeadmConfiguration(settings)
        let node = kubeadmNode("demo-\(item.kind.rawValue)", item.addresses)
        let file: KubeadmFile =
            switch item.kind {
            case .first: try configuration.initFile(for: node, token: token, isAlone: false)
            case .worker: try configuration.joinFile(for: node, token: token, authorityHash: "sha256:ab")
            case .master:
                try configuration.joinFile(for: node, asMaster: true, token: token, authorityHash: "sha256:ab")
            }
        let text =
            file.notes.map { "# \($0)\n" }.joined()
            + String(decoding: file.bytes, as: UTF8.self).replacing(token.text, with: "TOKEN")
        let golden = FilePath(#filePath).removingLastComponent().appending("Golden").appending("\(item.name).yaml")
        if getenv("SEALER_REWRITE_GOLDEN") != nil {
            try AtomicFile.write(Array(text.utf8), to: golden)
        }
        #expect(text == String(decoding: try readFile(golden), as: UTF8.self))
    }
}

@Suite("The real kubeadm", .enabled(if: realKubeadm != nil))
struct RealKubeadmTests {
    /// What kubeadm says of a configuration: it reads it strictly, and warns of fields that it does not know.
    private func words(on text: String) async throws -> String {
        let scratch = try Scratch()
        let file = scratch.path.appending("kubeadm.yaml")
        try AtomicFile.write(Array(text.utf8), to: file)
        let shell = try #require(Program("sh"))
        let kubeadm = try #require(realKubeadm)
        return try await shell.run(
            ["-c", #"exec "$0" config migrate --old-config "$1" 2>&1"#, kubeadm.path, file.string], in: scratch.path)
    }

    @Test("takes the configurations of its version without a warning", arguments: GoldenTests.cases)
    func golden(_ item: GoldenTests.Case) async throws {
        guard item.version == KubernetesVersion(1, 20, 2) else { return }
        let golden = FilePath(#filePath).removingLastComponent().appending("Golden").appending("\(item.name).yaml")
        let text = String(decoding: try readFile(golden), as: UTF8.self)
            .replacing("TOKEN", with: "abcdef.0123456789abcdef")
            .replacing("sha256:ab", with: "sha256:\(String(repeating: "ab", count: 32))")
        let words = try await words(on: text)
        #expect(words.contains("kind: \(item.kind == .first ? "InitConfiguration" : "JoinConfiguration")"))
        #expect(!words.contains("unknown field"), "\(words)")
        // It would have told.
        let wrong = text.replacing("criSocket:", with: "criSockets:")
        #expect(try await self.words(on: wrong).contains("unknown field \"criSockets\""))
    }
}

@Suite("kubeadm's configuration")
struct KubeadmConfigurationTests {
    @Test(
        "follows the version: API, socket, image repository, form of extra arguments",
        arguments: [
            (KubernetesVersion(1, 22), "kubeadm.k8s.io/v1beta3", "/run/c.sock", "k8s.gcr.io"),
            (KubernetesVersion(1, 26), "kubeadm.k8s.io/v1beta3", "unix:///run/c.sock", "registry.k8s.io"),
            (KubernetesVersion(1, 31), "kubeadm.k8s.io/v1beta4", "unix:///run/c.sock", "registry.k8s.io"),
        ])
    func versions(version: KubernetesVersion, api: String, socket: String, repository: String) throws {
        let (documents, _) = try initDocuments(kubeadmSettings(version), isAlone: true)
        #expect(documents[0]["apiVersion"] == YAMLNode(api))
        #expect(documents[1]["imageRepository"] == YAMLNode(repository))
        let registration = documents[0]["nodeRegistration"]
        #expect(registration?["criSocket"] == YAMLNode(socket))
        #expect(registration?["taints"] == YAMLNode([YAMLNode]()))
        let arguments: YAMLNode =
            api.hasSuffix("v1beta4") ? [["name": "node-ip", "value": "10.0.0.2"]] : ["node-ip": "10.0.0.2"]
        #expect(registration?["kubeletExtraArgs"] == arguments)
    }

    @Test("of a worker has the token and the CA's hash, and nothing of a master's")
    func join() throws {
        let token = BootstrapToken()
        let overlay = "kind: JoinConfiguration\ncontrolPlane: {localAPIEndpoint: {bindPort: 1}}\n"
        let file = try KubeadmConfiguration(kubeadmSettings(KubernetesVersion(1, 20, 2), overlays: overlay))
            .joinFile(for: kubeadmNode(driver: "systemd"), token: token, authorityHash: "sha256:ab")
        let document = try YAMLDocuments.parseOne(String(decoding: file.bytes, as: UTF8.self), file: "join")
        let discovery = document.at("discovery", "bootstrapToken")
        #expect(discovery?["token"] == YAMLNode(token.text))
        #expect(discovery?["caCertHashes"] == ["sha256:ab"])
        #expect(discovery?["apiServerEndpoint"] == "apiserver.cluster.local:6443")
        #expect(document["controlPlane"] == nil)
        #expect(document.at("nodeRegistration", "kubeletExtraArgs", "cgroup-driver") == "systemd")
        #expect(file.notes == ["JoinConfiguration.controlPlane is left out: sealer sets it"])
        #expect(!"\(file)".contains(token.text))
    }

    @Test("skips only what the image does not bring, and says why")
    func phases() throws {
        var settings = try kubeadmSettings(KubernetesVersion(1, 20, 2))
        #expect(
            try KubeadmConfiguration(settings).skippedPhases(programs: []).map(\.phase) == [
                "preflight", "addon/coredns",
            ])
        settings.hasCoreDNS = true
        #expect(try KubeadmConfiguration(settings).skippedPhases(programs: ["crictl"]).isEmpty)
    }

    @Test("leaves the nodes' networks to Kubernetes when an application brings the pod network")
    func applicationsNetwork() throws {
        var settings = try kubeadmSettings(KubernetesVersion(1, 20, 2))
        settings.assignsPodNetworks = false
        var node = kubeadmNode()
        node.isContainer = false
        let (documents, _) = try initDocuments(settings, node: node)
        #expect(documents[1]["controllerManager"] == nil)
        #expect(documents[3]["conntrack"] == nil)
    }

    @Test("has dual stack where the version has it")
    func dualStack() throws {
        func documents(_ version: KubernetesVersion) throws -> [YAMLNode] {
            let settings = try kubeadmSettings(
                version, pods: ["10.244.0.0/16", "fd00:244::/56"], services: ["10.96.0.0/12", "fd00:96::/112"])
            return try initDocuments(settings, node: kubeadmNode("m", ["10.0.0.2", "fd00::2"])).documents
        }
        for old in [KubernetesVersion(1, 15, 12), KubernetesVersion(1, 17, 17)] {
            #expect(throws: Failure.self) { try documents(old) }
        }
        for (version, gate, address) in [
            (KubernetesVersion(1, 18), YAMLNode(true), "10.0.0.2"),
            (KubernetesVersion(1, 20), true, "10.0.0.2,fd00::2"),
            (KubernetesVersion(1, 21), nil, "10.0.0.2,fd00::2"), (KubernetesVersion(1, 30), nil, "10.0.0.2,fd00::2"),
        ] as [(KubernetesVersion, YAMLNode?, String)] {
            let documents = try documents(version)
            #expect(documents[1].at("featureGates", "IPv6DualStack") == gate)
            #expect(documents[1].at("networking", "podSubnet") == "10.244.0.0/16,fd00:244::/56")
            #expect(documents[0].at("nodeRegistration", "kubeletExtraArgs", "node-ip") == YAMLNode(address))
        }
    }
}
