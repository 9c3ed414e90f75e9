import FoundationEssentials
import LinuxSystem
import SystemPackage
import TestSupport
import Testing

/// Documents of the kind Plugin, on machines that are reached over SSH.
extension ClusterTests {
    /// A Clusterfile for a master and a worker, with plugins of every type.
    private func clusterfile(_ name: String, master: String, worker: String, key: String) -> String {
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
              dataRoot: /srv/data/sealer
              ssh: {user: \(UserHost.user), pk: \(key)}
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
        try await withCluster("test-plugins", network: "test-plugins", prefix: "10.31.205") { cluster, network in
            let name = cluster.name
            let (hosts, key) = try await addHosts(network, cluster, count: 2)
            let (master, worker) = (hosts[0], hosts[1])
            let before = try await worker.traces()
            try cluster.write(clusterfile(name, master: master.address, worker: worker.address, key: key))
            let apply = ["apply", "--file", cluster.file.string, "--accept-new-host-keys"]

            // The operator dies when one script has run on the worker, and when another one was noted.
            for step in ["a-before/pre-init-host", "after/post-init-host"] {
                let killed = try await cluster.sealer(apply, failpoints: "end plugin/\(step)/\(worker.address)=kill")
                #expect(killed.status == 137, "\(killed.error)")
            }
            try await cluster.check(apply)
            try await cluster.expectNothingToDo()
            #expect(try await master.check("cat /root/plugins") == "before\nafter\n")
            let ran = try await worker.check("cat /root/plugins")
            #expect(ran == "before\nsecond \(worker.address)\nbefore\nafter\n")
            let kept = cluster.root.appending(
                "clusters/\(name)/output/plugin_after_post-init-host_\(worker.address).log")
            #expect(String(decoding: try readFile(kept), as: UTF8.self) == "seen by people\n")

            #expect(
                try await cluster.kubectl(
                    ["get", "configmap", "made-by-plugin", "--output=jsonpath={.data.a}"], on: master.container) == "b")
            func node() async throws -> String {
                let path = "{.metadata.labels.disk} {.metadata.labels.zone} {.spec.taints}"
                return try await cluster.kubectl(
                    ["get", "node", "db-0", "--output=jsonpath=\(path)"], on: master.container)
            }
            let found = try await node()
            #expect(found.hasPrefix("ssd a ") && found.contains("PreferNoSchedule"), "\(found)")

            // Somebody else changes labels, taints and the name of the host.
            try await cluster.kubectl(["label", "node", "db-0", "zone-"], on: master.container)
            try await cluster.kubectl(["taint", "node", "db-0", "dedicated-"], on: master.container)
            try await worker.check("hostname other")
            #expect(
                Set(try await cluster.plannedSteps(["plan", "--name", name])) == [
                    "hostname/\(worker.address)", "plugin/disks/pre-launch/\(worker.address)",
                    "plugin/taints/post-init-host/\(worker.address)",
                ])
            try await cluster.check(["apply", "--name", name])
            #expect(try await node() == found)
            #expect(try await worker.check("hostname") == "db-0\n")
            try await cluster.expectNothingToDo()

            // What an interrupted unpacking leaves.
            try await worker.check("mkdir -p /srv/data/sealer/\(name)/.rootfs.unpacking-1-2/etc.old")
            try await cluster.check(["delete", "--name", name])
            #expect(try await worker.check("hostname") == "\(worker.container)\n")
            try await worker.expectTraces(before)
        }
    }
}
