import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// Machines of the user's, reached as users would: sshd, an ordinary user, sudo, host keys that are checked.
extension ClusterTests {
    /// Hosts with sshd and a user who may use sudo, made out of node containers that are no cluster's yet.
    func makeHosts(_ machine: Machine, name: String, key: FilePath, _ environment: [String: String])
        async throws
        -> [(container: String, address: String)]
    {
        // The provider makes the containers; the kill comes before anything else is done.
        let outcome = try await machine.run(
            [machine.sealer, "run", Self.example, "--name", name, "--node-image", machine.nodeImage, "--nodes", "2"],
            environment: environment.merging(["SEALER_FAILPOINTS": "end provision=kill"]) { $1 })
        try #require(outcome.status == 137, "\(outcome.error)")
        try await machine.check(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key.string])
        let publicKey = try await machine.check(["cat", "\(key).pub"])
        var hosts: [(String, String)] = []
        for container in ["\(name)-master-0", "\(name)-node-0", "\(name)-node-1"] {
            try await machine.check([
                "docker", "exec", container, "bash", "-euc",
                """
                rm -rf /var/lib/sealer/*
                useradd --create-home --shell /bin/bash ops
                echo 'ops ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ops
                install -d -m 700 -o ops -g ops /home/ops/.ssh
                echo '\(publicKey.filter { !$0.isNewline })' >/home/ops/.ssh/authorized_keys
                chown ops:ops /home/ops/.ssh/authorized_keys
                ssh-keygen -A >/dev/null
                systemctl unmask --quiet ssh.service
                systemctl start ssh.service
                """,
            ])
            let address = try await machine.check([
                "docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container,
            ])
            hosts.append((container, address.filter { !$0.isNewline }))
        }
        return hosts
    }

    /// What a host has besides what changes by itself: files, units, mounts, network devices, routes, rules, users.
    func traces(_ machine: Machine, _ container: String) async throws -> Set<String> {
        let text = try await machine.check([
            "docker", "exec", container, "bash", "-c",
            """
            find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/log -o -path /home/ops \
                -o -path /var/lib/systemd \\) -prune -o \\( -type f -o -type l -o -type d \\) -printf 'file %p\\n'
            systemctl list-unit-files --no-legend --plain | awk '{ print "unit", $1, $2 }'
            awk '{ print "mount", $2 }' /proc/self/mounts
            ip -o link show | awk -F': ' '{ sub("@.*", "", $2); print "link", $2 }'
            ip route show | sed 's/^/route /'
            # A built-in chain shows as soon as somebody has looked at its table.
            iptables-save | grep -E '^(-A|:)' | grep -vE '^:[A-Z]+ ACCEPT' | sed 's/ \\[.*//;s/^/rule /'
            cut -d: -f1 /etc/passwd | sed 's/^/user /'
            sha256sum /etc/hosts
            """,
        ])
        return Set(text.split(separator: "\n").map(String.init))
    }

    @Test(
        "is made of machines over SSH by an ordinary user with sudo, and is taken off them without a trace",
        .timeLimit(.minutes(15)))
    func overSSH() async throws {
        let machine = try Machine()
        let scratch = try Scratch()
        let environment = try await buildImages(machine, root: scratch.path.appending("root"))
        let (holder, name) = ("test-hosts", "test-ssh")
        let key = scratch.path.appending("key")
        do {
            let hosts = try await makeHosts(machine, name: holder, key: key, environment)
            let before = try await traces(machine, hosts[1].container)
            let run = [
                machine.sealer, "run", Self.example, "--name", name, "--masters", hosts[0].address, "--nodes",
                hosts[1].address, "--user", "ops", "--pk", key.string,
            ]
            // A host whose key nobody knows is not trusted.
            let unknown = try await machine.run(run, environment: environment)
            #expect(unknown.status == 77, "\(unknown.error)")
            #expect(unknown.error.contains("--accept-new-host-keys"), "\(unknown.error)")
            #expect(try await traces(machine, hosts[1].container) == before)

            let made = try await machine.run(run + ["--accept-new-host-keys"], environment: environment)
            #expect(made.status == 0, "\(made.error)")
            try await expectNothingToDo(machine, name: name, environment: environment)
            let joined = try await machine.run(
                [
                    machine.sealer, "join", "--name", name, "--nodes", hosts[2].address, "--user", "ops", "--pk",
                    key.string,
                    "--accept-new-host-keys",
                ], environment: environment)
            #expect(joined.status == 0, "\(joined.error)")
            let said = try await machine.run(
                [machine.sealer, "exec", "--name", name, "--role", "node", "--", "id", "-un"], environment: environment)
            #expect(said.status == 0 && said.output.split(separator: "\n").count == 2, "\(said.output)\(said.error)")
            try await copyAndBack(machine, name: name, hosts, scratch.path, environment)
            let left = try await machine.run(
                [machine.sealer, "scale-down", "--name", name, "--nodes", hosts[2].address, "--yes"],
                environment: environment)
            #expect(left.status == 0, "\(left.error)")
            try await expectNothingToDo(machine, name: name, environment: environment)
            try await generate(machine, name: name, master: hosts[0], key: key, scratch.path, environment)
            let deleted = try await machine.run([machine.sealer, "delete", "--name", name], environment: environment)
            #expect(deleted.status == 0, "\(deleted.error)")
            let after = try await traces(machine, hosts[1].container)
            #expect(after.subtracting(before) == [], "left behind")
            #expect(before.subtracting(after) == [], "taken along")
            try await machine.check([machine.sealer, "delete", "--name", holder], environment: environment)
        } catch {
            for cluster in [name, holder] {
                try await machine.run([machine.sealer, "delete", "--name", cluster], environment: environment)
            }
            throw error
        }
        #expect(try await machine.leftovers(of: holder) == [])
    }

    /// Files go to all hosts and come back; the same way as commands.
    private func copyAndBack(
        _ machine: Machine, name: String, _ hosts: [(container: String, address: String)], _ folder: FilePath,
        _ environment: [String: String]
    ) async throws {
        let (file, back) = (folder.appending("motd"), folder.appending("back"))
        let text = "said by \(name)\n"
        try Data(text.utf8).write(to: URL(filePath: file.string))
        let sent = try await machine.run(
            [machine.sealer, "cp", "--name", name, file.string, "@all:/root/"], environment: environment)
        #expect(sent.status == 0 && sent.output.split(separator: "\n").count == 3, "\(sent.output)\(sent.error)")
        for host in hosts {
            let there = try await machine.check(["docker", "exec", host.container, "stat", "-c", "%U", "/root/motd"])
            #expect(there == "root\n")
            #expect(try await machine.check(["docker", "exec", host.container, "cat", "/root/motd"]) == text)
        }
        try await machine.check(
            [machine.sealer, "cp", "--name", name, "\(hosts[1].address):/root/motd", back.string],
            environment: environment)
        #expect(try await machine.check(["cat", back.string]) == text)
        // One word is a script; a host on which it fails is named.
        let removed = try await machine.run(
            [
                machine.sealer, "exec", "--name", name, "--",
                "rm /root/motd; hostname; [[ ! -e /etc/kubernetes/admin.conf ]]",
            ], environment: environment)
        #expect(removed.status == 1 && removed.error.contains(hosts[0].address), "\(removed.status) \(removed.error)")
        for host in hosts {
            #expect(removed.output.contains("\(host.address): \(host.container)\n"), "\(removed.output)")
        }
    }

    /// The Clusterfile of a running cluster: with sealer's record in it, it is the whole one; without, what it says is right.
    private func generate(
        _ machine: Machine, name: String, master: (container: String, address: String), key: FilePath,
        _ folder: FilePath, _ environment: [String: String]
    ) async throws {
        func generated(_ file: FilePath) async throws -> String {
            let outcome = try await machine.run(
                [
                    machine.sealer, "gen", "--from", master.address, "--user", "ops", "--pk", key.string, "--name",
                    name, "--output-file", file.string,
                ], environment: environment)
            #expect(outcome.status == 0, "\(outcome.error)")
            return try await machine.check(["cat", file.string])
        }
        let whole = folder.appending("whole")
        #expect(try await generated(whole).contains("image: \(Self.example)"))
        let plan = try await machine.run(
            [machine.sealer, "plan", "--file", whole.string, "--detailed-exitcode"], environment: environment)
        #expect(plan.status == 0 && plan.output.contains("nothing to do"), "\(plan.output)\(plan.error)")

        try await machine.check([
            "docker", "exec", master.container, "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf",
            "--namespace=kube-system", "delete", "configmap", "sealer-cluster",
        ])
        let part = folder.appending("part")
        let text = try await generated(part)
        #expect(text.contains("# Not known: spec.image."), "\(text)")
        try Data(text.replacing("image: \"\"", with: "image: \(Self.example)").utf8).write(
            to: URL(filePath: part.string))
        // What was launched stood in the record alone.
        let steps = try await plannedSteps(machine, ["plan", "--file", part.string], environment)
        #expect(Set(steps).isSubset(of: ["launch", "pods", "record"]) && steps.contains("record"), "\(steps)")
    }
}
