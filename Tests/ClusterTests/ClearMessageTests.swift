import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// One machine of the user's, and the Clusterfile that makes a cluster of it.
private struct Scene {
    let cluster: TestCluster
    let host: UserHost

    /// - Parameter secret: where the password is.
    func writeClusterfile(
        name: String? = nil, key: String? = nil, secret: String = "env:\(UserHost.passwordVariable)"
    ) throws {
        try cluster.write(
            """
            apiVersion: sealer.io/v2
            kind: Cluster
            metadata:
              name: \(name ?? cluster.name)
            spec:
              image: \(ClusterTests.example)
              ssh: {user: \(UserHost.user), passwd: "\(secret)"\(key.map { ", pk: \($0)" } ?? "")}
              hosts:
                - {ips: [\(host.address)], roles: [master]}

            """)
    }

    /// Runs sealer with a Clusterfile that names the machine.
    func sealer(
        _ arguments: [String], password: String? = nil, key: String? = nil, name: String? = nil,
        failpoints: String? = nil, agents: String? = nil
    ) async throws -> Machine.Outcome {
        try writeClusterfile(name: name, key: key)
        return try await cluster.sealer(
            arguments + ["--file", cluster.file.string], failpoints: failpoints, agents: agents, password: password)
    }

    /// What is still to be done, as the plan says.
    func stepsToDo() async throws -> [String] {
        try writeClusterfile()
        return try await cluster.plannedSteps(["plan", "--file", cluster.file.string])
    }

    var hasMark: Bool {
        get async throws { try await host.script("test -e /var/lib/sealer/node.json").status == 0 }
    }
}

/// What may be wrong with a host is one clear message each, nothing is changed there, and the plan tells the truth.
extension ClusterTests {
    /// A command that ended with a message: one, with what the user must know.
    private func expectMessage(
        _ outcome: Machine.Outcome, _ status: Int32, _ words: [String],
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(outcome.status == status, "\(outcome.error)", sourceLocation: sourceLocation)
        for word in words {
            #expect(
                outcome.error.contains(word), "\"\(word)\" is not in: \(outcome.error)", sourceLocation: sourceLocation)
        }
        let messages = outcome.error.split(separator: "\n").filter { $0.hasPrefix("sealer: ") }
        #expect(messages.count == 1, "\(outcome.error)", sourceLocation: sourceLocation)
    }

    /// The command that a message says is next, from its first word on.
    private func command(_ word: String, of outcome: Machine.Outcome) throws -> String {
        let start = try #require(outcome.error.firstRange(of: word)?.lowerBound, "\(outcome.error)")
        return String(outcome.error[start...].prefix { $0 != "\n" && $0 != ";" })
    }

    @Test(
        "a host that is not fit is refused with a clear message and left alone; one that goes silent can be gone on with",
        .timeLimit(.minutes(15)))
    func clearMessages() async throws {
        try await withCluster("test-messages", network: "test-messages", prefix: "10.31.201") { cluster, hosts in
            let scene = Scene(cluster: cluster, host: try await hosts.add("test-messages-host", 11))
            let before = try await scene.host.traces()
            try await checkLogin(scene, before: before)
            let fresh = try await scene.stepsToDo()
            #expect(fresh.contains("init") && fresh.contains("send-image"))
            try await checkSecrets(scene, fresh: fresh)
            try await checkClock(scene, fresh: fresh)
            try await checkFitness(scene, fresh: fresh)
            try await scene.host.expectTraces(before) { !$0.hasPrefix("file /var/lib/sealer") }
            try await checkSilence(scene)
            try await checkChangedKey(scene)
            try await cluster.check(["delete", "--name", cluster.name])
            try await scene.host.expectTraces(before)
        }
    }

    /// Host key, password, sudo: nothing of ours comes to the host at all.
    private func checkLogin(_ scene: Scene, before: Set<String>) async throws {
        let (host, address) = (scene.host, scene.host.address)
        let unknown = try await scene.sealer(["plan"])
        expectMessage(
            unknown, 77,
            [address, "the host's key is not known", "SHA256:", "ssh-keygen -lf", "--accept-new-host-keys"])
        // What the message says to do can be done as it stands there.
        let scan = try command("ssh-keyscan", of: unknown)
        try await scene.cluster.machine.check(["bash", "-euc", scan])
        let known = try await scene.cluster.machine.check([
            "cat", scan.split(separator: " ").last.map(String.init) ?? "",
        ])
        #expect(known.contains(try await host.knownHostsLine()))
        expectMessage(
            try await scene.sealer(["apply"], password: "wrong"), 77,
            [address, "did not accept the password of ops", "look at the password"])
        // By key, so that sudo is the first to ask for the password.
        let key = scene.cluster.folder.appending("key").string
        try await scene.cluster.machine.check(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
        let publicKey = try await scene.cluster.machine.check(["cat", "\(key).pub"]).filter { !$0.isNewline }
        try await host.check("mkdir /home/ops/.ssh; echo '\(publicKey)' >/home/ops/.ssh/authorized_keys")
        expectMessage(
            try await scene.sealer(["apply"], password: "wrong", key: key), 77,
            [address, "sudo on the host did not accept the password of ops", "look at the password"])
        try await host.check("mv /etc/sudoers.d/ops /root/ops")
        expectMessage(
            try await scene.sealer(["apply"]), 77,
            [address, "ops may not use sudo on the host", "ops ALL=(ALL:ALL) ALL", "log in as root"])
        try await host.check("mv /root/ops /etc/sudoers.d/ops; mv /usr/bin/sudo /root/sudo")
        expectMessage(
            try await scene.sealer(["apply"]), 77,
            [address, "ops is not root there, and there is no sudo", "install sudo on the host"])
        try await host.check("mv /root/sudo /usr/bin/sudo")
        #expect(try await host.traces() == before)
    }

    /// The password out of a file, and typed at a terminal, where it does not show.
    private func checkSecrets(_ scene: Scene, fresh: [String]) async throws {
        let cluster = scene.cluster
        let file = cluster.folder.appending("password")
        try cluster.write("\(UserHost.password)\n", to: file)
        try scene.writeClusterfile(secret: "file:\(file)")
        #expect(try await cluster.plannedSteps(["plan", "--file", cluster.file.string]) == fresh)

        try scene.writeClusterfile(secret: "prompt")
        let plan = [cluster.machine.sealer, "plan", "--file", cluster.file.string]
        let blind = try await cluster.sealer(["plan", "--file", cluster.file.string])
        expectMessage(blind, 64, ["there is no terminal to ask for the password of ops", "file:PATH"])
        let typed = try await cluster.machine.run(
            [
                "bash", "-euc",
                """
                cd "$1"; shift
                mkfifo keys
                timeout 120 script --quiet --return --flush --command "$*" shown <keys >/dev/null &
                exec 3>keys
                for attempt in {1..300}; do
                    ! grep --quiet 'password of ops:' shown 2>/dev/null || break
                    sleep 0.1
                done
                # What is typed before the terminal is silent counts for nothing.
                sleep 1
                echo "$PASSWORD" >&3
                wait $!
                """, "type", cluster.folder.string,
            ] + plan, environment: cluster.environment.merging(["PASSWORD": UserHost.password]) { own, _ in own })
        let shown = try await cluster.machine.check(["cat", cluster.folder.appending("shown").string])
        #expect(typed.status == 0, "\(typed.status): \(typed.error)\(shown)")
        #expect(shown.contains("start the control plane"), "\(shown)")
        #expect(!shown.contains(UserHost.password))
    }

    /// A clock that is an hour ahead, or behind: the host's agent tells it so, since nobody can set the clock of a node container
    /// without setting that of the machine.
    private func checkClock(_ scene: Scene, fresh: [String]) async throws {
        let before = try await scene.host.traces()
        for (shift, words) in [(3600, "ahead of"), (-3600, "behind")] {
            for verb in ["plan", "apply"] {
                let refused = try await scene.sealer([verb], agents: "clock=shift:\(shift)")
                expectMessage(
                    refused, 65,
                    [
                        "\(scene.host.address): its clock is", "s \(words) this machine's",
                        "certificates would not be valid",
                        "timedatectl set-ntp true", "mend that, then run the command again",
                    ])
                // The way to the host and the look at it take some of the time.
                let told = refused.error.firstRange(of: "its clock is ").map { refused.error[$0.upperBound...] }
                let seconds = try #require(told.flatMap { Int($0.prefix { $0.isNumber }) }, "\(refused.error)")
                #expect((3500...3700).contains(seconds), "\(refused.error)")
            }
        }
        // The clock is right: nothing was changed meanwhile, and all is to be done as before.
        #expect(try await scene.hasMark == false)
        #expect(try await scene.host.traces() == before)
        #expect(try await scene.stepsToDo() == fresh)
    }

    /// Disk, ports, clusters that are there: the host is looked at, and that is all.
    private func checkFitness(_ scene: Scene, fresh: [String]) async throws {
        let (host, address) = (scene.host, scene.host.address)
        func expectRefusal(
            _ status: Int32, _ words: [String], sourceLocation: SourceLocation = #_sourceLocation
        ) async throws {
            for verb in ["plan", "apply"] {
                expectMessage(
                    try await scene.sealer([verb]), status, [address] + words, sourceLocation: sourceLocation)
            }
        }
        func expectAllToDo(sourceLocation: SourceLocation = #_sourceLocation) async throws {
            #expect(try await scene.hasMark == false, sourceLocation: sourceLocation)
            #expect(try await scene.stepsToDo() == fresh, sourceLocation: sourceLocation)
        }
        // So full that not even the agent finds room, and so full that the image finds none.
        for (size, status, words) in [
            ("10m", Int32(71), ["No space left", "/var/lib/sealer"]),
            ("200m", 65, ["MiB of disk are free", "make room"]),
        ] {
            try await host.check("mount -t tmpfs -o size=\(size) tmpfs /var/lib/sealer")
            try await expectRefusal(status, words)
            #expect(try await scene.hasMark == false)
            if size == "10m" {
                #expect(try await host.check("find /var/lib/sealer -type f") == "", "half a file is left")
            }
            try await host.check("umount /var/lib/sealer")
        }
        try await expectAllToDo()

        try await host.check("systemd-run --quiet --unit taken socat TCP-LISTEN:6443,fork,reuseaddr /dev/null")
        try await waitUntil("the port is taken") {
            try await host.script("exec 3<>/dev/tcp/127.0.0.1/6443").status == 0
        }
        try await expectRefusal(65, ["port 6443 is taken", "ss -ltnp"])
        try await host.check("systemctl stop taken; systemctl reset-failed taken 2>/dev/null || true")
        try await expectAllToDo()

        try await host.check("mkdir -p /etc/kubernetes; touch /etc/kubernetes/kubelet.conf")
        try await expectRefusal(65, ["it is a member of a cluster already", "kubeadm reset"])
        try await host.check("rm -r /etc/kubernetes")
        try await expectAllToDo()

        // What the user has, which the image's scripts would take over and delete.
        try await host.check("mkdir -p /var/lib/etcd/member; touch /var/lib/containerd/mine")
        try await expectRefusal(
            65,
            ["something in /var/lib/containerd, /var/lib/etcd", "move it away", "sealer reset \(address) --user ops"])
        try await host.check("rm -r /var/lib/etcd /var/lib/containerd/mine")
        try await host.check(
            "cp /usr/bin/sleep /tmp/containerd; systemd-run --quiet --unit mine /tmp/containerd infinity")
        try await expectRefusal(65, ["containerd runs there", "take another host"])
        try await host.check("systemctl stop mine; systemctl reset-failed mine 2>/dev/null || true; rm /tmp/containerd")
        try await expectAllToDo()

        // Another cluster of sealer's, which got no further than the first file.
        let other = "test-messages-other"
        let killed = try await scene.sealer(
            ["apply", "--accept-new-host-keys"], name: other, failpoints: "end registry-access/\(address)=kill")
        #expect(killed.status == 137, "\(killed.error)")
        try await expectRefusal(
            73, ["belongs to the cluster \(other) already", "take another host", "sealer reset \(address) --user ops"])
        try await scene.cluster.check(["delete", "--name", other])
        try await expectAllToDo()
    }

    /// A host that says nothing any more while its control plane starts.
    private func checkSilence(_ scene: Scene) async throws {
        let (host, address) = (scene.host, scene.host.address)
        async let applied = scene.sealer(["apply"])
        var isPaused = false
        for _ in 0..<1200 where !isPaused {
            if try await host.script("pgrep -x kubeadm").status == 0 {
                isPaused = try await scene.cluster.machine.run(["docker", "pause", host.container]).status == 0
            } else {
                try await Task.sleep(for: .milliseconds(200))
            }
        }
        #expect(isPaused)
        let outcome = try await applied
        expectMessage(outcome, outcome.status, [address, "start the control plane", "sealer apply --file"])
        #expect(outcome.status != 0, "\(outcome.error)")
        // As long as it is silent, that is what the plan says.
        let silent = try await scene.sealer(["plan"])
        expectMessage(silent, 75, [address, "did not answer in time", "look whether the host runs"])

        try await scene.cluster.machine.check(["docker", "unpause", host.container])
        let left = try await scene.stepsToDo()
        #expect(left.contains("init") && left.contains("launch"), "\(left)")
        #expect(!left.contains("send-image") && !left.contains("unpack/\(address)"), "\(left)")
        let again = try await scene.sealer(["apply"])
        #expect(again.status == 0, "\(again.error)")
        #expect(try await scene.stepsToDo() == [])
    }

    /// A host whose key is another one, of a cluster that runs.
    private func checkChangedKey(_ scene: Scene) async throws {
        try await scene.host.check(
            "rm /etc/ssh/ssh_host_*; ssh-keygen -A >/dev/null; systemctl restart ssh.service")
        let changed = try await scene.sealer(["plan", "--accept-new-host-keys"])
        expectMessage(
            changed, 77, [scene.host.address, "the host's key has changed", "SHA256:", "somebody may be listening in"])
        try await scene.cluster.machine.check(["bash", "-euc", try command("ssh-keygen -R", of: changed)])
        let unknown = try await scene.sealer(["plan"])
        expectMessage(unknown, 77, [scene.host.address, "the host's key is not known"])
        try await scene.cluster.machine.check(["bash", "-euc", try command("ssh-keyscan", of: unknown)])
        #expect(try await scene.stepsToDo() == [])
    }
}
