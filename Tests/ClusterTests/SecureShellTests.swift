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
            let before = try await hosts[1].traces()
            let run = [
                "run", Self.example, "--name", name, "--masters", hosts[0].address, "--nodes", hosts[1].address,
                "--user", UserHost.user, "--pk", key,
            ]
            // A host whose key nobody knows is not trusted.
            let unknown = try await cluster.sealer(run)
            #expect(unknown.status == 77, "\(unknown.error)")
            #expect(unknown.error.contains("--accept-new-host-keys"), "\(unknown.error)")
            #expect(try await hosts[1].traces() == before)

            try await cluster.check(run + ["--accept-new-host-keys"])
            try await cluster.expectNothingToDo()
            try await cluster.check([
                "join", "--name", name, "--nodes", hosts[2].address, "--user", UserHost.user, "--pk", key,
                "--accept-new-host-keys",
            ])
            let said = try await cluster.check(["exec", "--name", name, "--role", "node", "--", "id", "-un"])
            #expect(said.split(separator: "\n").count == 2, "\(said)")
            try await copyAndBack(cluster, hosts)
            try await cluster.check(["scale-down", "--name", name, "--nodes", hosts[2].address, "--yes"])
            try await cluster.expectNothingToDo()
            try await generate(cluster, master: hosts[0], key: key)
            // The operator dies at each moment of the end: the next command goes on.
            for point in [
                "delete hosts \(name)", "reset scripts \(hosts[1].address)", "reset services \(hosts[1].address)",
                "reset folders \(hosts[1].address)", "reset mark \(hosts[1].address)", "delete containers \(name)",
                "delete folder \(name)",
            ] {
                let killed = try await cluster.sealer(["delete", "--name", name], failpoints: "\(point)=kill")
                #expect(killed.status == 137, "\(point): \(killed.error)")
            }
            try await cluster.check(["delete", "--name", name])
            try await hosts[1].expectTraces(before)
        }
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
