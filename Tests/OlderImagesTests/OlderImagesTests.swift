import Archive
import FoundationEssentials
import Glibc
import ImageStore
import ImageTree
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@testable import OlderImages

@Suite("Images of sealer 0.9 to 0.11")
struct OlderImagesTests {
    private static let release11 = """
        {"buildClient":{"sealerVersion":"0.11.0","buildahVersion":"1.27.1"},"schemaVersion":"v1alpha1","type":"kube-installer",\
        "applications":[{"name":"mysql","type":"helm","version":"v1","env":{"size":"10Gi"}},\
        {"name":"setup","type":"shell","files":["b.sh","a.sh"],"version":"v1"},\
        {"name":"own","type":"kube","files":["x.yaml"],"cmds":["kubectl create -f x.yaml"],"version":"v1"}],\
        "labels":{},"env":{"region":"eu"},"launch":{"app_names":["setup","mysql"]}}
        """

    private typealias Files = OlderFixture.Files

    private static func text(_ path: String, of image: ClusterImage, in store: ImageStore) async throws -> String? {
        let scratch = try Scratch()
        let folder = scratch.path.appending("tree")
        try await TreeUnpacker(store).unpack(image.rootfs, to: folder)
        let file = folder.appending(FilePath(path).components)
        guard access(file.string, F_OK) == 0 else { return nil }
        return Folder.exists(file) ? "a folder" : String(decoding: try readFile(file), as: UTF8.self)
    }

    @Test("become ClusterImages: the images of their registry are members, the layers lose it")
    func converts() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let fixture = OlderFixture(store: store)
        let nginx = try OlderFixture.Tree("library/nginx", tag: "1.25", layer: "nginx", listed: true)
        let api = try OlderFixture.Tree("kube-apiserver", tag: "v1.22.15", layer: "api")
        let team = try OlderFixture.Tree("team/tool", tag: "1", layer: "team")
        let own = try OlderFixture.Tree("other/thing", tag: "2", layer: "own")
        let pinned = try OlderFixture.Tree("pinned/by-digest", tag: nil, layer: "pinned")
        let layers: [Files] = [
            [OlderFixture.file("bin/kubeadm", "#!"), OlderFixture.file("Metadata", #"{"version":"v1.22.15"}"#)]
                + api.files,
            nginx.files + team.files,
            [OlderFixture.file("application/apps/mysql/Chart.yaml", "name: mysql")] + own.files + pinned.files,
        ]
        let listed = [
            "nginx:1.25", "quay.io/team/tool:1", "quay.io/pinned/by-digest@\(pinned.manifest.digest)",
        ]
        let older = try await fixture.image(
            layers,
            annotations: [
                "sealer.image.extension": Self.release11,
                "sealer.image.container.images":
                    "[\(listed.map { #"{"image":"\#($0)","appName":""}"# }.joined(separator: ","))]",
            ])
        let warnings = Warnings()
        let adopted = try await OlderImages(store, progress: warnings).adopt(older, named: "old:1")
        #expect(warnings.all.isEmpty)
        let image = try await store.clusterImage(adopted, named: "old:1")

        let names = image.members.map(\.name.description)
        #expect(
            names == [
                "docker.io/library/nginx:1.25", "k8s.gcr.io/kube-apiserver:v1.22.15",
                "quay.io/pinned/by-digest@\(pinned.manifest.digest)", "quay.io/team/tool:1",
                "registry.k8s.io/kube-apiserver:v1.22.15", "sea.hub:5000/other/thing:2",
            ])
        #expect(image.upstreamIndexes.map(\.digest) == [nginx.manifest.digest])
        #expect(image.sealer.images.first { $0.name.contains("nginx") }?.digest == nginx.manifest.digest)
        #expect(image.members.allSatisfy { $0.manifest.platform == Platform(architecture: "amd64") })
        #expect(image.index.annotations == [AnnotationKey.convertedFrom: older.digest.description])

        // The layer that held nothing but images is gone, with its line of the history.
        #expect(image.manifest.layers.count == 2)
        #expect(image.config.rootfs.diffIDs.count == 2)
        #expect(image.config.history?.compactMap(\.createdBy) == ["COPY 0", "COPY 2", "CMD"])
        #expect(try await Self.text("registry/docker/registry/v2", of: image, in: store) == nil)
        #expect(try await Self.text("bin/kubeadm", of: image, in: store) == "#!")
        #expect(try await Self.text("application/apps/mysql/Chart.yaml", of: image, in: store) == "name: mysql")

        #expect(image.labels[LabelKey.runtimeVersion] == "v1.22.15")
        #expect(image.sealer.kind == .kubeInstaller)
        #expect(image.sealer.env == ["region": "eu"])
        #expect(image.sealer.launch == [.app("setup"), .app("mysql")])
        #expect(image.sealer.apps.map(\.name) == ["mysql", "setup", "own"])
        #expect(image.sealer.apps[0].commands.isEmpty)
        #expect(image.sealer.apps[0].env == ["size": "10Gi"])
        #expect(image.sealer.apps[1].commands == ["cd application/apps/setup", "bash b.sh", "bash a.sh"])
        #expect(image.sealer.apps[2].commands == ["cd application/apps/own", "kubectl create -f x.yaml"])

        // Once more: the same digest. And what was converted passes as it is.
        #expect(try await OlderImages(store).adopt(older, named: "old:1") == adopted)
        #expect(try await OlderImages(store).adopt(adopted, named: "old:1") == adopted)
        let name = try Reference("old:1")
        try await store.tag(adopted, as: name)
        #expect(try await OlderImages(store).adopted(older.digest, under: name)?.digest == adopted.digest)
        #expect(try await OlderImages(store).adopted(adopted.digest, under: name) == nil)
    }

    @Test(
        "of every release tell what they start",
        arguments: [
            (#"{"image_type":"application","cmd_set":["ls -l"],"arg_set":{"A":"1"}}"#, "app-installer", ["ls -l"]),
            (
                #"{"buildClient":{"sealerVersion":"0.9.0"},"schemaVersion":"v1alpha1","type":"kube-installer","launch":{"cmds":["ls","pwd"]}}"#,
                "kube-installer", ["ls", "pwd"]
            ),
            (
                #"{"type":"app-installer","applications":[{"name":"a","type":"shell","launchfiles":["i.sh"],"version":"v1"}],"launch":{"cmds":["bash application/apps/a/i.sh"],"app_names":["a"]}}"#,
                "app-installer", ["bash application/apps/a/i.sh"]
            ),
        ])
    func releases(_ text: String, kind: String, commands: [String]) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let older = try await OlderFixture(store: store).image(
            [[OlderFixture.file("etc/x", "1")]], annotations: ["sealer.image.extension": text], labels: [:])
        let adopted = try await OlderImages(store).adopt(older, named: "old")
        let image = try await store.clusterImage(adopted, named: "old")
        #expect(image.sealer.kind.rawValue == kind)
        #expect(image.sealer.launch == commands.map { .shell($0) })
        // Without images of their own the layers stay what they were.
        guard case .manifest(let before) = try await store.document(older) else { return }
        #expect(image.manifest.layers == before.layers)
    }

    @Test("follow their layers: what a later one replaces or deletes does not count")
    func whiteouts() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let gone = try OlderFixture.Tree("library/gone", tag: "1", layer: "gone")
        let first = try OlderFixture.Tree("library/moved", tag: "1", layer: "first")
        let second = try OlderFixture.Tree("library/moved", tag: "1", layer: "second")
        let older = try await OlderFixture(store: store).image(
            [
                gone.files + first.files,
                [("\(OlderFixture.Tree.root)/repositories/library/gone", nil)] + second.files,
            ], annotations: ["sealer.image.extension": "{}"])
        let adopted = try await OlderImages(store).adopt(older, named: "old")
        let image = try await store.clusterImage(adopted, named: "old")
        #expect(image.members.map(\.name.description) == ["docker.io/library/moved:1"])
        #expect(image.members.map(\.manifest.digest) == [second.manifest.digest])
        #expect(image.manifest.layers.isEmpty)
    }

    @Test("say what they lack, each image by name, and bring the rest")
    func partial() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let good = try OlderFixture.Tree("library/good", tag: "1", layer: "good")
        let cut = try OlderFixture.Tree("library/cut", tag: "1", layer: "cut", leavingOut: true)
        var changed = try OlderFixture.Tree("library/changed", tag: "1", layer: "changed")
        let position = try #require(
            changed.files.firstIndex { $0.path == OlderFixture.Tree.data(.of(Data("layer changed".utf8))) })
        changed.files[position].content = Data("layer chanGed".utf8)
        var torn = try OlderFixture.Tree("library/torn", tag: "1", layer: "torn")
        torn.files.removeAll { $0.path == OlderFixture.Tree.data(torn.manifest.digest) }
        let older = try await OlderFixture(store: store).image(
            [good.files + cut.files + changed.files + torn.files],
            annotations: [
                "sealer.image.extension": "{}",
                "sealer.image.container.images": #"[{"image":"good:1"},{"image":"absent:1"},{"image":"NO NAME"}]"#,
            ])
        let warnings = Warnings()
        let adopted = try await OlderImages(store, progress: warnings).adopt(older, named: "old")
        let image = try await store.clusterImage(adopted, named: "old")
        #expect(image.members.map(\.name.description) == ["docker.io/library/good:1"])
        #expect(warnings.all.count == 5)
        for name in ["cut:1", "changed:1", "torn:1", "absent:1", "NO NAME"] {
            #expect(warnings.all.contains { $0.contains(name) }, "\(name)")
        }
        #expect(try await store.check().damages.isEmpty)
    }

    @Test("for several platforms become one ClusterImage with a rootfs for each")
    func platforms() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let fixture = OlderFixture(store: store)
        var entries: [Descriptor] = []
        for architecture in ["amd64", "arm64"] {
            let tree = try OlderFixture.Tree("library/app", tag: "1", layer: architecture, platform: architecture)
            var entry = try await fixture.image(
                [tree.files + [OlderFixture.file("which", architecture)]],
                annotations: ["sealer.image.extension": "{}"], architecture: architecture)
            entry.platform = Platform(architecture: architecture)
            entries.append(entry)
        }
        let index = try await store.put(canonicalJSON(ImageIndex(manifests: entries)), mediaType: MediaType.index)
        let adopted = try await OlderImages(store).adopt(index, named: "old")
        for architecture in ["amd64", "arm64"] {
            let image = try await store.clusterImage(
                adopted, named: "old", platform: Platform(architecture: architecture))
            #expect(image.config.architecture == architecture)
            #expect(try await Self.text("which", of: image, in: store) == architecture)
            #expect(image.members.map { $0.manifest.platform?.architecture } == ["amd64", "arm64"])
        }
    }

    @Test("in Docker's format, which keeps no annotations, are known by their label, and say what is lost")
    func withoutAnnotations() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let tree = try OlderFixture.Tree("library/app", tag: "1", layer: "x")
        let older = try await OlderFixture(store: store).image(
            [
                tree.files + [OlderFixture.file("application/apps/web/x.yaml", "a: 1")],
                [OlderFixture.file("etc/y", "2")],
            ],
            annotations: [:], docker: true)
        let warnings = Warnings()
        let adopted = try await OlderImages(store, progress: warnings).adopt(older, named: "old")
        let image = try await store.clusterImage(adopted, named: "old")
        #expect(image.members.count == 1)
        #expect(image.manifest.layers.map(\.mediaType) == [MediaType.layerZstd, MediaType.layerGzip])
        #expect(warnings.all.count == 1)
        #expect(warnings.all.first?.contains("applications: web") == true)
    }

    @Test("are not taken for such when they are something else")
    func others() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let fixture = OlderFixture(store: store)
        let plain = try await fixture.image([[OlderFixture.file("etc/x", "1")]], annotations: ["a": "b"], labels: [:])
        #expect(try await OlderImages(store).adopt(plain, named: "plain") == plain)
        let odd = try await store.put(Data(#"{"config":[]}"#.utf8), mediaType: MediaType.config)
        let strange = try await store.put(
            canonicalJSON(ImageManifest(config: odd, layers: [])), mediaType: MediaType.manifest)
        #expect(try await OlderImages(store).adopt(strange, named: "strange") == strange)
    }

    @Test(
        "that are damaged or hostile are refused",
        arguments: [
            #"{"applications":[{"name":"../../etc","type":"shell"}]}"#,
            #"{"applications":[{"name":"..","type":"kube"}]}"#,
            "no json", #"{"launch":[]}"#,
        ])
    func hostileExtensions(_ text: String) async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let older = try await OlderFixture(store: store).image(
            [[OlderFixture.file("etc/x", "1")]], annotations: ["sealer.image.extension": text])
        let failure = await #expect(throws: Failure.self) { try await OlderImages(store).adopt(older, named: "old") }
        #expect(failure?.kind == .integrity)
    }

    @Test("links that lead nowhere, odd names and huge links harm nobody")
    func hostileTrees() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let root = OlderFixture.Tree.root
        let digest = Digest.of(Data("x".utf8))
        let older = try await OlderFixture(store: store).image(
            [
                [
                    OlderFixture.file("\(root)/repositories/UPPER/_manifests/tags/1/current/link", "\(digest)"),
                    OlderFixture.file("\(root)/repositories/a/_manifests/tags/1/current/link", "sha256:zz"),
                    OlderFixture.file("\(root)/repositories/b/_manifests/tags/1/current/link", "\(digest)"),
                    OlderFixture.file("\(root)/repositories/_manifests/tags/1/current/link", "\(digest)"),
                    (
                        "\(root)/repositories/c/_manifests/tags/1/current/link",
                        Data(repeating: UInt8(ascii: "a"), count: 3_000_000)
                    ),
                    OlderFixture.file("\(root)/blobs/sha256/aa/nonsense/data", "x"),
                    OlderFixture.file("\(root)/blobs/sha256/\(digest.hex.prefix(2))/\(digest.hex)/data", "not x"),
                ]
            ], annotations: ["sealer.image.extension": "{}"])
        let warnings = Warnings()
        let adopted = try await OlderImages(store, progress: warnings).adopt(older, named: "old")
        let image = try await store.clusterImage(adopted, named: "old")
        #expect(image.members.isEmpty)
        #expect(warnings.all.contains { $0.contains("UPPER") })
        #expect(warnings.all.contains { $0.contains("damaged") })
        #expect(try await store.size(of: digest) == nil)
    }
}
