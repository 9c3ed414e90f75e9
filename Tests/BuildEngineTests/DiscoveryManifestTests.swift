import BuildEngine
import Glibc
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

/// Writes a file of a rootfs with the folders that it needs.
func putFile(_ text: String, at path: String, in root: FilePath) throws {
    let file = root.appending(path)
    try Folder.make(file.removingLastComponent())
    try AtomicFile.write(text.utf8, to: file)
}

/// What a discovery refuses, as text.
func discoveryRefusal(of root: FilePath, helm: FilePath? = nil, limits: DiscoveryLimits = .standard) async -> String {
    do {
        let found = try await ImageDiscovery(limits: limits).discover(in: root, helm: helm)
        return "nothing was refused, found: \(found.images.map(\.reference.familiar))"
    } catch {
        return "\(error)"
    }
}

@Suite("Discovery: manifests and lists")
struct DiscoveryManifestTests {
    private func found(_ discovery: Discovery) -> [String] {
        discovery.images.map { image in
            "\(image.reference.familiar) \(image.foundIn.map(\.description).joined(separator: " "))"
        }
    }

    private static let pod = """
        containers:
          - name: a
            image: a:1 # the first
          - {name: b, image: 'b:1'}
        initContainers:
          - name: c
            image: "c:1"
        ephemeralContainers:
          - image: d:1
        volumes:
          - image: {reference: "registry.example:5000/e/f:1", pullPolicy: Always}
          - configMap: {name: x}
        """

    private func manifest(_ kind: String, _ version: String, _ path: [String]) -> String {
        var text = "apiVersion: \(version)\nkind: \(kind)\nmetadata: {name: x, labels: {image: not:an:image}}\n"
        var indent = ""
        for key in path {
            text += "\(indent)\(key):\n"
            indent += "  "
        }
        let lines = Self.pod.split(separator: "\n").map { "\(indent)\($0)\n" }
        return text + lines.joined()
    }

    @Test(
        "every kind of workload, with the line of each image",
        arguments: [
            ("Pod", "v1", ["spec"]), ("Deployment", "apps/v1", ["spec", "template", "spec"]),
            ("Deployment", "extensions/v1beta1", ["spec", "template", "spec"]),
            ("StatefulSet", "apps/v1", ["spec", "template", "spec"]),
            ("DaemonSet", "apps/v1", ["spec", "template", "spec"]),
            ("ReplicaSet", "apps/v1", ["spec", "template", "spec"]),
            ("ReplicationController", "v1", ["spec", "template", "spec"]),
            ("Job", "batch/v1", ["spec", "template", "spec"]),
            ("CronJob", "batch/v1beta1", ["spec", "jobTemplate", "spec", "template", "spec"]),
            ("PodTemplate", "v1", ["template", "spec"]),
            ("Rollout", "argoproj.io/v1alpha1", ["spec", "template", "spec"]),
            ("Prometheus", "monitoring.coreos.com/v1", ["spec", "podTemplate", "spec"]),
        ]
    )
    func workloads(kind: String, version: String, path: [String]) async throws {
        let scratch = try Scratch()
        try putFile(manifest(kind, version, path), at: "manifests/deep/er/x.yml", in: scratch.path)
        let discovery = try await ImageDiscovery().discover(in: scratch.path)
        let first = 3 + path.count
        #expect(
            found(discovery) == [
                "a:1 manifests/deep/er/x.yml:\(first + 3)", "b:1 manifests/deep/er/x.yml:\(first + 4)",
                "c:1 manifests/deep/er/x.yml:\(first + 7)", "d:1 manifests/deep/er/x.yml:\(first + 9)",
                "registry.example:5000/e/f:1 manifests/deep/er/x.yml:\(first + 11)",
            ]
        )
        #expect(discovery.warnings.isEmpty)
    }

    @Test("lists of objects, several documents and files, JSON; names merged under their canonical form")
    func merged() async throws {
        let scratch = try Scratch()
        let list = """
            # a comment
            ---
            apiVersion: v1
            kind: List
            items:
              - {apiVersion: v1, kind: Pod, spec: {containers: [{image: nginx}]}}
              - apiVersion: v1
                kind: PodList
                items:
                  - {apiVersion: v1, kind: Pod, spec: {containers: [{image: docker.io/library/nginx:latest}]}}
            ---
            apiVersion: v1
            kind: Service
            """
        try putFile(list, at: "manifests/list.yaml", in: scratch.path)
        let json =
            "{\n\t\"apiVersion\": \"v1\", \"kind\": \"Pod\",\n\t\"spec\": {\"containers\": [{\"image\": \"j:1\"}]}\n}\n"
        try putFile(json, at: "manifests/pod.json", in: scratch.path)
        try putFile(
            "\u{feff}nginx\r\n\r\n# none\r\n  busybox:1.36  # shell\r\nquay.io/a/b@sha256:\(String(repeating: "a", count: 64))",
            at: "manifests/imageList", in: scratch.path)
        try putFile(manifest("Pod", "v1", ["spec"]), at: "application/apps/web/web.yaml", in: scratch.path)
        try putFile("image: x:1", at: "elsewhere/x.yaml", in: scratch.path)
        try putFile("not: [yaml", at: "manifests/README.md", in: scratch.path)
        let discovery = try await ImageDiscovery().discover(in: scratch.path)
        #expect(
            found(discovery) == [
                "a:1 application/apps/web/web.yaml:7", "b:1 application/apps/web/web.yaml:8",
                "busybox:1.36 manifests/imageList:4", "c:1 application/apps/web/web.yaml:11",
                "d:1 application/apps/web/web.yaml:13", "j:1 manifests/pod.json:3",
                "nginx:latest manifests/imageList:1 manifests/list.yaml:6 manifests/list.yaml:10",
                "quay.io/a/b@sha256:\(String(repeating: "a", count: 64)) manifests/imageList:5",
                "registry.example:5000/e/f:1 application/apps/web/web.yaml:15",
            ]
        )
    }

    @Test("an empty rootfs has no images; one that is not there is refused")
    func empty() async throws {
        let scratch = try Scratch()
        #expect(try await ImageDiscovery().discover(in: scratch.path).images.isEmpty)
        #expect(await discoveryRefusal(of: scratch.path.appending("none")).contains("there is no such folder"))
    }

    @Test("what may be an image is told, unless it is found elsewhere too")
    func undecided() async throws {
        let scratch = try Scratch()
        let custom = """
            apiVersion: example.com/v1
            kind: Widget
            spec:
              image: widget:1
              agent: {image: {repository: quay.io/agent, tag: 2.0}}
              sidecars:
                - image: known:1
              template:
                spec:
                  image: inner:1
              picture: {image: "no image at all!"}
            ---
            image: loose:1
            """
        try putFile(custom, at: "manifests/widget.yaml", in: scratch.path)
        try putFile("known:1", at: "manifests/imageList", in: scratch.path)
        let discovery = try await ImageDiscovery().discover(in: scratch.path)
        #expect(found(discovery) == ["known:1 manifests/imageList:1"])
        let starts = discovery.warnings.map { $0.description.prefix { $0 != "(" } }
        let file = "manifests/widget.yaml"
        let kind = "of the kind Widget "
        #expect(
            starts == [
                "\(file):4:10: warning: spec.image \(kind)", "\(file):5:18: warning: spec.agent.image \(kind)",
                "\(file):10:14: warning: spec.template.spec.image \(kind)",
                "\(file):13:8: warning: image of a document that is no Kubernetes object may be an image that the cluster needs ",
            ]
        )
        #expect(discovery.warnings.map(\.description).joined().contains("(quay.io/agent:2.0)"))
    }

    @Test("all mistakes of all files are told together, with file, line and column")
    func mistakes() async throws {
        let scratch = try Scratch()
        try putFile("a: 1\nb: [1, 2\nc: 3\n", at: "manifests/a.yaml", in: scratch.path)
        try putFile(
            "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: Not An Image\n  - image: 1.30\n",
            at: "manifests/b.yaml", in: scratch.path)
        try putFile("image: {{ .Image }}\n", at: "manifests/c.yaml", in: scratch.path)
        try putFile("image: {{ .Image }}\n", at: "manifests/d.yaml.tmpl", in: scratch.path)
        try putFile("nginx\n\n  b:a:d\nUPPER/x\n", at: "manifests/imageList", in: scratch.path)
        try AtomicFile.write([0x61, 0xff, 0x0a], to: scratch.path.appending("manifests/e.yaml"))
        let text = await discoveryRefusal(of: scratch.path)
        let places = text.split(separator: "\n").map { line in line.split(separator: " ").first.map(String.init) ?? "" }
        #expect(
            places == [
                "manifests/a.yaml:3:2:", "manifests/b.yaml:5:12:", "manifests/b.yaml:6:12:", "manifests/c.yaml:1:9:",
                "manifests/d.yaml.tmpl:1:1:", "manifests/e.yaml:1:1:", "manifests/imageList:3:3:",
            ],
            "\(text)"
        )
        #expect(text.contains("templates (.tmpl) are not supported yet"))
        #expect(text.contains("an image's name was expected, here stands a number"))
    }

    @Test("links that stay within are followed, once; links that lead out are not, and are told")
    func links() async throws {
        let outside = try Scratch()
        try putFile("outside:1", at: "imageList", in: outside.path)
        try putFile(manifest("Pod", "v1", ["spec"]), at: "pod.yaml", in: outside.path)
        let scratch = try Scratch()
        try putFile("inside:1", at: "lists/images", in: scratch.path)
        try putFile(
            "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: linked:1}]}", at: "more/x.yaml", in: scratch.path)
        try putFile("", at: "manifests/empty.yaml", in: scratch.path)
        for (target, link) in [
            ("../lists/images", "imageList"), ("../more", "more"), (".", "circle"), ("/etc", "etc"),
            ("\(outside.path)/pod.yaml", "pod.yaml"), (outside.path.string, "folder"), ("nowhere", "gone.yaml"),
        ] {
            try #require(symlink(target, scratch.path.appending("manifests/\(link)").string) == 0)
        }
        let discovery = try await ImageDiscovery().discover(in: scratch.path)
        #expect(found(discovery) == ["inside:1 manifests/imageList:1", "linked:1 manifests/more/x.yaml:3"])
        #expect(
            discovery.warnings.map(\.file) == [
                "manifests/etc", "manifests/folder", "manifests/gone.yaml", "manifests/pod.yaml",
            ]
        )
    }

    @Test("limits on size, number and depth")
    func limits() async throws {
        let scratch = try Scratch()
        try putFile("# \(String(repeating: "x", count: 200))", at: "manifests/a/b/c/d.yaml", in: scratch.path)
        try putFile("# small", at: "manifests/a/e.yaml", in: scratch.path)
        var limits = DiscoveryLimits()
        limits.fileBytes = 100
        let tooLarge = await discoveryRefusal(of: scratch.path, limits: limits)
        #expect(tooLarge == "manifests/a/b/c/d.yaml:1:1: the file is larger than 100 bytes")
        limits = DiscoveryLimits()
        limits.totalBytes = 205
        #expect(await discoveryRefusal(of: scratch.path, limits: limits).contains("together are larger than 205 bytes"))
        limits = DiscoveryLimits()
        limits.entries = 3
        #expect(await discoveryRefusal(of: scratch.path, limits: limits).contains("more than 3 files"))
        limits = DiscoveryLimits()
        limits.depth = 2
        #expect(await discoveryRefusal(of: scratch.path, limits: limits).contains("nested deeper than 2 levels"))
    }

    @Test("workloads without what they should have are told")
    func incomplete() async throws {
        let scratch = try Scratch()
        let text = """
            apiVersion: apps/v1
            kind: Deployment
            spec: {}
            ---
            apiVersion: v1
            kind: Pod
            spec:
              containers:
                - name: web
            ---
            {apiVersion: v1, kind: Pod, spec: {containers: x}}
            """
        try putFile(text, at: "manifests/x.yaml", in: scratch.path)
        let discovery = try await ImageDiscovery().discover(in: scratch.path)
        #expect(
            discovery.warnings.map(\.description) == [
                "manifests/x.yaml:1:1: warning: the Deployment has no spec.template.spec, no image was found in it",
                "manifests/x.yaml:9:7: warning: the container web of this Pod names no image",
                "manifests/x.yaml:11:35: warning: this Pod has no list of containers",
            ]
        )
    }
}
