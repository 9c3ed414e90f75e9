import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// A master and a worker, whose Clusterfile has documents of kubeadm's behind it.
private struct Configured {
    let cluster: TestCluster

    var file: String { cluster.file.string }
    var master: String { "\(cluster.name)-master-0" }
    var worker: String { "\(cluster.name)-node-0" }

    static let changed = """
        ---
        apiVersion: kubelet.config.k8s.io/v1beta1
        kind: KubeletConfiguration
        maxPods: 77
        ---
        apiVersion: kubeadm.k8s.io/v1beta2
        kind: ClusterConfiguration
        apiServer:
          extraArgs: {max-requests-inflight: "401"}
        etcd:
          local:
            extraArgs: {heartbeat-interval: "150"}
        """

    static let plugin = """
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

    func write(pods: String = "10.244.0.0/16", _ documents: String) throws {
        try cluster.write(
            """
            apiVersion: sealer.io/v2
            kind: Cluster
            metadata:
              name: \(cluster.name)
            spec:
              image: \(ClusterTests.example)
              provider: container
              masters: {count: 1}
              nodes: {count: 1}
              network: {podCIDR: \(pods)}
              container: {nodeImage: "\(cluster.machine.nodeImage)"}
            \(Self.plugin)
            \(documents)
            """)
    }

    /// How many pods each node takes.
    func podLimits() async throws -> [Substring] {
        try await cluster.kubectl(["get", "nodes", "--output=jsonpath={.items[*].status.capacity.pods}"], on: master)
            .split(separator: " ")
    }

    /// The arguments of a program on the master.
    func arguments(of program: String) async throws -> [Substring] {
        try await cluster.on(master, "tr '\\0' '\\n' </proc/$(pgrep -x \(program))/cmdline").split(separator: "\n")
    }

    /// The manifest of a component has an argument.
    func expectManifest(of component: String, has argument: String) async throws {
        try await cluster.on(master, "grep --quiet -e \(argument) /etc/kubernetes/manifests/\(component).yaml")
    }

    func expectPlan(_ arguments: [String], shows words: [String]) async throws {
        let plan = try await cluster.sealer(["plan", "--detailed-exitcode"] + arguments)
        #expect(plan.status == 2, "\(plan.output)\(plan.error)")
        for word in words { #expect(plan.output.contains(word), "\(word) is not in \(plan.output)") }
    }

    /// Kills the operator at points of a step, one after the other, each of which must be reached. After `end` the step is done
    /// and noted on the node, if not in the journal: it is not planned again.
    func kill(at step: String, _ points: [String]) async throws {
        for point in points {
            let place = point.contains(" ") ? point : "\(point) \(step)"
            let killed = try await cluster.sealer(["apply", "--file", file], failpoints: "\(place)=kill")
            try #require(killed.status == 137, "\(place) was not reached: \(killed.output)\(killed.error)")
            let steps = try await cluster.plannedSteps(["plan", "--file", file])
            #expect(steps.contains(step) == (point != "end"), "\(step) after \(place): \(steps)")
        }
    }

    /// An apply that fails, and says so.
    func expectFailure(_ documents: String, _ words: [String]) async throws {
        try write(documents)
        let outcome = try await cluster.sealer(["apply", "--file", file])
        #expect(outcome.status != 0)
        for word in words { #expect(outcome.error.contains(word), "\(word) is not in \(outcome.error)") }
    }
}

/// What kubeadm, etcd and kubelet are told, told otherwise to a cluster that runs, and changed behind sealer's back. A suite of its
/// own: it waits for control planes that start anew most of the time, and others can have the machine meanwhile.
@Suite("A real cluster's configuration", .serialized, .enabled(if: Machine.lack == nil, "\(Machine.lack ?? "")"))
struct ConfigurationDriftTests: ClusterSuite {
    @Test(
        "takes another configuration of its components, mends a changed one, refuses what cannot be, whenever it is killed",
        .timeLimit(.minutes(20)))
    func configurationDrift() async throws {
        try await withCluster("test-configuration") { cluster in
            let configured = Configured(cluster: cluster)
            try await expectPlugins(configured)
            try await expectTaken(configured)
            try await expectMended(configured)
            try await expectTakenBack(configured)
            try await expectRefused(configured)
            // And back to what was.
            try configured.write(Configured.changed)
            try await cluster.check(["apply", "--file", configured.file])
            #expect(try await configured.podLimits() == ["77", "77"])
            try await cluster.expectNothingToDo()
            try await cluster.check(["delete", "--name", cluster.name])
        }
    }

    /// The operator dies before and after each time that a plugin's script runs.
    private func expectPlugins(_ configured: Configured) async throws {
        let (cluster, master) = (configured.cluster, configured.master)
        try configured.write("")
        for phase in ["pre-init-host", "post-init-host", "pre-launch", "post-install"] {
            try await configured.kill(at: "plugin/noted/\(phase)/\(master)", ["begin", "end"])
        }
        try await cluster.check(["apply", "--file", configured.file])
        #expect(try await cluster.on(master, "cat /root/plugin") == String(repeating: "ran\n", count: 4))
        try await cluster.expectNothingToDo()
        #expect(try await configured.podLimits() == ["110", "110"])
    }

    /// Another configuration in the Clusterfile. The operator dies before and after each step, when the manifests are written,
    /// and when a node has the configuration but no note of it yet.
    private func expectTaken(_ configured: Configured) async throws {
        let (cluster, master, worker) = (configured.cluster, configured.master, configured.worker)
        try configured.write(Configured.changed)
        let (etcd, controlPlane) = ("etcd-configuration/\(master)", "control-plane/\(master)")
        let kubelets = [master, worker].map { "kubelet-configuration/\($0)" }
        try await configured.expectPlan(
            ["--file", configured.file, "--output", "json"],
            shows: ["upload-configuration", etcd, controlPlane] + kubelets)
        try await configured.kill(at: "upload-configuration", ["begin", "end"])
        try await configured.kill(
            at: controlPlane, ["begin", "manifests control-plane \(master)", "mark \(master)", "end"])
        try await configured.kill(at: etcd, ["begin", "manifests etcd \(master)", "mark \(master)", "end"])
        try await configured.kill(at: kubelets[0], ["begin", "mark \(master)", "end"])
        try await configured.kill(at: kubelets[1], ["begin", "mark \(worker)", "end"])
        for node in [master, worker] {
            let left = try await cluster.on(node, "find /etc/sealer -name '*-before.json'")
            #expect(left == "", "left on \(node)")
        }
        try await cluster.check(["apply", "--file", configured.file])
        #expect(try await configured.podLimits() == ["77", "77"])
        #expect(try await configured.arguments(of: "kube-apiserver").contains("--max-requests-inflight=401"))
        #expect(try await configured.arguments(of: "etcd").contains("--heartbeat-interval=150"))
        let kept = try await cluster.kubectl(
            ["--namespace=kube-system", "get", "configmap", "kubeadm-config", "--output=jsonpath={.data}"], on: master)
        #expect(kept.contains("max-requests-inflight") && kept.contains("heartbeat-interval"), "\(kept)")
        try await cluster.expectNothingToDo()
    }

    /// Somebody changes files on the nodes.
    private func expectMended(_ configured: Configured) async throws {
        let cluster = configured.cluster
        try await cluster.on(
            configured.worker,
            "sed -i 's/maxPods: 77/maxPods: 5/' /var/lib/kubelet/config.yaml; systemctl restart kubelet")
        try await cluster.on(
            configured.master,
            """
            cd /etc/kubernetes/manifests
            sed -i /--max-requests-inflight=/d kube-apiserver.yaml
            sed -i s/--heartbeat-interval=150/--heartbeat-interval=151/ etcd.yaml
            """)
        try await configured.expectPlan(
            ["--name", cluster.name], shows: ["/var/lib/kubelet/config.yaml", "kube-apiserver.yaml", "etcd.yaml"])
        try await cluster.check(["apply", "--name", cluster.name])
        #expect(try await configured.podLimits() == ["77", "77"])
        try await configured.expectManifest(of: "kube-apiserver", has: "--max-requests-inflight=401")
        try await configured.expectManifest(of: "etcd", has: "--heartbeat-interval=150")
        try await cluster.expectNothingToDo()
    }

    /// Configurations that a component does not run with: what was there before comes back.
    private func expectTakenBack(_ configured: Configured) async throws {
        let (cluster, master) = (configured.cluster, configured.master)
        try await configured.expectFailure(
            Configured.changed.replacing("maxPods: 77", with: "maxPods: -5"), ["brought back, and kubelet runs"])
        try await waitUntil("kubelet runs again", limit: 120) {
            try await cluster.nodes(through: master) == ["\(master)=True", "\(configured.worker)=True"]
        }

        // An argument that etcd, or the API server, does not know: it is not waited for until the limit.
        try await configured.expectFailure(
            Configured.changed.replacing("heartbeat-interval", with: "no-such-flag"),
            [
                "etcd does not start with its new configuration: flag provided but not defined: -no-such-flag",
                "brought back, and the API server answers",
            ])
        try await configured.expectManifest(of: "etcd", has: "--heartbeat-interval=150")
        let unknown = Configured.changed.replacing("max-requests-inflight", with: "no-such-flag")
        let words = [
            "kube-apiserver does not start with its new configuration: unknown flag: --no-such-flag",
            "brought back, and the API server answers", "ended with:",
        ]
        try await configured.expectFailure(unknown, words)
        try await configured.expectManifest(of: "kube-apiserver", has: "--max-requests-inflight=401")

        // The operator dies when such an argument is written: nobody answers any more. The plan says so, and the next command
        // begins with what was there before.
        let killed = try await cluster.sealer(
            ["apply", "--file", configured.file], failpoints: "manifests control-plane \(master)=kill")
        #expect(killed.status == 137, "\(killed.error)")
        try await waitUntil("the API server has ended") {
            try await cluster.machine.run([
                "docker", "exec", master, "bash", "-c", "! pgrep -f '^kube-apiserver .*--max-requests-inflight='",
            ]).status == 0
        }
        let plan = try await cluster.sealer(["plan", "--file", configured.file])
        #expect(plan.status == 68, "\(plan.output)\(plan.error)")
        for word in ["an interrupted command was changing the control plane of \(master)", "run sealer apply"] {
            #expect(plan.error.contains(word), "\(plan.error)")
        }
        try await configured.expectFailure(unknown, ["gets back what it had before an interrupted change"] + words)
        try await configured.expectManifest(of: "kube-apiserver", has: "--max-requests-inflight=401")
    }

    /// What a cluster that is there cannot become.
    private func expectRefused(_ configured: Configured) async throws {
        try configured.write(pods: "10.245.0.0/16", Configured.changed)
        for command in ["plan", "apply"] {
            let refused = try await configured.cluster.sealer([command, "--file", configured.file])
            #expect(refused.status == 73, "\(command): \(refused.output)\(refused.error)")
            #expect(
                refused.error.contains("spec.network.podCIDR was 10.244.0.0/16, 10.245.0.0/16 is wanted"),
                "\(refused.error)")
        }
    }
}
