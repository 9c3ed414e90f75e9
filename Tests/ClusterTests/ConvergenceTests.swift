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
            var arguments = run + oneByOne
            var (unneeded, kills): (Set<String>, Int) = ([], 0)
            for step in steps {
                if step != steps[0], try await !cluster.plannedSteps(["plan", "--name", name]).contains(step) {
                    unneeded.insert(step)
                    continue
                }
                for point in Self.points(of: [step]) {
                    let outcome = try await cluster.sealer(arguments, failpoints: "\(point)=kill")
                    #expect(outcome.status == 137, "\(point): \(outcome.status) \(outcome.error)")
                    arguments = ["apply", "--name", name] + oneByOne
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
            let history = try await cluster.check(["history", "--name", name])
            let ends = history.split(separator: "\n").dropFirst().map { $0.contains("killed, or running still") }
            #expect(ends == Array(repeating: true, count: kills), "\(history)")
            try await cluster.check(["delete", "--name", name])
        }
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

            let refused = try await cluster.sealer(["scale-down", "--name", name, "--nodes", "1"])
            #expect(refused.status == 64 && refused.error.contains("run it again with --yes"), "\(refused.error)")
            try await cluster.check(["scale-down", "--name", name, "--nodes", "1", "--yes"])
            try await cluster.expectNothingToDo()
            let containers = try await cluster.machine.check([
                "docker", "ps", "--all", "--format", "{{.Names}}", "--filter", "label=io.sealer.cluster=\(name)",
            ])
            #expect(containers.split(separator: "\n").sorted() == ["\(name)-master-0", "\(name)-node-0"])
            try await cluster.check(["delete", "--name", name])
        }
    }
}
