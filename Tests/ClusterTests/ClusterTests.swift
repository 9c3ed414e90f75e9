import FoundationEssentials
import OCI
import Subprocess
import SystemPackage
import TestSupport
import Testing

/// From a Kubefile to running pods and back to nothing, with the executable as users have it: real Docker, real kubeadm,
/// real containerd. One after the other: each test makes clusters of its own on a small machine.
@Suite("A real cluster", .serialized, .enabled(if: Machine.lack == nil, "\(Machine.lack ?? "")"))
struct ClusterTests: ClusterSuite {
    static let base = "sealer.io/kubernetes:v1.20.2"
    static let example = "sealer.io/examples/hello:1.0"

    @Test("is built, runs with no way out, answers, and is deleted without a trace", .timeLimit(.minutes(15)))
    func wholeWay() async throws {
        let machine = try Machine()
        let mountsBefore = try await mounts(machine)
        try await withCluster("test-whole-way") { cluster in
            // Of a run that was killed when it had just made the containers nothing is left either.
            let killed = try await cluster.sealer(cluster.run, failpoints: "end provision=kill")
            #expect(killed.status == 137, "\(killed.error)")
            #expect(try await !machine.leftovers(of: cluster.name).isEmpty)
            try await cluster.check(["delete", "--name", cluster.name])
            #expect(try await machine.leftovers(of: cluster.name) == [])

            let report = try await runCluster(cluster)
            try await checkCluster(cluster, report: report)
            try await checkIsolation(cluster)
            try await checkSecrets(cluster)
            let again = try await cluster.sealer(cluster.run)
            #expect(again.status == 73, "a second cluster of the name must be refused: \(again.error)")
            try await cluster.check(["delete", "--name", cluster.name])
            #expect(!FileManager.default.fileExists(atPath: cluster.root.appending("clusters/\(cluster.name)").string))
            let gone = try await cluster.sealer(["delete", "--name", cluster.name])
            #expect(gone.status == 66, "\(gone.error)")
        }
        #expect(try await mounts(machine) == mountsBefore)
        // Of this machine itself: others' clusters have processes in containers of theirs.
        let processes = try await machine.check([
            "bash", "-euc",
            #"ps -eo pidns,args | awk -v own="$(ps -o pidns= $$ | tr -d ' ')" '$1 == own { sub(/^ *[0-9]+ +/, ""); print }'"#,
        ])
        #expect(processes.contains("ps -eo pidns,args"))
        let residue = processes.split(separator: "\n").filter {
            $0.contains("sealer node agent") || $0.contains("sealer registry serve") || $0.hasPrefix("kube-apiserver")
        }
        #expect(residue.isEmpty, "\(residue)")
    }

    /// What is mounted on this machine, without what Docker mounts for containers, which others have too.
    private func mounts(_ machine: Machine) async throws -> [Substring] {
        let data = try await machine.check(["docker", "info", "--format", "{{.DockerRootDir}}"]).filter {
            !$0.isNewline
        }
        return try await machine.check(["findmnt", "--noheadings", "--output", "TARGET", "--raw"])
            .split(separator: "\n")
            .filter {
                !$0.hasPrefix("\(data)/") && !$0.contains("/docker/netns/") && !$0.contains("/docker/containerd/")
            }
    }

    private struct Report: Decodable {
        struct Node: Decodable {
            var name: String
            var address: String
        }
        struct Stage: Decodable {
            var title: String
            var seconds: Double
        }
        var kubeconfig: String
        var nodes: [Node]
        var stages: [Stage]
    }

    private func runCluster(_ cluster: TestCluster) async throws -> Report {
        let outcome = try await cluster.sealer(
            cluster.run + ["--provider", "container", "--masters", "1", "--nodes", "1", "--output", "json"])
        try #require(outcome.status == 0, "\(outcome.error)")
        // kubeadm prints the join token; it must not come through.
        #expect(outcome.error.firstMatch(of: /[a-z0-9]{6}\.[a-z0-9]{16}\b/) == nil)
        return try JSONDecoder().decode(Report.self, from: Data(outcome.output.utf8))
    }

    private func checkCluster(_ cluster: TestCluster, report: Report) async throws {
        let (machine, name) = (cluster.machine, cluster.name)
        #expect(report.nodes.map(\.name).sorted() == ["\(name)-master-0", "\(name)-node-0"])
        #expect(!report.stages.isEmpty)
        // From outside, as its user asks.
        let kubectl = [machine.kubectl, "--kubeconfig", report.kubeconfig, "--request-timeout=20s"]
        let nodes = try await machine.check(kubectl + ["get", "nodes", "--output=jsonpath=\(TestCluster.readiness)"])
        #expect(nodes.split(separator: "\n").sorted() == ["\(name)-master-0=True", "\(name)-node-0=True"])
        let phases = try await machine.check(
            kubectl + [
                "get", "pods", "--all-namespaces", #"--output=jsonpath={range .items[*]}{.status.phase}{"\n"}{end}"#,
            ]
        )
        #expect(Set(phases.split(separator: "\n")) == ["Running"])
        // Every image came under its own name and with its upstream digest, through the registry of the cluster.
        let images = try await machine.check(
            kubectl + [
                "get", "pods", "--all-namespaces",
                #"--output=jsonpath={range .items[*]}{.spec.containers[*].image}{"\n"}{end}"#,
            ]
        )
        #expect(images.contains("k8s.gcr.io/kube-apiserver:v1.20.2"))
        #expect(images.contains("docker.io/sealer-examples/hello:1.0"))
        for node in report.nodes { try await cluster.expectAnswer(from: node.address) }
    }

    private func checkIsolation(_ cluster: TestCluster) async throws {
        let nodes = ["\(cluster.name)-master-0", "\(cluster.name)-node-0"]
        for (node, peer) in zip(nodes, nodes.reversed()) {
            let way = try await cluster.machine.run(
                ["docker", "exec", node, "timeout", "3", "bash", "-c", "exec 3<>/dev/tcp/192.0.2.1/80"]
            )
            #expect(way.status != 0, "\(node) has a way out")
            try await cluster.on(node, "timeout 3 bash -c 'exec 3<>/dev/tcp/\(peer)/10250'")
        }
    }

    private func checkSecrets(_ cluster: TestCluster) async throws {
        let (machine, name) = (cluster.machine, cluster.name)
        let folder = cluster.root.appending("clusters/\(name)").string
        let open = try await machine.check(["find", folder, "-type", "f", "-perm", "/077"])
        #expect(open == "", "files that others may read: \(open)")
        let journal = try await machine.check(["cat", "\(folder)/journal.jsonl"])
        #expect(journal.contains(#""event":"ended""#))
        #expect(journal.firstMatch(of: /[a-z0-9]{6}\.[a-z0-9]{16}\b/) == nil)
        let left = try await machine.run([
            "docker", "exec", "\(name)-master-0", "ls", "/etc/kubernetes/sealer-kubeadm.yaml",
        ])
        #expect(left.status != 0, "kubeadm's configuration, which holds the token, was left on the node")
    }

    @Test(
        "a node that dies during the run ends it with the node's name; the run goes on when it is back",
        .timeLimit(.minutes(15)))
    func dyingNode() async throws {
        try await withCluster("test-dying-node") { cluster in
            let (machine, name) = (cluster.machine, cluster.name)
            async let outcome = cluster.sealer(cluster.run + ["--progress", "plain"])
            // Kill the worker as soon as it runs its container runtime: the steps that need it are still to come.
            var isKilled = false
            for _ in 0..<600 where !isKilled {
                let probe = try await machine.run([
                    "docker", "exec", "\(name)-node-0", "test", "-S", "/run/containerd/containerd.sock",
                ])
                if probe.status == 0 {
                    isKilled = try await machine.run(["docker", "kill", "\(name)-node-0"]).status == 0
                } else {
                    try await Task.sleep(for: .milliseconds(200))
                }
            }
            #expect(isKilled)
            let result = try await outcome
            #expect(result.status != 0)
            #expect(result.error.contains("\(name)-node-0"), "\(result.error)")
            #expect(result.error.contains("go on from here with: sealer apply --name \(name)"), "\(result.error)")
            try await cluster.check(["apply", "--name", name, "--progress", "plain"])
            try await cluster.expectNothingToDo()
            try await cluster.check(["delete", "--name", name])
        }
    }

    @Test(
        "its image is read by skopeo, from the store as it lies and from the served registry", .timeLimit(.minutes(5)))
    func skopeo() async throws {
        let scratch = try Scratch()
        let cluster = TestCluster(try Machine(), "", in: scratch.path)
        let machine = cluster.machine
        try await cluster.buildImages()
        let inspected = try await machine.check([
            "skopeo", "inspect", "--raw", "oci:\(cluster.root)/store:\(Self.example)",
        ])
        #expect(inspected.contains(MediaType.clusterImage))
        let upstream = try await machine.check([
            "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}",
            "docker://127.0.0.1:5005/k8s.gcr.io/pause:3.2",
        ])
        let copied = scratch.path.appending("pause").string
        try await withServedStore(machine, environment: cluster.environment) { address in
            try await machine.check([
                "skopeo", "copy", "--src-tls-verify=false", "--preserve-digests",
                "docker://\(address)/k8s.gcr.io/pause:3.2", "dir:\(copied)",
            ])
            let digest = try await machine.check([
                "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}",
                "docker://\(address)/k8s.gcr.io/pause:3.2",
            ])
            #expect(digest == upstream)
        }
    }

    private func withServedStore(
        _ machine: Machine,
        environment: [String: String],
        _ body: (String) async throws -> Void
    ) async throws {
        var variables = Environment.inherit
        for (name, value) in environment {
            variables = variables.updating([Environment.Key(stringLiteral: name): value])
        }
        _ = try await Subprocess.run(
            .path(FilePath(machine.sealer)),
            arguments: ["registry", "serve", "--listen", "127.0.0.1:0"],
            environment: variables,
            input: .none,
            output: .sequence,
            error: .discarded
        ) { execution in
            for try await line in execution.standardOutput.strings() {
                guard let address = line.split(separator: "http://").last, line.contains("http://") else { continue }
                try await body(String(address.filter { !$0.isWhitespace }))
                break
            }
            try execution.send(signal: .terminate)
        }
    }
}
