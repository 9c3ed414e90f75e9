import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// Machines of the user's, reached as users would: sshd, an ordinary user, sudo, host keys that are checked.
extension ClusterTests {
    /// Machines whose user gets in by a key.
    ///
    /// - Returns: the machines, and the file with the key.
    func addHosts(_ hosts: UserHosts, _ cluster: TestCluster, count: Int) async throws -> (
        hosts: [UserHost], key: String
    ) {
        let key = cluster.folder.appending("key").string
        try await cluster.machine.check(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
        let publicKey = try await cluster.machine.check(["cat", "\(key).pub"])
        var added: [UserHost] = []
        for number in 0..<count {
            let host = try await hosts.add("\(cluster.name)-machine-\(number)", 11 + number)
            try await host.admit(publicKey: publicKey)
            added.append(host)
        }
        return (added, key)
    }

    @Test(
        "is made of machines over SSH by an ordinary user with sudo, and is taken off them without a trace",
        .timeLimit(.minutes(15)))
    func overSSH() async throws {
        try await withCluster("test-ssh", network: "test-ssh", prefix: "10.31.204") { cluster, network in
            let name = cluster.name
            let (hosts, key) = try await addHosts(network, cluster, count: 3)
            var before: [Set<String>] = []
            for host in hosts { before.append(try await host.traces()) }
            let run = [
                "run", Self.example, "--name", name, "--masters", hosts[0].address, "--nodes", hosts[1].address,
                "--user", UserHost.user, "--pk", key,
            ]
            // A host whose key nobody knows is not trusted.
            let unknown = try await cluster.sealer(run)
            #expect(unknown.status == 77, "\(unknown.error)")
            #expect(unknown.error.contains("--accept-new-host-keys"), "\(unknown.error)")
            #expect(try await hosts[1].traces() == before[1])

            let accepting = run + ["--accept-new-host-keys"]
            let points = Self.points(of: try await cluster.plannedSteps(accepting + ["--dry-run"]))
            #expect(points.count > 50)
            try await runWhileConnectionsBreak(cluster, hosts, accepting, at: Self.today(points, oneOf: 3))
            try await cluster.expectNothingToDo()
            try await joinWhileOneIsOff(cluster, hosts, key: key)
            let said = try await cluster.check(["exec", "--name", name, "--role", "node", "--", "id", "-un"])
            #expect(said.split(separator: "\n").count == 2, "\(said)")
            try await copyAndBack(cluster, hosts)
            try await shrinkWhileConnectionsBreak(cluster, hosts)
            try await hosts[2].expectTraces(before[2])
            try await generate(cluster, master: hosts[0], key: key)
            // The operator dies at each moment of the end: the next command goes on.
            for point in [
                "delete hosts \(name)", "reset scripts \(hosts[1].address)", "reset services \(hosts[1].address)",
                "reset folders \(hosts[1].address)", "reset mark \(hosts[1].address)", "delete containers \(name)",
                "begin delete folder \(name)", "end delete folder \(name)",
            ] {
                let killed = try await cluster.sealer(["delete", "--name", name], failpoints: "\(point)=kill")
                #expect(killed.status == 137, "\(point): \(killed.error)")
                guard point.hasPrefix("delete hosts") else { continue }
                // The master is taken back by itself, as somebody would who knows of no cluster.
                let reset = [
                    cluster.machine.sealer, "reset", hosts[0].address, "--user", UserHost.user, "--pk", key, "--yes",
                    "--accept-new-host-keys",
                ]
                // The key goes to a file of this machine's user, who shall not notice.
                let said = try await cluster.machine.check(
                    [
                        "unshare", "--mount", "bash", "-euc",
                        #"mkdir -p ~/.ssh; mount -t tmpfs none ~/.ssh; exec timeout 300 "$@""#, "reset",
                    ] + reset, environment: cluster.environment)
                #expect(said.contains("what the cluster \(name) had brought"), "\(said)")
                try await hosts[0].expectTraces(before[0])
            }
            let gone = try await cluster.sealer(["delete", "--name", name])
            #expect(gone.status == 66, "\(gone.status): \(gone.error)")
            for (host, before) in zip(hosts, before) { try await host.expectTraces(before) }
        }
    }

    /// All connections break at each point of a worker's way out, and while all is taken off it.
    private func shrinkWhileConnectionsBreak(_ cluster: TestCluster, _ hosts: [UserHost]) async throws {
        let leaving = hosts[2].address
        let down = ["scale-down", "--name", cluster.name, "--nodes", leaving, "--yes"]
        let steps = try await cluster.plannedSteps(down + ["--dry-run"])
        #expect(steps.contains("reset/\(leaving)"), "\(steps)")
        let points =
            Self.points(of: steps) + ["scripts", "services", "folders", "mark"].map { "reset \($0) \(leaving)" }
        try await runWhileConnectionsBreak(cluster, hosts, down, at: points)
        try await cluster.expectNothingToDo()
    }

    /// All connections break before, in and after steps: those that are needed are made anew, or the next command goes on.
    private func runWhileConnectionsBreak(
        _ cluster: TestCluster, _ hosts: [UserHost], _ run: [String], at points: [String]
    ) async throws {
        var left = points
        var arguments = run
        for attempt in 0... {
            let run = try await cluster.sealer(arguments, holdingAt: left) { _ in
                for host in hosts {
                    _ = try await host.script("pkill --signal KILL --full '^sshd(-session)?: \(UserHost.user)'")
                }
            }
            left.removeAll { run.points.contains($0) }
            for words in ["before sealer came", "was there before", "another than before"] {
                #expect(!run.outcome.error.contains(words), "\(run.outcome.error)")
            }
            if run.outcome.status == 0 { break }
            try #require(attempt < 20, "it does not get on: \(run.outcome.error)")
            arguments = ["apply", "--name", cluster.name, "--yes"]
        }
        #expect(left.allSatisfy { !$0.hasPrefix("plan ") }, "\(left)")
    }

    /// A worker is off while another one joins: it is named, the other is a member, and when it is on again it alone is left.
    private func joinWhileOneIsOff(_ cluster: TestCluster, _ hosts: [UserHost], key: String) async throws {
        let (master, off, newcomer) = (hosts[0].container, hosts[1], hosts[2])
        try await cluster.machine.check(["docker", "stop", "--time", "1", off.container])
        // Its pods are not ready either, by then, and nobody waits for them.
        try await waitUntil("Kubernetes has noticed") {
            let pods = try await cluster.kubectl(
                [
                    "get", "pods", "--all-namespaces", "--field-selector=spec.nodeName=\(off.container)",
                    #"--output=jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}"#,
                ], on: master)
            return pods.contains("False") && !pods.contains("True")
        }
        let join = try await cluster.sealer([
            "join", "--name", cluster.name, "--nodes", newcomer.address, "--user", UserHost.user, "--pk", key,
            "--accept-new-host-keys",
        ])
        #expect([68, 75].contains(join.status), "\(join.status): \(join.error)")
        for words in ["\(off.address): could not get to the host", "sealer apply --name \(cluster.name)"] {
            #expect(join.error.contains(words), "\(join.error)")
        }
        let members = try await cluster.nodes(through: master)
        #expect(members.contains("\(newcomer.container)=True"), "\(members)")
        let steps = try await cluster.plannedSteps(["plan", "--name", cluster.name])
        #expect(steps == ["reach/\(off.address)", "record"], "\(steps)")
        let status = try await cluster.check(["status", "--name", cluster.name])
        #expect(status.contains("does not answer; in Kubernetes: not Ready"), "\(status)")

        try await cluster.machine.check(["docker", "start", off.container])
        try await waitUntil("the worker answers again") { try await off.script("true").status == 0 }
        try await cluster.check(["apply", "--name", cluster.name, "--yes"])
        try await cluster.expectNothingToDo()
    }

    /// Files go to all hosts and come back; the same way as commands.
    private func copyAndBack(_ cluster: TestCluster, _ hosts: [UserHost]) async throws {
        let (file, back) = (cluster.folder.appending("motd"), cluster.folder.appending("back"))
        let text = "said by \(cluster.name)\n"
        try cluster.write(text, to: file)
        let sent = try await cluster.check(["cp", "--name", cluster.name, file.string, "@all:/root/"])
        #expect(sent.split(separator: "\n").count == 3, "\(sent)")
        for host in hosts {
            #expect(try await host.check("stat -c %U /root/motd") == "root\n")
            #expect(try await host.check("cat /root/motd") == text)
        }
        try await cluster.check(["cp", "--name", cluster.name, "\(hosts[1].address):/root/motd", back.string])
        #expect(try await cluster.machine.check(["cat", back.string]) == text)
        // One word is a script; a host on which it fails is named.
        let removed = try await cluster.sealer([
            "exec", "--name", cluster.name, "--", "rm /root/motd; hostname; [[ ! -e /etc/kubernetes/admin.conf ]]",
        ])
        #expect(removed.status == 1 && removed.error.contains(hosts[0].address), "\(removed.status) \(removed.error)")
        for host in hosts {
            #expect(removed.output.contains("\(host.address): \(host.container)\n"), "\(removed.output)")
        }
    }

    /// The Clusterfile of a running cluster: with sealer's record in it, it is the whole one; without, what it says is right.
    private func generate(_ cluster: TestCluster, master: UserHost, key: String) async throws {
        func generated(_ file: FilePath) async throws -> String {
            try await cluster.check([
                "gen", "--from", master.address, "--user", UserHost.user, "--pk", key, "--name", cluster.name,
                "--output-file", file.string,
            ])
            return try await cluster.machine.check(["cat", file.string])
        }
        let whole = cluster.folder.appending("whole")
        #expect(try await generated(whole).contains("image: \(Self.example)"))
        try await cluster.expectNothingToDo(of: whole)

        try await cluster.kubectl(
            ["--namespace=kube-system", "delete", "configmap", "sealer-cluster"], on: master.container)
        let part = cluster.folder.appending("part")
        let text = try await generated(part)
        #expect(text.contains("# Not known: spec.image."), "\(text)")
        try cluster.write(text.replacing("image: \"\"", with: "image: \(Self.example)"), to: part)
        // What was launched stood in the record alone.
        let steps = try await cluster.plannedSteps(["plan", "--file", part.string])
        #expect(Set(steps).isSubset(of: ["launch", "pods", "record"]) && steps.contains("record"), "\(steps)")
    }
}
