import FoundationEssentials
import LinuxSystem
import SystemPackage
import TestSupport
import Testing

/// Documents of the kind Plugin, on machines that are reached over SSH.
extension ClusterTests {
    /// A Clusterfile for a master and a worker, with plugins of every type.
    private func clusterfile(_ name: String, master: String, worker: String, key: FilePath) -> String {
        func plugin(_ name: String, _ type: String, _ action: String, _ data: String, scope: String? = nil) -> String {
            let lines = data.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n")
            return """
                ---
                apiVersion: sealer.io/v1
                kind: Plugin
                metadata: {name: \(name)}
                spec:
                  type: \(type)
                  action: \(action)
                \(scope.map { "  scope: \($0)\n" } ?? "")  timeout: 60
                  data: |
                \(lines)

                """
        }
        return """
            apiVersion: sealer.io/v2
            kind: Cluster
            metadata: {name: \(name)}
            spec:
              image: \(Self.example)
              ssh: {user: ops, pk: \(key)}
              hosts:
                - ips: [\(master)]
                  roles: [master]
                - ips: [\(worker)]
                  roles: [node, db]
                  labels: {disk: hdd}

            """
                + plugin("a-before", "SHELL", "pre-init-host|pre-join", "echo before >>/root/plugins")
                + plugin("b-before", "SHELL", "pre-init-host", "echo \"second $HostIP\" >>/root/plugins", scope: "db")
                + plugin("after", "SHELL", "post-init-host", "echo after >>/root/plugins; echo seen by people")
                + plugin("made", "SHELL", "post-install", "kubectl create configmap made-by-plugin --from-literal=a=b")
                + plugin("gone", "SHELL", "post-clean-host", "rm /root/plugins")
                + plugin("disks", "LABEL", "pre-launch", "\(worker) disk=ssd,zone=a")
                + plugin("taints", "TAINT", "post-init-host", "\(worker) dedicated=db:PreferNoSchedule")
                + plugin("names", "HOSTNAME", "pre-init-host", "\(worker) db-0")
    }

    @Test(
        "runs its plugins once, where and when they say, keeps labels, taints and names, and gives names back",
        .timeLimit(.minutes(15)))
    func plugins() async throws {
        let machine = try Machine()
        let scratch = try Scratch()
        let environment = try await buildImages(machine, root: scratch.path.appending("root"))
        let (holder, name) = ("test-plugin-hosts", "test-plugins")
        let key = scratch.path.appending("key")
        func sealer(_ arguments: [String], failpoints: String? = nil) async throws -> Machine.Outcome {
            try await machine.run(
                [machine.sealer] + arguments,
                environment: environment.merging(failpoints.map { ["SEALER_FAILPOINTS": $0] } ?? [:]) { $1 })
        }
        func on(_ container: String, _ command: String) async throws -> String {
            try await machine.check(["docker", "exec", container, "bash", "-c", command])
        }
        do {
            let hosts = try await makeHosts(machine, name: holder, key: key, environment)
            let (master, worker) = (hosts[0].container, hosts[1].container)
            let before = try await traces(machine, worker)
            let file = scratch.path.appending("Clusterfile")
            try AtomicFile.write(
                Array(clusterfile(name, master: hosts[0].address, worker: hosts[1].address, key: key).utf8), to: file)
            let apply = ["apply", "--file", file.string, "--accept-new-host-keys"]

            // The operator dies when one script has run on the worker, and when another one was noted.
            for step in ["a-before/pre-init-host", "after/post-init-host"] {
                let killed = try await sealer(
                    apply, failpoints: "end plugin/\(step)/\(hosts[1].address)=kill")
                #expect(killed.status == 137, "\(killed.error)")
            }
            let made = try await sealer(apply)
            #expect(made.status == 0, "\(made.error)")
            try await expectNothingToDo(machine, name: name, environment: environment)
            #expect(try await on(master, "cat /root/plugins") == "before\nafter\n")
            let ran = try await on(worker, "cat /root/plugins")
            #expect(ran == "before\nsecond \(hosts[1].address)\nbefore\nafter\n")
            let state = FilePath(try #require(environment["SEALER_ROOT"])).appending("clusters").appending(name)
            let kept = state.appending("output").appending("plugin_after_post-init-host_\(hosts[1].address).log")
            #expect(String(decoding: try readFile(kept), as: UTF8.self) == "seen by people\n")

            let kubectl = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
            #expect(try await on(master, "\(kubectl) get configmap made-by-plugin -o 'jsonpath={.data.a}'") == "b")
            let node =
                "\(kubectl) get node db-0 -o 'jsonpath={.metadata.labels.disk} {.metadata.labels.zone} {.spec.taints}'"
            let found = try await on(master, node)
            #expect(found.hasPrefix("ssd a ") && found.contains("PreferNoSchedule"), "\(found)")

            // Somebody else changes labels, taints and the name of the host.
            _ = try await on(master, "\(kubectl) label node db-0 zone- && \(kubectl) taint node db-0 dedicated-")
            _ = try await on(worker, "hostname other")
            let steps = try await plannedSteps(machine, ["plan", "--name", name], environment)
            #expect(
                Set(steps) == [
                    "hostname/\(hosts[1].address)", "plugin/disks/pre-launch/\(hosts[1].address)",
                    "plugin/taints/post-init-host/\(hosts[1].address)",
                ])
            let mended = try await sealer(["apply", "--name", name])
            #expect(mended.status == 0, "\(mended.error)")
            #expect(try await on(master, node) == found)
            #expect(try await on(worker, "hostname") == "db-0\n")
            try await expectNothingToDo(machine, name: name, environment: environment)

            let deleted = try await sealer(["delete", "--name", name])
            #expect(deleted.status == 0, "\(deleted.error)")
            #expect(try await on(worker, "hostname") == "\(worker)\n")
            let after = try await traces(machine, worker)
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
}
