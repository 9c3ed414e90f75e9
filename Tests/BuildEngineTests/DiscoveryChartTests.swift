import BuildEngine
import Glibc
import LinuxSystem
import OCI
import Report
import Subprocess
import SystemPackage
import TestSupport
import Testing

/// A real helm: `SEALER_TEST_HELM`, PATH's, or the one that the test bed fetched.
private let realHelm: FilePath? = {
    func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
    if let named = variable("SEALER_TEST_HELM") { return FilePath(named) }
    let cache = variable("XDG_CACHE_HOME") ?? "\(variable("HOME") ?? "")/.cache"
    let folders = (variable("PATH") ?? "").split(separator: ":").map { FilePath(String($0)) }
    let bed = FilePath(cache).appending("sealer-testbed")
    return (folders + [bed.appending("helm-3"), bed.appending("helm")]).map { $0.appending("helm") }
        .first { Folder.exists($0) == false && access($0.string, X_OK) == 0 }
}()

/// Makes a program out of a shell script.
private func script(_ text: String, at path: String, in root: FilePath) throws {
    let file = root.appending(path)
    try Folder.make(file.removingLastComponent())
    try AtomicFile.write("#!/bin/sh\n\(text)\n".utf8, to: file, permissions: FilePermissions(rawValue: 0o755))
}

/// A chart with a subchart, two templates and a test hook.
private func makeChart(at path: String, in root: FilePath) throws {
    try putFile("apiVersion: v2\nname: shop\nversion: 1.0.0\n", at: "\(path)/Chart.yaml", in: root)
    try putFile(
        "image: {repository: registry.example/shop, tag: \"2.0\"}\nextra: true\n", at: "\(path)/values.yaml", in: root)
    let web = """
        {{- /* a comment that is gone after rendering */ -}}
        apiVersion: apps/v1
        kind: Deployment
        metadata:
          name: {{ .Release.Name }}-web
        spec:
          template:
            spec:
              containers:
                - name: web
                  image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
        """
    try putFile(web, at: "\(path)/templates/web.yaml", in: root)
    let jobs = """
        {{- if .Values.extra }}
        apiVersion: batch/v1
        kind: CronJob
        metadata: {name: jobs}
        spec:
          schedule: "0 0 * * *"
          jobTemplate:
            spec:
              template:
                spec:
                  initContainers:
                    - {name: wait, image: "busybox:1.36"}
                  containers:
                    - name: one
                      image: job:1
                    - name: two
                      image: job:2
        {{- end }}
        """
    try putFile(jobs, at: "\(path)/templates/jobs.yaml", in: root)
    try putFile("apiVersion: v2\nname: cache\nversion: 1.0.0\n", at: "\(path)/charts/cache/Chart.yaml", in: root)
    let cache =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: cache}\nspec:\n  containers:\n    - name: c\n      image: redis:7\n"
    try putFile(cache, at: "\(path)/charts/cache/templates/pod.yaml", in: root)
}

@Suite("Discovery: charts", .serialized)
struct DiscoveryChartTests {
    private func found(_ discovery: Discovery) -> [String] {
        discovery.images.map { image in
            "\(image.reference.familiar) \(image.foundIn.map(\.description).joined(separator: " "))"
        }
    }

    @Test(
        "charts are rendered and their images found, with the template of each",
        .enabled(if: realHelm != nil, "no helm"))
    func rendered() async throws {
        let helm = try #require(realHelm)
        let scratch = try Scratch()
        try makeChart(at: "charts/my-shop", in: scratch.path)
        try makeChart(at: "application/apps/shop", in: scratch.path)
        try putFile(
            "apiVersion: v2\nname: lib\nversion: 1.0.0\ntype: library\n", at: "charts/lib/Chart.yaml", in: scratch.path)
        try putFile("image: x:1", at: "charts/loose.yaml", in: scratch.path)
        let discovery = try await ImageDiscovery().discover(in: scratch.path, helm: helm)
        let (app, chart) = ("application/apps/shop", "charts/my-shop")
        #expect(
            found(discovery) == [
                "busybox:1.36 \(app)/templates/jobs.yaml \(chart)/templates/jobs.yaml",
                "job:1 \(app)/templates/jobs.yaml \(chart)/templates/jobs.yaml",
                "job:2 \(app)/templates/jobs.yaml \(chart)/templates/jobs.yaml",
                "redis:7 \(app)/charts/cache/templates/pod.yaml:7 \(chart)/charts/cache/templates/pod.yaml:7",
                "registry.example/shop:2.0 \(app)/templates/web.yaml:11 \(chart)/templates/web.yaml:11",
            ]
        )
        #expect(discovery.warnings.map(\.file) == ["charts/loose.yaml"])
    }

    @Test("packaged charts, and packages that are none", .enabled(if: realHelm != nil, "no helm"))
    func packaged() async throws {
        let helm = try #require(realHelm)
        let scratch = try Scratch()
        try makeChart(at: "source/shop", in: scratch.path)
        try putFile("data", at: "source/data/file", in: scratch.path)
        for folder in ["charts", "application/apps/a", "manifests"] { try Folder.make(scratch.path.appending(folder)) }
        let source = scratch.path.appending("source").string
        for (file, folder) in [("charts/shop-1.0.0.tgz", "shop"), ("application/apps/a/data.tgz", "data")] {
            let result = try await run(
                .name("tar"),
                arguments: ["-czf", scratch.path.appending(file).string, "-C", source, folder],
                output: .discarded
            )
            try #require(result.terminationStatus.isSuccess)
        }
        let discovery = try await ImageDiscovery().discover(in: scratch.path, helm: helm)
        #expect(discovery.images.map(\.reference.familiar).contains("registry.example/shop:2.0"))
        #expect(discovery.images.last?.foundIn.map(\.description) == ["charts/shop-1.0.0.tgz/templates/web.yaml"])
        #expect(discovery.warnings.map(\.file) == ["application/apps/a/data.tgz"])
    }

    @Test("all charts that do not render are told, with helm's words", .enabled(if: realHelm != nil, "no helm"))
    func broken() async throws {
        let helm = try #require(realHelm)
        let scratch = try Scratch()
        for name in ["one", "two"] {
            try putFile(
                "apiVersion: v2\nname: \(name)\nversion: 1.0.0\n", at: "charts/\(name)/Chart.yaml", in: scratch.path)
            try putFile(
                "a: {{ fail \"\(name) must be told\" }}", at: "charts/\(name)/templates/x.yaml", in: scratch.path)
        }
        try putFile("a: [", at: "manifests/x.yaml", in: scratch.path)
        let text = await discoveryRefusal(of: scratch.path, helm: helm)
        #expect(text.contains("charts/one: helm does not render the chart"))
        #expect(text.contains("one must be told"))
        #expect(text.contains("two must be told"))
        #expect(text.contains("manifests/x.yaml:"))
    }

    @Test("charts without a helm: what to do is told")
    func noHelm() async throws {
        let scratch = try Scratch()
        try makeChart(at: "charts/shop", in: scratch.path)
        do {
            _ = try await ImageDiscovery().discover(in: scratch.path, helm: scratch.path.appending("none"))
            Issue.record("a chart was rendered without helm")
        } catch let failure as Failure {
            #expect(failure.kind == .unavailable)
            #expect(failure.what.contains("charts/shop"))
            #expect(failure.remedy?.contains("bin/helm") == true)
        }
    }

    @Test("the image's own helm is taken, with a clean environment and no shell in between")
    func ownHelm() async throws {
        let scratch = try Scratch()
        let name = "charts/a b;touch x"
        try putFile("apiVersion: v2\nname: x\nversion: 1.0.0\n", at: "\(name)/Chart.yaml", in: scratch.path)
        // It tells what it was given in the form of a manifest.
        let tell = """
            [ "$1" = template ] && [ "$2" = release ] && [ -f "$3/Chart.yaml" ] && [ $# = 3 ] || exit 3
            [ -z "$SEALER_SECRET" ] && [ -d "$HOME" ] && [ "$KUBECONFIG" = /dev/null ] || exit 4
            printf '%s\\n' '---' '# Source: x/templates/y.yaml' 'apiVersion: v1' 'kind: Pod' 'spec:' '  containers:'
            echo '  - image: own:1'
            """
        try script(tell, at: "bin/helm", in: scratch.path)
        setenv("SEALER_SECRET", "x", 1)
        let discovery = try await ImageDiscovery().discover(in: scratch.path)
        #expect(found(discovery) == ["own:1 \(name)/templates/y.yaml"])
    }

    @Test("a helm that stalls, floods, speaks nonsense or is no program")
    func badHelm() async throws {
        let scratch = try Scratch()
        try putFile("apiVersion: v2\nname: x\nversion: 1.0.0\n", at: "charts/x/Chart.yaml", in: scratch.path)
        var limits = DiscoveryLimits()
        limits.renderTime = .milliseconds(300)
        limits.renderedBytes = 100_000
        let helm = scratch.path.appending("helm")
        // The child of the script must go too: it would hold the pipe for a minute.
        try script("sleep 600", at: "helm", in: scratch.path)
        #expect(
            await discoveryRefusal(of: scratch.path, helm: helm, limits: limits).contains(
                "waited 300 ms for helm to render the chart"))
        limits.renderTime = .seconds(60)
        try script("yes", at: "helm", in: scratch.path)
        #expect(
            await discoveryRefusal(of: scratch.path, helm: helm, limits: limits).contains(
                "printed more than 100000 bytes"))
        try script("echo 'a: b: c'", at: "helm", in: scratch.path)
        #expect(
            await discoveryRefusal(of: scratch.path, helm: helm, limits: limits).hasPrefix(
                "charts/x (rendered):1:5: not YAML"))
        try script("echo nothing works >&2; exit 7", at: "helm", in: scratch.path)
        #expect(await discoveryRefusal(of: scratch.path, helm: helm, limits: limits).contains("nothing works"))
        try AtomicFile.write([0x7f, 0x45], to: helm, permissions: FilePermissions(rawValue: 0o755))
        #expect(await discoveryRefusal(of: scratch.path, helm: helm, limits: limits).contains("helm does not start"))
    }

    @Test("a chart with a link to this machine's files is not given to helm")
    func chartLinks() async throws {
        let scratch = try Scratch()
        try makeChart(at: "charts/shop", in: scratch.path)
        try script("echo rendered", at: "bin/helm", in: scratch.path)
        try #require(symlink("/etc/passwd", scratch.path.appending("charts/shop/templates/p.yaml").string) == 0)
        let text = await discoveryRefusal(of: scratch.path)
        #expect(text.hasPrefix("charts/shop/templates/p.yaml:1:1: the chart has a link that leads out of the image"))
    }
}
