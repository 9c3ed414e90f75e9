import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// What kubeadm and kubelet are told, told otherwise to a cluster that runs, and changed behind sealer's back.
extension ClusterTests {
    /// The Clusterfile of the test's cluster, with documents of kubeadm's behind it.
    private func clusterfile(_ machine: Machine, _ name: String, pods: String, _ documents: String) -> Data {
        Data(
            """
            apiVersion: sealer.io/v2
            kind: Cluster
            metadata:
              name: \(name)
            spec:
              image: \(Self.example)
              provider: container
              masters: {count: 1}
              nodes: {count: 1}
              network: {podCIDR: \(pods)}
              container: {nodeImage: "\(machine.nodeImage)"}
            \(documents)
            """.utf8)
    }

    private static let changed = """
        ---
        apiVersion: kubelet.config.k8s.io/v1beta1
        kind: KubeletConfiguration
        maxPods: 77
        ---
        apiVersion: kubeadm.k8s.io/v1beta2
        kind: ClusterConfiguration
        apiServer:
          extraArgs: {max-requests-inflight: "401"}
        """

    private static let plugin = """
        ---
        apiVersion: sealer.io/v1
        kind: Plugin
        metadata: {name: noted}
        spec:
          type: SHELL
          action: pre-init-host|post-init-host|pre-launch|post-install
          scope: master
          timeout: 60
          data: echo ran >>/root/plugin
        """

    @Test(
        "takes another configuration of API server and kubelet, mends a changed one, refuses what cannot be, whenever it is killed",
        .timeLimit(.minutes(15)))
    func configurationDrift() async throws {
        let machine = try Machine()
        let scratch = try Scratch()
        let environment = try await buildImages(machine, root: scratch.path.appending("root"))
        let name = "test-configuration"
        let (master, worker) = ("\(name)-master-0", "\(name)-node-0")
        let file = scratch.path.appending("Clusterfile")
        func write(pods: String = "10.244.0.0/16", _ documents: String) throws {
            try clusterfile(machine, name, pods: pods, Self.plugin + "\n" + documents).write(
                to: URL(filePath: file.string))
        }
        func sealer(_ arguments: [String]) async throws -> Machine.Outcome {
            try await machine.run([machine.sealer] + arguments, environment: environment)
        }
        func kubectl(_ arguments: [String]) async throws -> String {
            try await machine.check(
                ["docker", "exec", master, "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"] + arguments)
        }
        func podLimits() async throws -> [Substring] {
            try await kubectl(["get", "nodes", "--output=jsonpath={.items[*].status.capacity.pods}"]).split(
                separator: " ")
        }
        func plan(_ arguments: [String], shows words: [String]) async throws {
            let plan = try await sealer(["plan", "--detailed-exitcode"] + arguments)
            #expect(plan.status == 2, "\(plan.output)\(plan.error)")
            for word in words { #expect(plan.output.contains(word), "\(word) is not in \(plan.output)") }
        }
        /// Kills the operator at points of a step, one after the other, each of which must be reached. After `end` the step is done
        /// and noted on the node, if not in the journal: it is not planned again.
        func kill(at step: String, _ points: [String]) async throws {
            for point in points {
                let place = point.contains(" ") ? point : "\(point) \(step)"
                let killed = try await machine.run(
                    [machine.sealer, "apply", "--file", file.string],
                    environment: environment.merging(["SEALER_FAILPOINTS": "\(place)=kill"]) { $1 })
                try #require(killed.status == 137, "\(place) was not reached: \(killed.output)\(killed.error)")
                let steps = try await plannedSteps(machine, ["plan", "--file", file.string], environment)
                #expect(steps.contains(step) == (point != "end"), "\(step) after \(place): \(steps)")
            }
        }
        do {
            // The operator dies before and after each time that a plugin's script runs.
            try write("")
            for phase in ["pre-init-host", "post-init-host", "pre-launch", "post-install"] {
                try await kill(at: "plugin/noted/\(phase)/\(master)", ["begin", "end"])
            }
            let made = try await sealer(["apply", "--file", file.string])
            try #require(made.status == 0, "\(made.error)")
            #expect(
                try await machine.check(["docker", "exec", master, "cat", "/root/plugin"])
                    == String(repeating: "ran\n", count: 4))
            try await expectNothingToDo(machine, name: name, environment: environment)
            #expect(try await podLimits() == ["110", "110"])

            // Another configuration in the Clusterfile.
            try write(Self.changed)
            try await plan(
                ["--file", file.string, "--output", "json"],
                shows: [
                    "upload-configuration", "control-plane/\(master)", "kubelet-configuration/\(master)",
                    "kubelet-configuration/\(worker)",
                ])
            // The operator dies before and after each step, and when a node has the configuration but no note of it yet.
            try await kill(at: "upload-configuration", ["begin", "end"])
            try await kill(at: "control-plane/\(master)", ["begin", "mark \(master)", "end"])
            try await kill(at: "kubelet-configuration/\(master)", ["begin", "mark \(master)", "end"])
            try await kill(at: "kubelet-configuration/\(worker)", ["begin", "mark \(worker)", "end"])
            for node in [master, worker] {
                let left = try await machine.check([
                    "docker", "exec", node, "find", "/etc/sealer", "-name", "*-before.json",
                ])
                #expect(left == "", "left on \(node)")
            }
            let applied = try await sealer(["apply", "--file", file.string])
            #expect(applied.status == 0, "\(applied.error)")
            #expect(try await podLimits() == ["77", "77"])
            let server = try await machine.check([
                "docker", "exec", master, "bash", "-c", "tr '\\0' '\\n' </proc/$(pgrep -x kube-apiserver)/cmdline",
            ])
            #expect(server.split(separator: "\n").contains("--max-requests-inflight=401"), "\(server)")
            let kept = try await kubectl([
                "--namespace=kube-system", "get", "configmap", "kubeadm-config", "--output=jsonpath={.data}",
            ])
            #expect(kept.contains("max-requests-inflight"), "\(kept)")
            try await expectNothingToDo(machine, name: name, environment: environment)

            // Somebody changes files on the nodes.
            try await machine.check([
                "docker", "exec", worker, "bash", "-c",
                "sed -i 's/maxPods: 77/maxPods: 5/' /var/lib/kubelet/config.yaml && systemctl restart kubelet",
            ])
            try await machine.check([
                "docker", "exec", master, "sed", "-i", "/--max-requests-inflight=/d",
                "/etc/kubernetes/manifests/kube-apiserver.yaml",
            ])
            try await plan(["--name", name], shows: ["/var/lib/kubelet/config.yaml", "kube-apiserver.yaml"])
            let mended = try await sealer(["apply", "--name", name])
            #expect(mended.status == 0, "\(mended.error)")
            #expect(try await podLimits() == ["77", "77"])
            try await machine.check([
                "docker", "exec", master, "grep", "--quiet", "max-requests-inflight=401",
                "/etc/kubernetes/manifests/kube-apiserver.yaml",
            ])
            try await expectNothingToDo(machine, name: name, environment: environment)

            // A configuration that kubelet does not run with.
            try write(Self.changed.replacing("maxPods: 77", with: "maxPods: -5"))
            let bad = try await sealer(["apply", "--file", file.string])
            #expect(bad.status != 0)
            #expect(bad.error.contains("brought back, and kubelet runs"), "\(bad.error)")
            _ = try await kubectl(["wait", "--for=condition=Ready", "nodes", "--all", "--timeout=120s"])

            // An argument that the API server does not know: it is not waited for until the limit.
            try write(Self.changed.replacing("max-requests-inflight: \"401\"", with: "no-such-flag: \"1\""))
            let unknown = try await sealer(["apply", "--file", file.string])
            #expect(unknown.status != 0)
            for words in [
                "kube-apiserver does not start with its new configuration: unknown flag: --no-such-flag",
                "brought back, and the API server answers", "ended with:",
            ] {
                #expect(unknown.error.contains(words), "\(words) is not in \(unknown.error)")
            }
            try await machine.check([
                "docker", "exec", master, "grep", "--quiet", "max-requests-inflight=401",
                "/etc/kubernetes/manifests/kube-apiserver.yaml",
            ])

            // What a cluster that is there cannot become.
            try write(pods: "10.245.0.0/16", Self.changed)
            for command in ["plan", "apply"] {
                let refused = try await sealer([command, "--file", file.string])
                #expect(refused.status == 73, "\(command): \(refused.output)\(refused.error)")
                #expect(
                    refused.error.contains(
                        "spec.network.podCIDR was 10.244.0.0/16, 10.245.0.0/16 is wanted"), "\(refused.error)")
            }

            // And back to what was.
            try write(Self.changed)
            let last = try await sealer(["apply", "--file", file.string])
            #expect(last.status == 0, "\(last.error)")
            #expect(try await podLimits() == ["77", "77"])
            try await expectNothingToDo(machine, name: name, environment: environment)
            try await machine.check([machine.sealer, "delete", "--name", name], environment: environment)
        } catch {
            try await machine.run([machine.sealer, "delete", "--name", name], environment: environment)
            throw error
        }
        #expect(try await machine.leftovers(of: name) == [])
    }
}
