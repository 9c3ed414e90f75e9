import Archive
import ClusterRuntime
import Clusterfile
import FoundationEssentials
import ImageStore
import OCI
import Remote
import Report
import SystemPackage
import TestSupport
import Testing
import YAML

@testable import ApplyEngine
@testable import Simulation

@Suite("Config documents in a plan")
struct ConfigurationPlanTests {
    private func plan(
        _ hosts: [NodeDifference], isInitialised: Bool = true, launch: String? = nil, forNetwork: Bool = false
    ) throws -> Plan {
        try Planner.plan(
            cluster: "demo", image: ContentDigest.sample,
            ClusterDifference(
                hosts: hosts, first: "m", isInitialised: isInitialised, needsLaunchForNetwork: forNetwork,
                launch: launch))
    }

    private func host(
        _ name: String = "m", isMaster: Bool = true, rootfs: String? = nil, runtime: String? = nil,
        membership: NodeMark.Membership = .complete
    ) -> NodeDifference {
        var host = NodeDifference(host: name, isMaster: isMaster, membership: membership)
        host.aspects[.configuration] = "changed"
        (host.rootfs, host.runtime) = (rootfs, runtime)
        return host
    }

    @Test("their files come behind the rootfs, before the scripts, and each host has its own step")
    func order() throws {
        let plan = try plan(
            [host(rootfs: "new", runtime: "new"), host("n", isMaster: false, rootfs: "new", runtime: "new")],
            launch: "new")
        let steps = Dictionary(uniqueKeysWithValues: plan.steps.map { ($0.id, $0) })
        for name in ["m", "n"] {
            #expect(steps["configuration/\(name)"]?.action == .configure(.configuration))
            #expect(steps["configuration/\(name)"]?.phase == .install)
            #expect(steps["configuration/\(name)"]?.after == ["unpack/\(name)"])
            #expect(steps["runtime/\(name)"]?.after.contains("configuration/\(name)") == true)
        }
        #expect(
            steps["configuration/m"]?.summary == "m: write the configuration files of the Clusterfile (changed)")
    }

    @Test("whoever joins or launches waits for them, even when nothing else is to be done")
    func waits() throws {
        for forNetwork in [false, true] {
            let launch = try plan([host(), host("n")], launch: "files changed", forNetwork: forNetwork)
            #expect(launch.steps.first { $0.id == "launch" }?.after.contains("configuration/m") == true)
        }
        let join = try plan([host("n", isMaster: false, membership: .none)])
        #expect(join.steps.first { $0.id == "join/n" }?.after.contains("configuration/n") == true)
        let start = try plan([host(membership: .none)], isInitialised: false)
        #expect(start.steps.first { $0.id == "init" }?.after.contains("configuration/m") == true)
    }
}

@Suite("Config documents, compared with what is there")
struct ConfigurationDifferenceTests {
    private let root = "/var/lib/sealer/data/demo/rootfs"
    private let file = ManagedFile("/var/lib/sealer/data/demo/rootfs/etc/a", Data("new".utf8), needsRestart: false)

    private func difference(
        _ configuration: [ManagedFile], overlaid: [String]? = nil, isThere: Bool = true, hasRootfs: Bool = true
    ) throws -> NodeDifference {
        let cluster = try Cluster(name: "demo", image: Reference("shop:1"))
        let aspects = configuration.isEmpty ? [] : [NodeAspect(.configuration, files: configuration)]
        let member = ClusterMember(
            provider: .baremetal, address: IPAddress("10.0.0.2"), index: 0, roles: [HostGroup.master])
        let node = NodeBlueprint(
            host: "m", name: "m", address: "10.0.0.2", isMaster: true, runtime: ContentDigest.sample, aspects: aspects,
            labels: [:], taints: [], environment: [:], names: [], aliases: [],
            places: .init(apiServer: "10.0.0.2", registry: "10.0.0.2", registryName: "sea.hub"), servesImages: true,
            member: member)
        let settings = ClusterSettings(
            name: "demo", version: KubernetesVersion(1, 26), etcdTag: nil, hasCoreDNS: true, podNetworking: .bridge,
            rootfs: root)
        let blueprint = ClusterBlueprint(
            cluster: cluster, image: ContentDigest.sample, rootfs: ContentDigest.sample, settings: settings,
            nodes: [node], launch: ContentDigest.sample, configuration: try ConfigurationFields(settings))
        var mark = NodeMark(cluster: "demo")
        (mark.image, mark.runtime, mark.membership) = (ContentDigest.sample, ContentDigest.sample, .complete)
        mark.rootfs = hasRootfs ? ContentDigest.sample : nil
        mark.overlaid = overlaid
        var seen = HostObservation(
            host: "m", member: member, address: "10.0.0.2", executable: "/s", facts: facts(),
            mark: mark, hostsFile: "")
        if isThere { seen.files = try [file.path.string: #require(file.state)] }
        let observation = ClusterObservation(hosts: [seen], kubernetes: nil)
        return try #require(blueprint.difference(from: observation).hosts.first)
    }

    private func facts() -> HostFacts {
        HostFacts(
            hostname: "m", kernel: "6.1", operatingSystem: "debian 12", platform: Platform(architecture: "amd64"),
            processors: 2, memory: 8 << 30, hasSwap: false, freeDisk: 50 << 30, addresses: ["10.0.0.2"], cgroups: "v1",
            hasSystemd: true, isContainer: false, capabilities: 0, programs: [], listeningPorts: [], clock: 1000,
            agentDigest: ContentDigest.sample, isKubernetesNode: false)
    }

    @Test("files that are as they should be are left alone, others are written")
    func drift() throws {
        let same = try difference([file], overlaid: [file.path.string])
        #expect(same.aspects.isEmpty)
        #expect(same.rootfs == nil)
        let gone = try difference([file], overlaid: [file.path.string], isThere: false)
        #expect(gone.aspects == [.configuration: "\(file.path) is not there"])
        #expect(gone.rootfs == nil)
    }

    @Test("a rootfs that is unpacked anew loses them, however they look now")
    func unpacked() throws {
        let anew = try difference([file], hasRootfs: false)
        #expect(anew.aspects == [.configuration: "the rootfs is unpacked anew"])
        #expect(try difference([], hasRootfs: false).aspects.isEmpty)
    }

    @Test("a file that no Config names any more makes the rootfs be unpacked anew")
    func gone() throws {
        let old = "\(root)/charts/old.yaml"
        let left = try difference([file], overlaid: [old, file.path.string])
        #expect(left.rootfs == "the Config for charts/old.yaml is gone")
        #expect(left.rootfsBytes == nil)
        #expect(left.aspects == [.configuration: "the rootfs is unpacked anew"])
        let last = try difference([], overlaid: [file.path.string])
        #expect(last.rootfs == "the Config for etc/a is gone")
        #expect(last.aspects.isEmpty)
    }

    @Test("what a node has of them is noted before it is written, and forgotten when its rootfs is unpacked")
    func mark() throws {
        var mark = NodeMark(cluster: "demo")
        mark.note(overlaid: ["/b", "/a"])
        mark.note(overlaid: ["/b", "/c"])
        #expect(mark.overlaid == ["/a", "/b", "/c"])
        // Marks of earlier versions do not say.
        let text = String(decoding: try canonicalJSON(mark), as: UTF8.self)
        let older = text.replacing(#""overlaid":["/a","/b","/c"],"#, with: "")
        #expect(older != text)
        #expect(try JSONDecoder().decode(NodeMark.self, from: Data(older.utf8)).overlaid == nil)
        mark.note(unpacked: ContentDigest.sample)
        #expect(mark.overlaid == nil)
        #expect(mark.rootfs == ContentDigest.sample)
    }
}

@Suite("What the image's files and Config documents say together")
struct RootfsInputsTests {
    private static let kubeadm = """
        apiVersion: kubelet.config.k8s.io/v1beta1
        kind: KubeletConfiguration
        maxPods: 200
        serializeImagePulls: false
        """

    /// Reads for a ClusterImage with these files.
    private func inputs(_ files: [String: String], _ configs: [ConfigOverlay]) async throws -> RootfsInputs {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let sink = MemorySink()
        let tar = TarWriter(sink)
        for (path, content) in files.sorted(by: { $0.key < $1.key }) {
            try tar.begin(
                TarEntry(.file, name: Array(path.utf8), size: Int64(content.utf8.count), permissions: 0o600))
            try Array(content.utf8).withUnsafeBytes { try tar.write($0) }
        }
        try tar.finish()
        let layer = try await store.put(Data(sink.bytes), mediaType: "application/vnd.oci.image.layer.v1.tar")
        let config = try await store.put(
            Data(
                """
                {"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"sealer":\
                {"formatVersion":1,"kind":"kube-installer","launch":[],"apps":[],"args":{},"env":{},"images":[]}}
                """.utf8), mediaType: MediaType.config)
        var rootfs = try await store.put(
            canonicalJSON(ImageManifest(config: config, layers: [layer])), mediaType: MediaType.manifest)
        rootfs.annotations = [AnnotationKey.content: "rootfs"]
        let index = try await store.put(
            canonicalJSON(ImageIndex(artifactType: MediaType.clusterImage, manifests: [rootfs])),
            mediaType: MediaType.index)
        let image = try await store.clusterImage(index, named: "test")
        var cluster = try Cluster(name: "demo", image: Reference("shop:1"))
        cluster.configs = configs
        let cache = RootfsFileCache(state: scratch.path.appending("state"), store: store)
        let first = try await RootfsInputs.read(cluster, image, rootfs: "/r", from: cache)
        // What is remembered says the same as the layers.
        let second = try await RootfsInputs.read(cluster, image, rootfs: "/r", from: cache)
        #expect(second.configuration == first.configuration && second.kubeadmDocuments == first.kubeadmDocuments)
        return second
    }

    @Test("Config documents change the image's files, and kubeadm's documents are read after that")
    func both() async throws {
        let plain = try await inputs([RootfsInputs.kubeadmPath: Self.kubeadm], [])
        #expect(plain.configuration.isEmpty)
        #expect(plain.kubeadmDocuments.map(\.fields) == [["maxPods": 200, "serializeImagePulls": false]])
        let changed = try await inputs(
            [RootfsInputs.kubeadmPath: Self.kubeadm],
            [ConfigOverlay(name: "k", path: RootfsInputs.kubeadmPath, strategy: .merge, data: "maxPods: 0")])
        #expect(changed.configuration.map(\.path) == ["/r/etc/kubeadm.yml"])
        #expect(changed.configuration.map(\.permissions) == [0o600])
        #expect(changed.kubeadmDocuments.map(\.fields) == [["maxPods": 0, "serializeImagePulls": false]])
        let none = try await inputs(["a": "b"], [ConfigOverlay(name: "k", path: "x/y", data: "new")])
        #expect(none.configuration.map { String(decoding: $0.content, as: UTF8.self) } == ["new"])
        #expect(none.kubeadmDocuments.isEmpty)
    }

    @Test("a file of kubeadm's that cannot be read as one is refused with its place; a Config can replace it")
    func refused() async throws {
        let failure = await #expect(throws: Failure.self) {
            try await inputs([RootfsInputs.kubeadmPath: "kind: {{ .Kind }}\n"], [])
        }
        #expect(failure?.kind == .invalidInput)
        #expect(failure?.description.contains("shop:1: etc/kubeadm.yml:1:") == true, "\(String(describing: failure))")
        let replaced = try await inputs(
            [RootfsInputs.kubeadmPath: "kind: {{ .Kind }}\n"],
            [ConfigOverlay(name: "k", path: RootfsInputs.kubeadmPath, data: Self.kubeadm)])
        #expect(replaced.kubeadmDocuments.count == 1)
        let below = await #expect(throws: Failure.self) {
            try await inputs(["a/b": "c"], [ConfigOverlay(name: "k", path: "a", data: "x")])
        }
        #expect(below?.description.contains("a: is a folder in the image") == true)
    }
}
