import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

extension ClusterTests {
    /// sealer 0.11 built its images by buildah, and let a docker-distribution registry write the images into the rootfs. So does
    /// this: the real buildah, and the files that the testbed's docker-registry wrote.
    @Test("an image as sealer 0.11 built it is loaded, built upon and run", .timeLimit(.minutes(15)))
    func olderImage() async throws {
        try await withCluster("test-older-image", hasImages: false) { cluster in
            let archive = cluster.folder.appending("older.tar")
            try await makeOlderImage(cluster.machine, in: cluster.folder, archive: archive)
            let loaded = try await cluster.sealer(["load", "--input", archive.string, "--name", "example.org/older:1"])
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
                from: Data(try await cluster.check(["inspect", "example.org/older:1", "--output", "json"]).utf8))
            #expect(inspected.images.contains { $0.name == "k8s.gcr.io/kube-apiserver:v1.20.2" })
            #expect(inspected.images.contains { $0.name == "docker.io/sealer-examples/hello:1.0" })

            let context = cluster.folder.appending("new")
            try FileManager.default.createDirectory(atPath: context.string, withIntermediateDirectories: true)
            try cluster.write(
                "FROM example.org/older:1\nCOPY Kubefile etc/new\nCMD test -s etc/new\n",
                to: context.appending("Kubefile"))
            try await cluster.check(["build", "--tag", "example.org/newer:1", context.string])
            #expect(try await cluster.check(["fsck"]).contains("all good"))

            let output = try await cluster.check([
                "run", "example.org/newer:1", "--name", cluster.name, "--masters", "1", "--nodes", "1", "--node-image",
                cluster.machine.nodeImage, "--output", "json",
            ])
            struct Report: Decodable {
                struct Node: Decodable {
                    var address: String
                }
                var nodes: [Node]
            }
            let report = try JSONDecoder().decode(Report.self, from: Data(output.utf8))
            for node in report.nodes { try await cluster.expectAnswer(from: node.address) }
            try await cluster.check(["delete", "--name", cluster.name])
        }
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
