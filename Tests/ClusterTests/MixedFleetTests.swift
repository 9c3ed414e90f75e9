import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// Machines of the user's and containers in one cluster, with several masters.
extension ClusterTests {
    /// The Clusterfile: machines by their addresses, and a container.
    private func clusterfile(_ cluster: TestCluster, masters: [UserHost], nodes: [UserHost]) -> String {
        let worker =
            nodes.isEmpty ? "" : "    - {ips: [\(nodes.map(\.address).joined(separator: ", "))], roles: [node]}\n"
        return """
            apiVersion: sealer.io/v2
            kind: Cluster
            metadata:
              name: \(cluster.name)
            spec:
              image: \(Self.example)
              ssh: {user: \(UserHost.user), passwd: env:\(UserHost.passwordVariable)}
              container: {nodeImage: "\(cluster.machine.nodeImage)"}
              hosts:
                - {ips: [\(masters.map(\.address).joined(separator: ", "))], roles: [master]}
            \(worker)    - {provider: container, count: 1, roles: [node]}

            """
    }

    @Test(
        "of machines over SSH and a container it outlives masters, which are replaced, and leaves no trace",
        .timeLimit(.minutes(15)))
    func mixedFleet() async throws {
        // The network of the machines is the one that the cluster's containers join.
        try await withCluster("test-mixed", network: "sealer-test-mixed", prefix: "10.31.202") { cluster, hosts in
            var masters: [UserHost] = []
            for number in 0..<3 { masters.append(try await hosts.add("test-mixed-machine-\(number)", 11 + number)) }
            let worker = try await hosts.add("test-mixed-machine-3", 21)
            var before: [String: Set<String>] = [:]
            for host in masters + [worker] {
                before[host.container] = try await host.traces()
                try await cluster.trust(host)
            }
            try cluster.write(clusterfile(cluster, masters: masters, nodes: [worker]))
            let container = "test-mixed-node-0"
            let apply = ["apply", "--file", cluster.file.string, "--yes"]
            func expectMembers(_ workers: [String], through master: UserHost) async throws {
                try await cluster.expectNothingToDo(of: cluster.file)
                let names = masters.map(\.container) + workers
                #expect(try await cluster.nodes(through: master.container) == names.sorted().map { "\($0)=True" })
                let members = try await cluster.etcdMembers(on: master.container)
                #expect(members.count == 3 && members.allSatisfy { $0.contains("started") }, "\(members)")
            }

            try await cluster.check(["apply", "--file", cluster.file.string])
            try await expectMembers([worker.container, container], through: masters[0])
            for address in (masters + [worker]).map(\.address) + ["10.31.202.102"] {
                try await cluster.expectAnswer(from: address)
            }

            before["test-mixed-heir"] = try await loseFirstMaster(
                cluster, hosts, &masters, workers: [worker.container, container])
            try await expectMembers([worker.container, container], through: masters[1])

            // Power cut: everything stops, and comes back in another order.
            let all = (masters + [worker]).map(\.container) + [container]
            try await cluster.machine.check(["docker", "kill"] + all)
            for host in all.reversed() { try await cluster.machine.check(["docker", "start", host]) }
            try await waitUntil("the plan is empty again", limit: 120) {
                try await cluster.sealer(["plan", "--name", cluster.name, "--detailed-exitcode"]).status == 0
            }
            try await expectMembers([worker.container, container], through: masters[0])

            // Another master is lost for good, a machine at another address takes its place, and one worker leaves.
            try await masters[1].remove()
            masters[1] = try await hosts.add("test-mixed-successor", 14)
            before["test-mixed-successor"] = try await masters[1].traces()
            try await cluster.trust(masters[1])
            try cluster.write(clusterfile(cluster, masters: masters, nodes: []))
            let plan = try await cluster.check(["plan", "--file", cluster.file.string])
            #expect(plan.contains("take test-mixed-machine-1 out of etcd"), "\(plan)")
            // The operator dies in the middle; the next command goes on.
            let killed = try await cluster.sealer(apply, failpoints: "begin join/\(masters[1].address)=kill")
            #expect(killed.status == 137, "\(killed.error)")
            try await cluster.check(apply)
            try await expectMembers([container], through: masters[0])
            try await worker.expectTraces(try #require(before[worker.container]))

            // The worker comes back.
            try await cluster.check(["join", "--name", cluster.name, "--nodes", worker.address])
            #expect(try await cluster.nodes(through: masters[0].container).contains("\(worker.container)=True"))

            try await cluster.check(["delete", "--name", cluster.name])
            for host in masters + [worker] { try await host.expectTraces(try #require(before[host.container])) }
            // The network was there before, and stays.
            try await cluster.machine.check(["docker", "network", "inspect", hosts.network])
        }
    }

    /// The first master dies with its disk, and a new machine takes its place, with a host name of its own.
    ///
    /// - Returns: the traces on the new machine, before it was touched.
    private func loseFirstMaster(
        _ cluster: TestCluster, _ hosts: UserHosts, _ masters: inout [UserHost], workers: [String]
    ) async throws -> Set<String> {
        let apply = ["apply", "--file", cluster.file.string, "--yes"]
        let address = masters[0].address
        try await masters[0].remove()
        for worker in workers {
            try await waitUntil("\(worker) reaches another master") { try await cluster.reachesAPIServer(from: worker) }
            // The registry is reached the same way.
            let registry = try await cluster.machine.run([
                "docker", "exec", worker, "timeout", "5", "bash", "-c", "exec 3<>/dev/tcp/sea.hub/5000",
            ])
            #expect(registry.status == 0, "\(worker) does not reach the registry: \(registry.error)")
        }
        // status tells what it can.
        let status = try await cluster.check(["status", "--file", cluster.file.string])
        #expect(status.contains("does not answer"), "\(status)")
        #expect(status.contains("test-mixed-machine-1"), "\(status)")
        let missing = try await cluster.sealer(apply)
        #expect(missing.status == 68 || missing.status == 75, "\(missing.status): \(missing.error)")
        for word in [address, "look whether the host runs"] {
            #expect(missing.error.contains(word), "\(missing.error)")
        }

        masters[0] = try await hosts.add("test-mixed-heir", 11)
        let traces = try await masters[0].traces()
        // Whoever is at that address now shows another key.
        let changed = try await cluster.sealer(apply)
        #expect(changed.status == 77 && changed.error.contains("the host's key has changed"), "\(changed.error)")
        try await cluster.machine.check(["ssh-keygen", "-R", address, "-f", cluster.knownHosts])
        try await cluster.trust(masters[0])
        let plan = try await cluster.check(["plan", "--file", cluster.file.string])
        #expect(plan.contains("take test-mixed-machine-0 out of etcd"), "\(plan)")
        try await cluster.check(apply)
        return traces
    }
}
