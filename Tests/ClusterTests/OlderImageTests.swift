import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

extension ClusterTests {
    /// sealer 0.11 built its images by buildah, and let a docker-distribution registry write the images into the rootfs. So does
    /// this: the real buildah, and the files that the testbed's docker-registry wrote.
    @Test("an image as sealer 0.11 built it is loaded, built upon and run", .timeLimit(.minutes(15)))
    func olderImage() async throws {
        let machine = try Machine()
        let scratch = try Scratch()
        let archive = scratch.path.appending("older.tar")
        try await makeOlderImage(machine, in: scratch.path, archive: archive)
        let environment = ["SEALER_ROOT": scratch.path.appending("root").string]
        let loaded = try await machine.run(
            [machine.sealer, "load", "--input", archive.string, "--name", "example.org/older:1"],
            environment: environment)
        try #require(loaded.status == 0, "\(loaded.error)")
        #expect(!loaded.error.contains("warning"), "\(loaded.error)")
        try FileManager.default.removeItem(atPath: archive.string)

        struct Inspected: Decodable {
            struct Contained: Decodable {
                var name: String
            }
            var images: [Contained]
        }
        let inspected = try JSONDecoder().decode(
            Inspected.self,
            from: Data(
                try await machine.check(
                    [machine.sealer, "inspect", "example.org/older:1", "--output", "json"], environment: environment
                ).utf8))
        #expect(inspected.images.contains { $0.name == "k8s.gcr.io/kube-apiserver:v1.20.2" })
        #expect(inspected.images.contains { $0.name == "docker.io/sealer-examples/hello:1.0" })

        let context = scratch.path.appending("new")
        try FileManager.default.createDirectory(atPath: context.string, withIntermediateDirectories: true)
        try Data("FROM example.org/older:1\nCOPY Kubefile etc/new\nCMD test -s etc/new\n".utf8)
            .write(to: URL(filePath: context.appending("Kubefile").string))
        try await machine.check(
            [machine.sealer, "build", "--tag", "example.org/newer:1", context.string], environment: environment)
        #expect(
            try await machine.check([machine.sealer, "fsck"], environment: environment).contains("all good"))

        let name = "test-older-image"
        do {
            let outcome = try await machine.run(
                [
                    machine.sealer, "run", "example.org/newer:1", "--name", name, "--masters", "1", "--nodes", "1",
                    "--node-image", machine.nodeImage, "--output", "json",
                ], environment: environment)
            try #require(outcome.status == 0, "\(outcome.error)")
            struct Report: Decodable {
                struct Node: Decodable {
                    var address: String
                }
                var nodes: [Node]
            }
            let report = try JSONDecoder().decode(Report.self, from: Data(outcome.output.utf8))
            for node in report.nodes {
                #expect(
                    try await answer(machine, from: "http://\(node.address):30080/").contains("hello, this is hello-"))
            }
            try await machine.check([machine.sealer, "delete", "--name", name], environment: environment)
        } catch {
            try await machine.run([machine.sealer, "delete", "--name", name], environment: environment)
            throw error
        }
        #expect(try await machine.leftovers(of: name) == [])
    }

    private func makeOlderImage(_ machine: Machine, in scratch: FilePath, archive: FilePath) async throws {
        let context = scratch.appending("older")
        let example = machine.repository.appending("examples/hello")
        let repositories = context.appending("registry/docker/registry/v2/repositories")
        // Those releases kept images by their paths alone, without the registries they came from.
        try await machine.check([
            "bash", "-euc",
            """
            mkdir -p '\(context)/registry' '\(context)/application/apps'
            cp -a '\(machine.baseContext)/.' '\(context)'
            rm '\(context)/Kubefile' '\(context)/manifests/imageList'
            cp -a "$SEALER_TEST_UPSTREAM_FILES/docker" '\(context)/registry/docker'
            mv '\(repositories)'/k8s.gcr.io/* '\(repositories)'/docker.io/* '\(repositories)'
            rmdir '\(repositories)'/k8s.gcr.io '\(repositories)'/docker.io
            cp -a '\(example)/manifests' '\(context)/application/apps/hello'
            cp -a '\(example)/charts/greeter' '\(context)/application/apps/greeter'
            """,
        ])
        let own = """
            {"buildClient":{"sealerVersion":"0.11.0","buildahVersion":"1.27.1"},"schemaVersion":"v1alpha1","type":"kube-installer",\
            "applications":[{"name":"hello","type":"kube","files":["hello.yaml"],"version":"v1"},\
            {"name":"greeter","type":"helm","version":"v1"}],"launch":{"app_names":["hello","greeter"]}}
            """
        let list = """
            [{"image":"sealer-examples/hello:1.0","appName":"hello","platform":{"architecture":"amd64","os":"linux"}}]
            """
        let storage = [
            "--root", scratch.appending("buildah").string, "--runroot", scratch.appending("buildah-run").string,
            "--storage-driver", "vfs",
        ]
        let policy = scratch.appending("policy.json").string
        try Data(#"{"default":[{"type":"insecureAcceptAnything"}]}"#.utf8).write(to: URL(filePath: policy))
        let file = scratch.appending("Dockerfile").string
        try Data(
            """
            FROM scratch
            COPY . .
            LABEL io.sealer.version=0.11.0 cluster.alpha.sealer.io/cluster-runtime-type=kubernetes \
            cluster.alpha.sealer.io/container-runtime-type=containerd cluster.alpha.sealer.io/kube-cni-bridge=true
            """.utf8
        ).write(to: URL(filePath: file))
        try await machine.check(
            ["buildah"] + storage + [
                "bud", "--quiet", "--signature-policy", policy, "--format", "oci", "--annotation",
                "sealer.image.extension=\(own)", "--annotation", "sealer.image.container.images=\(list)", "--tag",
                "older:1", "--file", file, context.string,
            ])
        try await machine.check(
            ["buildah"] + storage + [
                "push", "--quiet", "--signature-policy", policy, "older:1", "oci-archive:\(archive)",
            ])
        try await machine.check(["rm", "-rf", "--one-file-system", context.string, storage[1]])
    }
}
