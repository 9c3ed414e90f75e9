import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// Whatever happens to a command in the middle, the next one goes on from there.
extension ClusterTests {
    /// A cluster that is what its Clusterfile says: the plan is empty, by its exit code and by its words.
    func expectNothingToDo(_ machine: Machine, name: String, environment: [String: String]) async throws {
        let plan = try await machine.run(
            [machine.sealer, "plan", "--name", name, "--detailed-exitcode"], environment: environment)
        #expect(plan.status == 0, "\(plan.output)\(plan.error)")
        #expect(plan.output.contains("nothing to do"), "\(plan.output)")
    }

    private struct PlanFile: Decodable {
        struct Step: Decodable {
            var id: String
        }
        var steps: [Step]
    }

    /// The steps of a plan.
    func plannedSteps(_ machine: Machine, _ arguments: [String], _ environment: [String: String]) async throws
        -> [String]
    {
        let output = try await machine.check(
            [machine.sealer] + arguments + ["--output", "json"], environment: environment)
        return try JSONDecoder().decode(PlanFile.self, from: Data(output.utf8)).steps.map(\.id)
    }

    /// All that a plan's steps leave on the nodes' file systems and in their services, but for what changes by itself.
    private func listing(_ machine: Machine, _ nodes: [String]) async throws -> String {
        var text = ""
        for node in nodes {
            text += try await machine.check([
                "docker", "exec", node, "bash", "-c",
                """
                find /etc /usr/local/bin /usr/bin /opt/cni /var/lib/sealer /root -xdev -type f \
                    -printf '%p %s %m %T@ %C@\\n' 2>/dev/null | sort
                systemctl list-units --no-legend --plain --state=active 'sealer*' 'containerd*' 'kubelet*' | awk '{ print $1, $3 }'
                """,
            ])
        }
        return text
    }

    @Test(
        "the operator is killed before, in and after every step: each time the next command goes on from there",
        .timeLimit(.minutes(15)))
    func killedEverywhere() async throws {
        let machine = try Machine()
        let scratch = try Scratch()
        let environment = try await buildImages(machine, root: scratch.path.appending("root"))
        let name = "test-killed"
        let run = [
            "run", Self.example, "--name", name, "--node-image", machine.nodeImage, "--masters", "1", "--nodes", "1",
        ]
        let steps = try await plannedSteps(machine, run + ["--dry-run"], environment)
        #expect(steps.count > 15)
        do {
            var isFirst = true
            for step in steps {
                for point in ["plan", "begin", "end"] {
                    let arguments = isFirst ? run : ["apply", "--name", name]
                    let outcome = try await machine.run(
                        [machine.sealer] + arguments,
                        environment: environment.merging(["SEALER_FAILPOINTS": "\(point) \(step)=kill"]) { $1 })
                    // A step that ended well is not in the next plan, so its later points are not reached.
                    #expect([0, 137].contains(outcome.status), "\(point) \(step): \(outcome.status) \(outcome.error)")
                    isFirst = false
                }
            }
            let last = try await machine.run([machine.sealer, "apply", "--name", name], environment: environment)
            #expect(last.status == 0, "\(last.error)")
            try await expectNothingToDo(machine, name: name, environment: environment)
            let nodes = ["\(name)-master-0", "\(name)-node-0"]
            let before = try await listing(machine, nodes)
            try await machine.check([machine.sealer, "apply", "--name", name], environment: environment)
            #expect(try await listing(machine, nodes) == before, "an apply with nothing to do wrote something")
            // Nothing that the journal calls done was left undone, and each kill shows.
            let history = try await machine.check(
                [machine.sealer, "history", "--name", name], environment: environment)
            #expect(history.contains("killed, or running still"))
            #expect(history.split(separator: "\n").last?.contains("done") == true, "\(history)")
            try await machine.check([machine.sealer, "delete", "--name", name], environment: environment)
        } catch {
            try await machine.run([machine.sealer, "delete", "--name", name], environment: environment)
            throw error
        }
        #expect(try await machine.leftovers(of: name) == [])
    }

    @Test(
        "grows and shrinks, mends what somebody changed by hand, and executes a plan's file or refuses",
        .timeLimit(.minutes(15)))
    func growsAndShrinks() async throws {
        let machine = try Machine()
        let scratch = try Scratch()
        let environment = try await buildImages(machine, root: scratch.path.appending("root"))
        let name = "test-scale"
        func sealer(_ arguments: [String]) async throws -> Machine.Outcome {
            try await machine.run([machine.sealer] + arguments, environment: environment)
        }
        do {
            try await machine.check(
                [
                    machine.sealer, "run", Self.example, "--name", name, "--node-image", machine.nodeImage,
                ], environment: environment)
            let joined = try await sealer(["join", "--name", name, "--nodes", "1"])
            #expect(joined.status == 0, "\(joined.error)")
            try await expectNothingToDo(machine, name: name, environment: environment)

            // Somebody tampers with a node.
            try await machine.check([
                "docker", "exec", "\(name)-node-1", "bash", "-c",
                "rm /etc/containerd/certs.d/_default/hosts.toml; systemctl stop sealer-balancer; echo '# x' >>/etc/containerd/config.toml",
            ])
            let drift = try await sealer(["plan", "--name", name, "--detailed-exitcode"])
            #expect(drift.status == 2)
            for word in [
                "hosts.toml is not there", "sealer-balancer.service does not run", "config.toml is not as the scripts",
            ] {
                #expect(drift.output.contains(word), "\(word) is not in \(drift.output)")
            }
            let plan = try await machine.check(
                [machine.sealer, "plan", "--name", name, "--output", "json"], environment: environment)
            let file = scratch.path.appending("drift.plan")
            try Data(plan.utf8).write(to: URL(filePath: file.string))
            #expect(try await sealer(["apply", "--name", name, "--plan", file.string]).status == 0)
            let stale = try await sealer(["apply", "--name", name, "--plan", file.string])
            #expect(stale.status == 73 && stale.error.contains("not to be done any more"), "\(stale.error)")
            try await expectNothingToDo(machine, name: name, environment: environment)

            // As after a kill in the middle of kubeadm: what is there goes away, and the node joins anew.
            try await machine.check([
                "docker", "exec", "\(name)-node-1", "sed", "-i", "s/complete/begun/", "/var/lib/sealer/node.json",
            ])
            let rejoined = try await sealer(["apply", "--name", name])
            #expect(rejoined.status == 0, "\(rejoined.error)")
            try await expectNothingToDo(machine, name: name, environment: environment)

            let refused = try await sealer(["scale-down", "--name", name, "--nodes", "1"])
            #expect(refused.status == 64 && refused.error.contains("run it again with --yes"), "\(refused.error)")
            let left = try await sealer(["scale-down", "--name", name, "--nodes", "1", "--yes"])
            #expect(left.status == 0, "\(left.error)")
            try await expectNothingToDo(machine, name: name, environment: environment)
            let containers = try await machine.check([
                "docker", "ps", "--all", "--format", "{{.Names}}", "--filter", "label=io.sealer.cluster=\(name)",
            ])
            #expect(containers.split(separator: "\n").sorted() == ["\(name)-master-0", "\(name)-node-0"])
            try await machine.check([machine.sealer, "delete", "--name", name], environment: environment)
        } catch {
            try await machine.run([machine.sealer, "delete", "--name", name], environment: environment)
            throw error
        }
        #expect(try await machine.leftovers(of: name) == [])
    }
}
