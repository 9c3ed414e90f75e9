import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// Several masters, without a load balancer of anybody's.
extension ClusterTests {
    @Test(
        "with three masters it outlives the first one, which is replaced, and a restart of everything",
        .timeLimit(.minutes(20)))
    func highlyAvailable() async throws {
        try await withCluster("test-ha") { cluster in
            let (machine, name) = (cluster.machine, cluster.name)
            let nodes = (0..<3).map { "\(name)-master-\($0)" } + (0..<2).map { "\(name)-node-\($0)" }
            try await cluster.check(cluster.run + ["--masters", "3", "--nodes", "2"])
            try await cluster.expectNothingToDo()

            // The first master dies, with its disk.
            try await machine.check(["docker", "rm", "--force", "--volumes", nodes[0]])
            for volume in ["containerd", "etcd", "sealer"] {
                try await machine.check(["docker", "volume", "rm", "sealer-\(nodes[0])-\(volume)"])
            }
            for node in nodes[3...] {
                try await waitUntil("\(node) reaches another master") {
                    try await cluster.reachesAPIServer(from: node)
                }
            }

            // It is replaced: out of etcd, out of Kubernetes, and in again as a new one.
            try await cluster.check(["apply", "--name", name, "--yes"])
            try await cluster.expectNothingToDo()
            let members = try await cluster.etcdMembers(on: nodes[1])
            #expect(members.filter { $0.contains("started") }.count == 3, "\(members)")

            // Power cut: everything stops, and comes back in any order.
            try await machine.check(["docker", "kill"] + nodes)
            let order = nodes.shuffled()
            print("they come back in this order: \(order.joined(separator: ", "))")
            for node in order { try await machine.check(["docker", "start", node]) }
            try await waitUntil("the plan is empty again", limit: 120) {
                try await cluster.sealer(["plan", "--name", name, "--detailed-exitcode"]).status == 0
            }
            for node in nodes[3...] {
                try await waitUntil("\(node) reaches a master") { try await cluster.reachesAPIServer(from: node) }
            }
            try await cluster.expectNoWrite(on: nodes)
            try await expectNoKeys(cluster, workers: Array(nodes[3...]))
            try await expectOneRegistry(cluster, nodes: nodes)
            try await expectEtcdSettings(cluster, masters: Array(nodes.prefix(3)))
            try await expectOtherScripts(cluster, nodes: nodes)
            try await cluster.check(["delete", "--name", name])
        }
    }

    /// The keys that the cluster's trust hangs on are on its masters alone.
    private func expectNoKeys(_ cluster: TestCluster, workers: [String]) async throws {
        for worker in workers {
            let keys = try await cluster.on(
                worker, "find / -xdev \\( -name ca.key -o -name sa.key -o -name front-proxy-ca.key -o -name tls.key \\)"
            )
            #expect(keys == "", "on \(worker)")
        }
    }

    /// `registry.ha: false`: the first master alone serves, and all the others find it; the same again backwards.
    private func expectOneRegistry(_ cluster: TestCluster, nodes: [String]) async throws {
        let file = cluster.file
        try await cluster.check(["gen", "--name", cluster.name, "--output-file", file.string])
        let text = try await cluster.machine.check(["cat", file.string])
        for isShared in [false, true] {
            try cluster.write(
                text.replacing("spec:\n", with: "spec:\n  registry: {localRegistry: {ha: \(isShared)}}\n"))
            try await cluster.check(["apply", "--file", file.string, "--yes"])
            try await cluster.expectNothingToDo()
            var serving: [String] = []
            for node in nodes {
                let unit = try await cluster.machine.run([
                    "docker", "exec", node, "systemctl", "is-active", "--quiet", "sealer-registry.service",
                ])
                if unit.status == 0 { serving.append(node) }
                try await cluster.expectRegistry(from: node)
            }
            #expect(serving == (isShared ? Array(nodes.prefix(3)) : [nodes[0]]))
        }
    }

    /// etcd of all masters takes other settings, one after the other, and each still knows all members.
    private func expectEtcdSettings(_ cluster: TestCluster, masters: [String]) async throws {
        let text = try await cluster.machine.check(["cat", cluster.file.string])
        try cluster.write(
            text + """
                ---
                apiVersion: kubeadm.k8s.io/v1beta2
                kind: ClusterConfiguration
                etcd: {local: {extraArgs: {heartbeat-interval: "150"}}}

                """)
        try await cluster.check(["apply", "--file", cluster.file.string, "--yes"])
        try await cluster.expectNothingToDo()
        for master in masters {
            let arguments = try await cluster.on(master, "tr '\\0' '\\n' </proc/$(pgrep -x etcd)/cmdline")
                .split(separator: "\n")
            #expect(arguments.contains("--heartbeat-interval=150"), "\(arguments)")
            #expect(arguments.contains("--initial-cluster-state=existing"), "\(arguments)")
            let members = arguments.first { $0.hasPrefix("--initial-cluster=") }
            #expect(masters.allSatisfy { members?.contains("\($0)=https://") == true }, "\(arguments)")
        }
    }

    /// An image of the same version with another install script: the masters run it one at a time, then the workers.
    private func expectOtherScripts(_ cluster: TestCluster, nodes: [String]) async throws {
        let context = cluster.folder.appending("other")
        try FileManager.default.createDirectory(atPath: context.string, withIntermediateDirectories: true)
        let script = "init-kube.sh"
        let former = try await cluster.machine.check(["cat", "\(cluster.machine.baseContext)/scripts/\(script)"])
        try cluster.write(former + "\ndate +%s%N >>/root/runs\n", to: context.appending(script))
        try cluster.write(
            "FROM \(Self.example)\nCOPY \(script) scripts/\(script)\n", to: context.appending("Kubefile"))
        let image = "sealer.io/examples/hello:1.1"
        try await cluster.check(["build", "--tag", image, context.string])

        let text = try await cluster.machine.check(["cat", cluster.file.string])
        try cluster.write(text.replacing(Self.example, with: image))
        try await cluster.check(["apply", "--file", cluster.file.string, "--yes"])
        try await cluster.expectNothingToDo()
        var times: [Int] = []
        for node in nodes {
            let runs = try await cluster.on(node, "cat /root/runs").split(separator: "\n").compactMap { Int($0) }
            #expect(runs.count == 1, "\(node): \(runs)")
            times += runs
        }
        #expect(times == times.sorted(), "\(times)")
        #expect(try await cluster.nodes(through: nodes[0]) == nodes.map { "\($0)=True" })
    }
}
