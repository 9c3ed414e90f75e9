import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// Machines of the user's and containers in one cluster, with several masters.
extension ClusterTests {
    /// The cluster of these tests, as its user sees it.
    private struct Fleet {
        let machine: Machine
        let name: String
        let folder: FilePath
        let environment: [String: String]

        var file: String { folder.appending("Clusterfile").string }
        var knownHosts: String { folder.appending("root/clusters/\(name)/known_hosts").string }

        /// Runs sealer on the Clusterfile.
        func sealer(_ arguments: [String]) async throws -> Machine.Outcome {
            try await machine.run([machine.sealer] + arguments + ["--file", file], environment: environment)
        }

        /// Makes the cluster what its Clusterfile says, with one command.
        func apply(_ arguments: [String] = []) async throws {
            let applied = try await sealer(["apply"] + arguments)
            try #require(applied.status == 0, "\(applied.error)")
        }

        func expectNothingToDo(sourceLocation: SourceLocation = #_sourceLocation) async throws {
            let plan = try await sealer(["plan", "--detailed-exitcode"])
            #expect(plan.status == 0, "\(plan.output)\(plan.error)", sourceLocation: sourceLocation)
            #expect(plan.output.contains("nothing to do"), "\(plan.output)", sourceLocation: sourceLocation)
        }

        /// Trusts a host whose key was read on the host itself.
        func trust(_ host: UserHost) async throws {
            let line = try await host.knownHostsLine()
            try await machine.check([
                "bash", "-euc", "umask 077; mkdir -p \"${1%/*}\"; printf %s \"$2\" >>\"$1\"", "trust", knownHosts, line,
            ])
        }

        func write(masters: [UserHost], nodes: [UserHost], containers: Int) async throws {
            let worker =
                nodes.isEmpty ? "" : "    - {ips: [\(nodes.map(\.address).joined(separator: ", "))], roles: [node]}\n"
            let text = """
                apiVersion: sealer.io/v2
                kind: Cluster
                metadata:
                  name: \(name)
                spec:
                  image: \(ClusterTests.example)
                  ssh: {user: \(UserHost.user), passwd: env:TEST_HOST_PASSWORD}
                  container: {nodeImage: "\(machine.nodeImage)"}
                  hosts:
                    - {ips: [\(masters.map(\.address).joined(separator: ", "))], roles: [master]}
                \(worker)    - {provider: container, count: \(containers), roles: [node]}

                """
            try Data(text.utf8).write(to: URL(filePath: file))
        }
    }

    /// Names of the nodes, each with whether it is Ready.
    private func nodes(_ machine: Machine, through master: UserHost) async throws -> [String] {
        let ready = #"{range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}"#
        return try await machine.check([
            "docker", "exec", master.container, "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf",
            "--request-timeout=20s", "get", "nodes", "--output=jsonpath=\(ready)",
        ]).split(separator: "\n").map(String.init).sorted()
    }

    private func etcdMembers(_ machine: Machine, on master: UserHost) async throws -> [Substring] {
        try await machine.check([
            "docker", "exec", master.container, "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf",
            "--namespace=kube-system", "exec", "etcd-\(master.container)", "--", "etcdctl",
            "--cacert=/etc/kubernetes/pki/etcd/ca.crt", "--cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt",
            "--key=/etc/kubernetes/pki/etcd/healthcheck-client.key", "--endpoints=https://127.0.0.1:2379", "member",
            "list",
        ]).split(separator: "\n").filter { $0.contains("started") }
    }

    @Test(
        "of machines over SSH and a container it outlives its first master, which is replaced, and leaves no trace",
        .timeLimit(.minutes(15)))
    func mixedFleet() async throws {
        let machine = try Machine()
        let scratch = try Scratch()
        var environment = try await buildImages(machine, root: scratch.path.appending("root"))
        environment["TEST_HOST_PASSWORD"] = UserHost.password
        let fleet = Fleet(machine: machine, name: "test-mixed", folder: scratch.path, environment: environment)
        // The network of the machines is the one that the cluster's containers join.
        let hosts = try await UserHosts.make(machine, network: "sealer-test-mixed", prefix: "172.31.202")
        do {
            var masters: [UserHost] = []
            for number in 0..<3 { masters.append(try await hosts.add("test-mixed-machine-\(number)", 11 + number)) }
            let worker = try await hosts.add("test-mixed-machine-3", 21)
            var before: [String: Set<String>] = [:]
            for host in masters + [worker] {
                before[host.container] = try await host.traces()
                try await fleet.trust(host)
            }
            func expectNoTraces(_ host: UserHost, sourceLocation: SourceLocation = #_sourceLocation) async throws {
                let (then, now) = (try #require(before[host.container]), try await host.traces())
                #expect(now.subtracting(then) == [], "left on \(host.container)", sourceLocation: sourceLocation)
                #expect(then.subtracting(now) == [], "taken from \(host.container)", sourceLocation: sourceLocation)
            }
            try await fleet.write(masters: masters, nodes: [worker], containers: 1)
            let container = "test-mixed-node-0"
            let workers = [worker.container, container]

            try await fleet.apply()
            try await fleet.expectNothingToDo()
            func expectNodes(through master: UserHost) async throws {
                let names = (masters + [worker]).map(\.container) + [container]
                #expect(try await nodes(machine, through: master) == names.sorted().map { "\($0)=True" })
            }
            try await expectNodes(through: masters[0])
            for address in (masters + [worker]).map(\.address) + ["172.31.202.102"] {
                #expect(try await answer(machine, from: "http://\(address):30080/").contains("hello, this is hello-"))
            }

            before["test-mixed-heir"] = try await loseFirstMaster(fleet, hosts, &masters, workers)
            try await fleet.expectNothingToDo()
            try await expectNodes(through: masters[1])
            #expect(try await etcdMembers(machine, on: masters[1]).count == 3)

            // One worker leaves: by the Clusterfile.
            try await fleet.write(masters: masters, nodes: [], containers: 1)
            let left = try await fleet.sealer(["apply", "--yes"])
            #expect(left.status == 0, "\(left.error)")
            try await fleet.expectNothingToDo()
            try await expectNoTraces(worker)
            #expect(try await nodes(machine, through: masters[1]).count == 4)

            try await machine.check([machine.sealer, "delete", "--name", fleet.name], environment: environment)
            for host in masters { try await expectNoTraces(host) }
            #expect(try await machine.leftovers(of: fleet.name) == [])
            // The network was there before, and stays.
            try await machine.check(["docker", "network", "inspect", hosts.network])
            try await hosts.remove()
        } catch {
            try await machine.run([machine.sealer, "delete", "--name", fleet.name], environment: environment)
            try await hosts.remove()
            throw error
        }
    }

    /// The first master dies with its disk, and a new machine takes its place, with a host name of its own.
    ///
    /// - Returns: the traces on the new machine, before it was touched.
    private func loseFirstMaster(_ fleet: Fleet, _ hosts: UserHosts, _ masters: inout [UserHost], _ workers: [String])
        async throws -> Set<String>
    {
        let machine = fleet.machine
        let address = masters[0].address
        try await masters[0].remove()
        for worker in workers {
            try await waitUntil("\(worker) reaches another master") { try await askFromWorker(machine, worker) }
            // The registry is reached the same way.
            let registry = try await machine.run([
                "docker", "exec", worker, "timeout", "5", "bash", "-c", "exec 3<>/dev/tcp/sea.hub/5000",
            ])
            #expect(registry.status == 0, "\(worker) does not reach the registry: \(registry.error)")
        }
        let missing = try await fleet.sealer(["apply", "--yes"])
        #expect(missing.status == 68 || missing.status == 75, "\(missing.status): \(missing.error)")
        for word in [address, "look whether the host runs"] {
            #expect(missing.error.contains(word), "\(missing.error)")
        }

        masters[0] = try await hosts.add("test-mixed-heir", 11)
        let traces = try await masters[0].traces()
        // Whoever is at that address now shows another key.
        let changed = try await fleet.sealer(["apply", "--yes"])
        #expect(changed.status == 77 && changed.error.contains("the host's key has changed"), "\(changed.error)")
        try await machine.check(["ssh-keygen", "-R", address, "-f", fleet.knownHosts])
        try await fleet.trust(masters[0])
        let plan = try await fleet.sealer(["plan"])
        #expect(plan.output.contains("take test-mixed-machine-0 out of etcd"), "\(plan.output)")
        try await fleet.apply(["--yes"])
        return traces
    }
}
