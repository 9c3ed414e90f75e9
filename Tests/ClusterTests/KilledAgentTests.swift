import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// Agents die while they answer.
extension ClusterTests {
    /// Where agents note on their nodes that they came to a failpoint.
    private static let reached = "/run/sealer-test-reached"

    /// The failpoints of one command after the other, in the order in which a new cluster comes to them for the first time: what an
    /// agent died of is done by the next command, and some of it never comes again. What was fetched, or settled, is there when the
    /// agent is started anew, so that the same command goes on from `answer fetch` and `answer settle` to what comes next.
    ///
    /// What is not here, and why: `lease-renew` comes every 20 s, so that a run may end before; `lease-look` is asked for by
    /// `status` alone.
    private static let commands: [[String]] = {
        var commands: [[String]] = [
            ["take hello"], ["answer hello"], ["take settle"], ["answer settle", "take facts"],
        ]
        for word in ["facts", "read-file", "inspect", "lease-take", "write-file", "run", "missing", "blob", "name"] {
            commands += [["take \(word)"], ["answer \(word)"]]
        }
        commands += [["take fetch"], ["answer fetch", "take unpack"], ["answer unpack"], ["take delete"]]
        return commands + [["answer delete"], ["take lease-return"], ["answer lease-return"]]
    }()

    /// The failpoints that agents of these nodes came to since the last question.
    ///
    /// - Parameter command: what came before, told when a node cannot be asked.
    private func takeReached(_ cluster: TestCluster, _ nodes: [String], after command: Machine.Outcome) async throws
        -> Set<Substring>
    {
        var found: Set<Substring> = []
        for node in nodes {
            let answer = try await cluster.machine.run([
                "docker", "exec", node, "bash", "-c", "cat \(Self.reached) 2>/dev/null; rm -f \(Self.reached)",
            ])
            try #require(
                answer.status == 0,
                "\(node): \(answer.error) after the command ended with \(command.status): \(command.error)\(command.output)"
            )
            found.formUnion(answer.output.split(separator: "\n"))
        }
        return found
    }

    @Test(
        "an agent that is killed while its command runs is started anew, and what it had begun is ended first",
        .timeLimit(.minutes(15)))
    func killedInCommands() async throws {
        try await withCluster("test-orphans") { cluster in
            let nodes = ["\(cluster.name)-master-0", "\(cluster.name)-node-0"]
            // Each agent comes a little further than the one before it: so many pieces of output, or half seconds without any.
            let points = stride(from: 3, through: 60, by: 3).map { "in run#\($0)" }
            // What runs twice at once is seen by one that looks all the time.
            let watch = """
                [[ ! -e /run/sealer-test-watching ]] || exit 0
                touch /run/sealer-test-watching
                while [[ -e /run/sealer-test-watching ]]; do
                    (($(grep -lx kubeadm /proc/[0-9]*/comm 2>/dev/null | wc -l) < 2)) || echo twice >>/run/sealer-test-twice
                    sleep 0.1
                done
                """
            let started = Task {
                while true {
                    for node in nodes {
                        // It fails as long as the node is not there.
                        _ = try await cluster.machine.run(["docker", "exec", "--detach", node, "bash", "-c", watch])
                    }
                    try await Task.sleep(for: .seconds(2))
                }
            }
            let outcome = try await cluster.sealer(
                cluster.run, agents: points.map { "\($0)=once:\(Self.reached)" }.joined(separator: ","))
            started.cancel()
            let reached = try await takeReached(cluster, nodes, after: outcome)
            // How far agents come until a step has had its three attempts depends on the machine.
            #expect(reached.count > 3, "\(reached.sorted()): \(outcome.error)")
            for node in nodes {
                try await cluster.on(node, "[[ -e /run/sealer-test-watching && ! -e /run/sealer-test-twice ]]")
                try await cluster.on(node, "rm /run/sealer-test-watching")
            }
            // A step that three agents in a row died in ends the command; the next one goes on.
            try await cluster.check(["apply", "--name", cluster.name])
            try await cluster.expectNothingToDo()
            for node in nodes { try await cluster.on(node, "[[ ! -e /run/sealer/commands ]]") }
            try await cluster.check(["delete", "--name", cluster.name])
        }
    }

    @Test(
        "an agent that is killed at each kind of request is started anew, or the next command goes on",
        .timeLimit(.minutes(15)))
    func killedAgents() async throws {
        try await withCluster("test-agents") { cluster in
            let name = cluster.name
            let nodes = ["\(name)-master-0", "\(name)-node-0"]
            var arguments = cluster.run
            for points in Self.commands {
                let isLast = points[0].hasSuffix("lease-return")
                // There is no lock without something to do.
                if isLast { try await cluster.on(nodes[1], "rm -f /etc/containerd/certs.d/_default/hosts.toml") }
                let outcome = try await cluster.sealer(
                    arguments, agents: points.map { "\($0)=kill:\(Self.reached)" }.joined(separator: ","))
                let reached = try await takeReached(cluster, nodes, after: outcome)
                #expect(reached == Set(points.map { $0[...] }), "\(points): \(outcome.error)")
                // The agent dies each time it comes to that request, so the command fails, and says on which host; but for
                // the lock, which is given back when all is done.
                #expect(isLast || outcome.status != 0, "\(points): \(outcome.error)")
                #expect(outcome.status == 0 || outcome.error.contains("\(name)-"), "\(points): \(outcome.error)")
                arguments = ["apply", "--name", name]
            }
            try await cluster.check(["apply", "--name", name])
            try await cluster.expectNothingToDo()
            // A file of the user's that was being changed is whole.
            for node in nodes { try await cluster.on(node, "grep -q '^127.0.0.1.*localhost' /etc/hosts") }
            try await cluster.check(["delete", "--name", name])
        }
    }
}
