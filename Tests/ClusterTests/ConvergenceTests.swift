import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// Whatever happens to a command in the middle, the next one goes on from there.
extension ClusterTests {
    @Test(
        "the operator is killed before, in and after every step: each time the next command goes on from there",
        .timeLimit(.minutes(15)))
    func killedEverywhere() async throws {
        try await withCluster("test-killed") { cluster in
            let name = cluster.name
            let run = cluster.run + ["--masters", "1", "--nodes", "1"]
            let steps = try await cluster.plannedSteps(run + ["--dry-run"])
            #expect(steps.count > 15)
            // One after the other, so that each point is reached: what runs beside others may be done when its turn comes.
            let oneByOne = ["--concurrency", "1"]
            try await killBeforeSteps(cluster, run + oneByOne)
            let arguments = ["apply", "--name", name] + oneByOne
            // What follows is journalled, the last kills of the former too.
            let before = try await cluster.runs()
            var (unneeded, kills): (Set<String>, Int) = ([], 0)
            for step in steps {
                if step != steps[0], try await !cluster.plannedSteps(["plan", "--name", name]).contains(step) {
                    unneeded.insert(step)
                    continue
                }
                for point in Self.points(of: [step]) {
                    let outcome = try await cluster.sealer(arguments, failpoints: "\(point)=kill")
                    #expect(outcome.status == 137, "\(point): \(outcome.status) \(outcome.error)")
                    kills += 1
                }
            }
            // By then the nodes may be Ready.
            #expect(unneeded.isSubset(of: ["ready"]))
            try await cluster.check(["apply", "--name", name])
            try await cluster.expectNothingToDo()
            let nodes = ["\(name)-master-0", "\(name)-node-0"]
            try await cluster.expectNoWrite(on: nodes)
            // Nothing that the journal calls done was left undone, and each kill shows.
            try cluster.expectTruthfulJournal()
            let ends = try await cluster.runs().dropFirst(before.count)
            #expect(ends.count == kills && ends.allSatisfy { $0.contains("killed, or running still") }, "\(ends)")
            try await killAfterSteps(cluster, worker: nodes[1])
            try await killWhileDeleted(cluster)
        }
    }

    /// The operator dies at each point of what comes before the first step, and of making containers.
    private func killBeforeSteps(_ cluster: TestCluster, _ run: [String]) async throws {
        let name = cluster.name
        let (master, network) = ("\(name)-master-0", "sealer-\(name)")
        let own = ["lock", "authorities", "registry identity", "claim members", "claim"].map { "\($0) \(name)" }
        let docker =
            ["make network \(network)", "settle network \(network)"]
            + ["containerd", "etcd", "sealer"].map { "make volume sealer-\(master)-\($0)" }
            + ["make container \(master)"]
        var points = (own + ["journal \(name)"] + docker).flatMap { ["begin \($0)", "end \($0)"] }
        // A container that runs is not made again.
        points.append("begin start container \(master)")
        var arguments = run
        for point in points {
            try await cluster.expectKilled(arguments, at: point)
            // From then on it is known.
            if point == "end claim \(name)" { arguments = ["apply", "--name", name, "--concurrency", "1"] }
        }
    }

    /// The operator dies at each point of taking and giving back the lock, and of what comes after the last step.
    private func killAfterSteps(_ cluster: TestCluster, worker: String) async throws {
        let (name, master) = (cluster.name, "\(cluster.name)-master-0")
        for (place, needsWork) in [
            ("lease \(master)", true), ("journal end \(name)", true), ("return lease \(master)", true),
            ("settle \(name)", false), ("kubeconfig \(name)", false),
        ] {
            for moment in ["begin", "end"] {
                if needsWork { try await cluster.on(worker, "rm -f /etc/containerd/certs.d/_default/hosts.toml") }
                try await cluster.expectKilled(["apply", "--name", name], at: "\(moment) \(place)")
            }
        }
        try await cluster.check(["apply", "--name", name])
        try await cluster.expectNothingToDo()
    }

    /// The operator dies at each point of the end.
    private func killWhileDeleted(_ cluster: TestCluster) async throws {
        let (name, master) = (cluster.name, "\(cluster.name)-master-0")
        let removals =
            ["container \(master)"] + ["containerd", "etcd", "sealer"].map { "volume sealer-\(master)-\($0)" }
            + ["network sealer-\(name)"]
        let points =
            ["delete hosts \(name)", "delete containers \(name)"]
            + (removals.map { "remove \($0)" } + ["delete folder \(name)"]).flatMap { ["begin \($0)", "end \($0)"] }
        for point in points { try await cluster.expectKilled(["delete", "--name", name], at: point) }
        let gone = try await cluster.sealer(["delete", "--name", name])
        #expect(gone.status == 66, "\(gone.status): \(gone.error)")
    }

    @Test(
        "grows and shrinks, mends what somebody changed by hand, and executes a plan's file or refuses",
        .timeLimit(.minutes(15)))
    func growsAndShrinks() async throws {
        try await withCluster("test-scale") { cluster in
            let name = cluster.name
            try await cluster.check(cluster.run)
            try await cluster.check(["join", "--name", name, "--nodes", "1"])
            try await cluster.expectNothingToDo()

            // Somebody tampers with a node.
            try await cluster.on(
                "\(name)-node-1",
                """
                rm /etc/containerd/certs.d/_default/hosts.toml
                systemctl stop sealer-balancer
                echo '# x' >>/etc/containerd/config.toml
                """)
            let drift = try await cluster.sealer(["plan", "--name", name, "--detailed-exitcode"])
            #expect(drift.status == 2)
            for word in [
                "hosts.toml is not there", "sealer-balancer.service does not run", "config.toml is not as the scripts",
            ] {
                #expect(drift.output.contains(word), "\(word) is not in \(drift.output)")
            }
            let file = cluster.folder.appending("drift.plan")
            try cluster.write(try await cluster.check(["plan", "--name", name, "--output", "json"]), to: file)
            try await cluster.check(["apply", "--name", name, "--plan", file.string])
            let stale = try await cluster.sealer(["apply", "--name", name, "--plan", file.string])
            #expect(stale.status == 73 && stale.error.contains("not to be done any more"), "\(stale.error)")
            try await cluster.expectNothingToDo()

            // As after a kill in the middle of kubeadm: what is there goes away, and the node joins anew.
            try await cluster.on("\(name)-node-1", "sed -i s/complete/begun/ /var/lib/sealer/node.json")
            try await cluster.check(["apply", "--name", name])
            try await cluster.expectNothingToDo()

            try await wake(cluster)
            try await shrink(cluster, node: "\(name)-node-1")
            try await cluster.expectNothingToDo()
            let containers = try await cluster.machine.check([
                "docker", "ps", "--all", "--format", "{{.Names}}", "--filter", "label=io.sealer.cluster=\(name)",
            ])
            #expect(containers.split(separator: "\n").sorted() == ["\(name)-master-0", "\(name)-node-0"])
            try await cluster.check(["delete", "--name", name])
        }
    }

    /// This machine was switched off, and all nodes with it; then one of them is paused.
    private func wake(_ cluster: TestCluster) async throws {
        let (name, master) = (cluster.name, "\(cluster.name)-master-0")
        let nodes = [master, "\(name)-node-0", "\(name)-node-1"]
        try await cluster.kubectl(["create", "configmap", "kept", "--from-literal=a=b"], on: master)
        try await cluster.machine.check(["docker", "kill"] + nodes)
        let plan = try await cluster.sealer(["plan", "--name", name])
        #expect(plan.status == 68 && plan.error.contains("'sealer apply' starts it"), "\(plan.status) \(plan.error)")
        try await cluster.check(["apply", "--name", name])
        #expect(try await cluster.nodes(through: master) == nodes.map { "\($0)=True" })
        let kept = try await cluster.kubectl(["get", "configmap", "kept", "--output=jsonpath={.data.a}"], on: master)
        #expect(kept == "b")

        try await cluster.machine.check(["docker", "pause", nodes[1]])
        let steps = try await cluster.plannedSteps(["plan", "--name", name])
        #expect(steps.contains("reach/\(nodes[1])") && !steps.contains("join/\(nodes[1])"), "\(steps)")
        try await cluster.check(["apply", "--name", name])
        try await cluster.expectNothingToDo()
    }

    /// A pod that does not end of itself is waited for as long as its user says; and the operator dies at each point of the way.
    private func shrink(_ cluster: TestCluster, node: String) async throws {
        let (name, master) = (cluster.name, "\(cluster.name)-master-0")
        let pod = """
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "slow"}, "spec": {"nodeName": "\(node)",
             "terminationGracePeriodSeconds": 3600, "containers": [{"name": "slow",
             "image": "docker.io/sealer-examples/hello:1.0",
             "lifecycle": {"preStop": {"exec": {"command": ["/bin/busybox", "sleep", "3600"]}}}}]}}
            """
        try await cluster.on(
            master, "kubectl --kubeconfig /etc/kubernetes/admin.conf apply --filename=- <<<'\(pod)'")
        try await waitUntil("the pod runs") {
            try await cluster.kubectl(["get", "pod", "slow", "--output=jsonpath={.status.phase}"], on: master)
                == "Running"
        }

        let down = ["scale-down", "--name", name, "--nodes", "1"]
        let refused = try await cluster.sealer(down)
        #expect(refused.status == 64 && refused.error.contains("run it again with --yes"), "\(refused.error)")
        let apply = ["apply", "--name", name, "--yes"]
        let short = try await cluster.sealer(down + ["--yes", "--drain-timeout", "5"])
        #expect(short.status != 0 && short.error.contains("--drain-grace-period 0"), "\(short.status) \(short.error)")
        #expect(try await cluster.nodes(through: master).contains("\(node)=True"))
        var arguments = apply + ["--drain-grace-period", "0"]
        for step in ["drain", "remove", "reset"].map({ "\($0)/\(node)" }) {
            for point in Self.points(of: [step]) {
                try await cluster.expectKilled(arguments, at: point)
                // What was drained has no slow pod any more.
                if point.hasPrefix("end drain/") { arguments = apply }
            }
        }
        try await cluster.check(apply)
    }
}

extension TestCluster {
    /// Runs sealer, which is killed at a point: it must come by there.
    func expectKilled(
        _ arguments: [String], at point: String, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let outcome = try await sealer(arguments, failpoints: "\(point)=kill")
        try #require(
            outcome.status == 137, "\(point): \(outcome.status) \(outcome.error)", sourceLocation: sourceLocation)
    }

    /// The lines of the history, a command each.
    func runs() async throws -> [Substring] {
        try await check(["history", "--name", name]).split(separator: "\n").dropFirst().map { $0 }
    }
}
