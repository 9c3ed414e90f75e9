import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// A cluster of the very machine that sealer runs on.
extension ClusterTests {
    @Test(
        "is made of the machine that sealer runs on, and taken off it with the user's images left alone",
        .timeLimit(.minutes(15)))
    func localProvider() async throws {
        try await withCluster("test-local", network: "test-local", prefix: "10.31.203") { cluster, hosts in
            let (machine, name) = (cluster.machine, cluster.name)
            let archive = cluster.folder.appending("hello.tar").string
            try await cluster.check(["save", "--output", archive, Self.example])
            let host = try await hosts.add("test-local-host", 11)
            try await machine.check(["docker", "cp", machine.sealer, "\(host.container):/root/sealer"])
            try await machine.check(["docker", "cp", archive, "\(host.container):/root/hello.tar"])
            // Its user's own store, at the place where it is when nobody says otherwise.
            try await host.check("/root/sealer load --input /root/hello.tar")
            let before = try await host.traces()

            let run = "/root/sealer run \(Self.example) --provider local --masters \(host.address) --name \(name)"
            try await host.check(run)
            let plan = try await host.script("/root/sealer plan --name \(name) --detailed-exitcode")
            #expect(plan.status == 0 && plan.output.contains("nothing to do"), "\(plan.output)\(plan.error)")
            try await cluster.expectAnswer(from: host.address)
            let said = try await host.check("/root/sealer exec --name \(name) -- hostname")
            #expect(said == "\(host.container)\n")

            try await seeFromElsewhere(cluster, host)

            // The folder of the cluster is lost: nobody knows of it but the host itself.
            try await host.check("rm -rf /var/lib/sealer/clusters/\(name)")
            let reset = try await host.check("/root/sealer reset \(host.address) --local --yes")
            #expect(reset.contains("what the cluster \(name) had brought"), "\(reset)")
            try await host.expectTraces(before) { !$0.contains(" /var/lib/sealer/c") }

            // Once more, and Ctrl-C twice in the middle: the running step ends too. Then once: the command ends between two steps.
            // Each says how to go on, and so it does.
            for (begun, command, interrupts) in [(1, run, 2), (2, "/root/sealer apply --name \(name)", 1)] {
                let interrupted = try await host.script(
                    """
                    set -m
                    \(command) &
                    pid=$!
                    journal=/var/lib/sealer/clusters/\(name)/journal.jsonl
                    for attempt in {1..1200}; do
                        count="$(grep -c '"began".*"step":"init"' $journal 2>/dev/null || true)"
                        [[ $count != \(begun) ]] || break
                        sleep 0.1
                    done
                    for number in {1..\(interrupts)}; do
                        kill -INT $pid
                        sleep 0.3
                    done
                    wait $pid
                    """)
                #expect(interrupted.status == 130, "\(command): \(interrupted.status): \(interrupted.error)")
                #expect(interrupted.error.contains("sealer apply --name \(name)"), "\(interrupted.error)")
                let journal = try await host.check("cat /var/lib/sealer/clusters/\(name)/journal.jsonl")
                let isDone = journal.contains(/"event":"ended".*"step":"init"/)
                #expect(isDone == (interrupts == 1), "\(journal)")
            }
            let history = try await host.check("/root/sealer history --name \(name)")
            #expect(!history.contains("killed"), "\(history)")
            try await host.check("/root/sealer apply --name \(name)")
            let deleted = try await host.script("/root/sealer delete --name \(name)")
            #expect(deleted.status == 0, "\(deleted.error)")
            // The folder of clusters stays, as it does wherever sealer runs.
            try await host.expectTraces(before) { !$0.contains(" /var/lib/sealer/c") }
            let whole = try await host.script("/root/sealer fsck && /root/sealer inspect \(Self.example)")
            #expect(whole.status == 0, "\(whole.output)\(whole.error)")
        }
    }

    /// Another user, or another machine, has the cluster's Clusterfile and nothing else of it.
    private func seeFromElsewhere(_ cluster: TestCluster, _ host: UserHost) async throws {
        let (name, authority) = (cluster.name, "sha256sum /etc/kubernetes/pki/ca.key /etc/kubernetes/pki/etcd/ca.key")
        let before = try await host.check(authority)
        let said = try await host.check(
            """
            export SEALER_ROOT=/root/elsewhere
            /root/sealer load --input /root/hello.tar >/dev/null
            /root/sealer plan --file /var/lib/sealer/clusters/\(name)/Clusterfile
            /root/sealer apply --file /var/lib/sealer/clusters/\(name)/Clusterfile
            KUBECONFIG="$(/root/sealer kubeconfig --name \(name))" kubectl get nodes
            /root/sealer status --name \(name)
            rm -rf /root/elsewhere
            """)
        #expect(said.contains("nothing to do") && said.contains(" Ready "), "\(said)")
        #expect(try await host.check(authority) == before)
    }
}
