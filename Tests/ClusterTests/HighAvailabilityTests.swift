import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// Several masters, without a load balancer of anybody's.
extension ClusterTests {
    /// Asks the API server from a worker, as kubelet does: by its name, through the worker's own balancer.
    func askFromWorker(_ machine: Machine, _ node: String) async throws -> Bool {
        try await machine.run([
            "docker", "exec", node, "kubectl", "--kubeconfig", "/etc/kubernetes/kubelet.conf", "--request-timeout=5s",
            "get", "node", node,
        ]).status == 0
    }

    /// Waits for something that comes about by itself.
    func waitUntil(_ what: String, limit: Int = 180, _ isTrue: () async throws -> Bool) async throws {
        for _ in 0..<limit {
            if try await isTrue() { return }
            try await Task.sleep(for: .seconds(1))
        }
        Issue.record("waited in vain until \(what)")
    }

    @Test(
        "with three masters it outlives the first one, which is replaced, and a restart of everything",
        .timeLimit(.minutes(15)))
    func highlyAvailable() async throws {
        let machine = try Machine()
        let scratch = try Scratch()
        let environment = try await buildImages(machine, root: scratch.path.appending("root"))
        let name = "test-ha"
        let nodes = (0..<3).map { "\(name)-master-\($0)" } + (0..<2).map { "\(name)-node-\($0)" }
        func sealer(_ arguments: [String]) async throws {
            try await machine.check([machine.sealer] + arguments, environment: environment)
        }
        do {
            try await sealer([
                "run", Self.example, "--name", name, "--node-image", machine.nodeImage, "--masters", "3", "--nodes",
                "2",
            ])
            try await expectNothingToDo(machine, name: name, environment: environment)

            // The first master dies, with its disk.
            try await machine.check(["docker", "rm", "--force", "--volumes", nodes[0]])
            for volume in ["containerd", "etcd", "sealer"] {
                try await machine.check(["docker", "volume", "rm", "sealer-\(nodes[0])-\(volume)"])
            }
            for node in nodes[3...] {
                try await waitUntil("\(node) reaches another master") { try await askFromWorker(machine, node) }
            }

            // It is replaced: out of etcd, out of Kubernetes, and in again as a new one.
            try await sealer(["apply", "--name", name, "--yes"])
            try await expectNothingToDo(machine, name: name, environment: environment)
            let members = try await machine.check([
                "docker", "exec", nodes[1], "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf",
                "--namespace=kube-system",
                "exec", "etcd-\(nodes[1])", "--", "etcdctl", "--cacert=/etc/kubernetes/pki/etcd/ca.crt",
                "--cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt",
                "--key=/etc/kubernetes/pki/etcd/healthcheck-client.key", "--endpoints=https://127.0.0.1:2379", "member",
                "list",
            ])
            #expect(members.split(separator: "\n").filter { $0.contains("started") }.count == 3, "\(members)")

            // Power cut: everything stops, and comes back in another order.
            try await machine.check(["docker", "kill"] + nodes)
            for node in nodes.reversed() { try await machine.check(["docker", "start", node]) }
            try await waitUntil("the plan is empty again", limit: 120) {
                let plan = try await machine.run(
                    [machine.sealer, "plan", "--name", name, "--detailed-exitcode"], environment: environment)
                return plan.status == 0
            }
            for node in nodes[3...] { #expect(try await askFromWorker(machine, node)) }
            try await expectOneRegistry(machine, name: name, nodes: nodes, in: scratch.path, environment: environment)
            try await sealer(["delete", "--name", name])
        } catch {
            try await machine.run([machine.sealer, "delete", "--name", name], environment: environment)
            throw error
        }
        #expect(try await machine.leftovers(of: name) == [])
    }

    /// `registry.ha: false`: the first master alone serves, and all the others find it; the same again backwards.
    private func expectOneRegistry(
        _ machine: Machine, name: String, nodes: [String], in folder: FilePath, environment: [String: String]
    ) async throws {
        let file = folder.appending("Clusterfile")
        try await machine.check(
            [machine.sealer, "gen", "--name", name, "--output-file", file.string], environment: environment)
        let text = try await machine.check(["cat", file.string])
        for isShared in [false, true] {
            try Data(text.replacing("spec:\n", with: "spec:\n  registry: {localRegistry: {ha: \(isShared)}}\n").utf8)
                .write(to: URL(filePath: file.string))
            try await machine.check(
                [machine.sealer, "apply", "--file", file.string, "--yes"], environment: environment)
            try await expectNothingToDo(machine, name: name, environment: environment)
            var serving: [String] = []
            for node in nodes {
                let unit = try await machine.run([
                    "docker", "exec", node, "systemctl", "is-active", "--quiet", "sealer-registry.service",
                ])
                if unit.status == 0 { serving.append(node) }
                // By its name, as containerd asks, with the cluster's certificate.
                let answer = try await machine.run([
                    "docker", "exec", node, "bash", "-c",
                    "timeout 20 openssl s_client -connect sea.hub:5000 -brief -verify_return_error "
                        + "-verify_hostname sea.hub -CAfile /etc/containerd/certs.d/_default/ca.crt </dev/null",
                ])
                #expect(answer.status == 0, "\(node): \(answer.error)")
            }
            #expect(serving == (isShared ? Array(nodes.prefix(3)) : [nodes[0]]))
        }
    }
}
