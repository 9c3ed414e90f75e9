import FoundationEssentials
import OCI
import Subprocess
import SystemPackage
import TestSupport
import Testing

/// From a Kubefile to running pods and back to nothing, with the executable as users have it: real Docker, real kubeadm,
/// real containerd. One after the other: each test makes clusters of its own on a small machine.
@Suite("A real cluster", .serialized, .enabled(if: Machine.lack == nil, "\(Machine.lack ?? "")"))
struct ClusterTests {
    static let base = "sealer.io/kubernetes:v1.20.2"
    static let example = "sealer.io/examples/hello:1.0"

    func buildImages(_ machine: Machine, root: FilePath) async throws -> [String: String] {
        let environment = ["SEALER_ROOT": root.string]
        try await machine.check(
            [
                machine.sealer, "build", "--tag", Self.base, "--file", "\(machine.baseContext)/Kubefile",
                machine.baseContext,
            ],
            environment: environment
        )
        let folder = machine.repository.appending("examples/hello").string
        try await machine.check([machine.sealer, "build", "--tag", Self.example, folder], environment: environment)
        return environment
    }

    @Test("is built, runs with no way out, answers, and is deleted without a trace", .timeLimit(.minutes(15)))
    func wholeWay() async throws {
        let machine = try Machine()
        let scratch = try Scratch()
        let root = scratch.path.appending("root")
        let environment = try await buildImages(machine, root: root)
        let name = "test-whole-way"
        let mountsBefore = try await machine.check(["findmnt", "--noheadings", "--output", "TARGET", "--raw"])
        do {
            let report = try await runCluster(machine, name: name, environment: environment)
            try await checkCluster(machine, report: report, name: name)
            try await checkIsolation(machine, name: name)
            try await checkSecrets(machine, root: root, name: name)
            let again = try await machine.run(
                [machine.sealer, "run", Self.example, "--name", name, "--node-image", machine.nodeImage],
                environment: environment
            )
            #expect(again.status == 73, "a second cluster of the name must be refused: \(again.error)")
            try await machine.check([machine.sealer, "delete", "--name", name], environment: environment)
        } catch {
            // Whatever went wrong, the machine is left as it was.
            try await machine.run([machine.sealer, "delete", "--name", name], environment: environment)
            throw error
        }
        #expect(try await machine.leftovers(of: name) == [])
        #expect(try await machine.check(["findmnt", "--noheadings", "--output", "TARGET", "--raw"]) == mountsBefore)
        #expect(!FileManager.default.fileExists(atPath: root.appending("clusters/\(name)").string))
        let processes = try await machine.check(["ps", "-eo", "args"])
        let residue = processes.split(separator: "\n").filter {
            $0.contains("sealer node agent") || $0.contains("sealer registry serve") || $0.hasPrefix("kube-apiserver")
        }
        #expect(residue.isEmpty, "\(residue)")
        let gone = try await machine.run([machine.sealer, "delete", "--name", name], environment: environment)
        #expect(gone.status == 66, "\(gone.error)")
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

    private func runCluster(_ machine: Machine, name: String, environment: [String: String]) async throws -> Report {
        let outcome = try await machine.run(
            [
                machine.sealer, "run", Self.example, "--provider", "container", "--masters", "1", "--nodes", "1",
                "--name", name, "--node-image", machine.nodeImage, "--output", "json",
            ],
            environment: environment
        )
        try #require(outcome.status == 0, "\(outcome.error)")
        // kubeadm prints the join token; it must not come through.
        #expect(outcome.error.firstMatch(of: /[a-z0-9]{6}\.[a-z0-9]{16}\b/) == nil)
        return try JSONDecoder().decode(Report.self, from: Data(outcome.output.utf8))
    }

    private func checkCluster(_ machine: Machine, report: Report, name: String) async throws {
        #expect(report.nodes.map(\.name).sorted() == ["\(name)-master-0", "\(name)-node-0"])
        #expect(!report.stages.isEmpty)
        let kubectl = [machine.kubectl, "--kubeconfig", report.kubeconfig, "--request-timeout=20s"]
        let ready = #"{range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}"#
        let nodes = try await machine.check(kubectl + ["get", "nodes", "--output=jsonpath=\(ready)"])
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
        for node in report.nodes {
            let answer = try await answer(machine, from: "http://\(node.address):30080/")
            #expect(answer.contains("hello, this is hello-"), "\(node.name): \(answer)")
        }
    }

    /// The NodePort opens a moment before its rules are there, so the first questions may get no answer.
    func answer(_ machine: Machine, from url: String) async throws -> String {
        for _ in 0..<30 {
            let outcome = try await machine.run(["curl", "--silent", "--fail", "--max-time", "2", url])
            if outcome.status == 0 { return outcome.output }
            try await Task.sleep(for: .milliseconds(500))
        }
        return "no answer from \(url)"
    }

    private func checkIsolation(_ machine: Machine, name: String) async throws {
        for node in ["\(name)-master-0", "\(name)-node-0"] {
            let way = try await machine.run(
                ["docker", "exec", node, "timeout", "3", "bash", "-c", "exec 3<>/dev/tcp/192.0.2.1/80"]
            )
            #expect(way.status != 0, "\(node) has a way out")
            let peer = node.hasSuffix("master-0") ? "\(name)-node-0" : "\(name)-master-0"
            try await machine.check([
                "docker", "exec", node, "timeout", "3", "bash", "-c", "exec 3<>/dev/tcp/\(peer)/10250",
            ])
        }
    }

    private func checkSecrets(_ machine: Machine, root: FilePath, name: String) async throws {
        let folder = root.appending("clusters/\(name)").string
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
        let machine = try Machine()
        let scratch = try Scratch()
        let environment = try await buildImages(machine, root: scratch.path.appending("root"))
        let name = "test-dying-node"
        async let outcome = machine.run(
            [
                machine.sealer, "run", Self.example, "--name", name, "--node-image", machine.nodeImage, "--progress",
                "plain",
            ],
            environment: environment
        )
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
        let again = try await machine.run(
            [machine.sealer, "apply", "--name", name, "--progress", "plain"], environment: environment)
        #expect(again.status == 0, "\(again.error)")
        try await expectNothingToDo(machine, name: name, environment: environment)
        try await machine.check([machine.sealer, "delete", "--name", name], environment: environment)
        #expect(try await machine.leftovers(of: name) == [])
    }

    @Test(
        "its image is read by skopeo, from the store as it lies and from the served registry", .timeLimit(.minutes(5)))
    func skopeo() async throws {
        let machine = try Machine()
        let scratch = try Scratch()
        let environment = try await buildImages(machine, root: scratch.path.appending("root"))
        let inspected = try await machine.check([
            "skopeo", "inspect", "--raw", "oci:\(scratch.path)/root/store:\(Self.example)",
        ])
        #expect(inspected.contains(MediaType.clusterImage))
        let upstream = try await machine.check([
            "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}",
            "docker://127.0.0.1:5005/k8s.gcr.io/pause:3.2",
        ])
        let copied = scratch.path.appending("pause").string
        try await withServedStore(machine, environment: environment) { address in
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
