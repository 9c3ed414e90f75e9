import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// A second master is the most dangerous one: of two members of etcd both must run.
extension ClusterTests {
    @Test(
        "the operator is killed at each moment of a second master's way into etcd: the cluster goes on, and so does the next command",
        .timeLimit(.minutes(12)))
    func killedWhileMasterJoins() async throws {
        let machine = try Machine()
        let scratch = try Scratch()
        let environment = try await buildImages(machine, root: scratch.path.appending("root"))
        let name = "test-second"
        let (first, second) = ("\(name)-master-0", "\(name)-master-1")
        func etcdMembers() async throws -> [Substring] {
            try await machine.check([
                "docker", "exec", first, "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf",
                "--request-timeout=10s", "--namespace=kube-system", "exec", "etcd-\(first)", "--", "etcdctl",
                "--cacert=/etc/kubernetes/pki/etcd/ca.crt",
                "--cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt",
                "--key=/etc/kubernetes/pki/etcd/healthcheck-client.key", "--endpoints=https://127.0.0.1:2379", "member",
                "list",
            ]).split(separator: "\n")
        }
        do {
            var arguments = [
                "run", Self.example, "--name", name, "--node-image", machine.nodeImage, "--masters", "2", "--nodes",
                "0",
            ]
            for (point, members) in [("learner", 2), ("etcd-manifest", 2), ("vote", 2)] {
                let outcome = try await machine.run(
                    [machine.sealer] + arguments,
                    environment: environment.merging(["SEALER_FAILPOINTS": "\(point) \(second)=kill"]) { $1 })
                try #require(outcome.status == 137, "\(point): \(outcome.status) \(outcome.error)")
                // The first master has its quorum, whatever has become of the second.
                #expect(try await etcdMembers().count == members, "\(point)")
                arguments = ["apply", "--name", name, "--yes"]
            }
            try await machine.check([machine.sealer] + arguments, environment: environment)
            try await expectNothingToDo(machine, name: name, environment: environment)
            let members = try await etcdMembers()
            #expect(members.filter { $0.contains("started") && $0.hasSuffix("false") }.count == 2, "\(members)")
            try await machine.check([machine.sealer, "delete", "--name", name], environment: environment)
        } catch {
            try await machine.run([machine.sealer, "delete", "--name", name], environment: environment)
            throw error
        }
        #expect(try await machine.leftovers(of: name) == [])
    }
}
