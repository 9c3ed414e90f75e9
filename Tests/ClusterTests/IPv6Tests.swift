import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// Clusters whose nodes, pods and services have addresses of IPv6: alone, and beside those of IPv4.
extension ClusterTests {
    @Test("of hosts that have IPv6 alone it answers, converges, and leaves no trace", .timeLimit(.minutes(15)))
    func overIPv6Alone() async throws {
        try await withPair("test-six", pods: "fd00:10:244::/56", services: "fd00:10:96::/112", isDual: false) {
            cluster, hosts in
            for host in hosts { try await cluster.expectAnswer(from: "[\(host.address)]") }
            // etcd listens where sealer asks it.
            let members = try await cluster.etcdMembers(on: hosts[0].container, at: "[::1]")
            #expect(members.contains { $0.contains("https://[\(hosts[0].address)]:2379") }, "\(members)")
        }
    }

    @Test(
        "of two families it answers by both, converges, and leaves no trace", .timeLimit(.minutes(15)))
    func dualStack() async throws {
        try await withPair(
            "test-dual", pods: "10.244.0.0/16,fd00:10:244::/56", services: "10.96.0.0/16,fd00:10:96::/112", isDual: true
        ) { cluster, hosts in
            let master = hosts[0].container
            try await cluster.kubectl(
                ["patch", "service", "hello", "--patch", #"{"spec":{"ipFamilyPolicy":"RequireDualStack"}}"#],
                on: master)
            for host in hosts {
                let number = try #require(host.address.split(separator: ".").last)
                for address in [host.address, "[\(Self.prefix6)::\(number)]"] {
                    try await cluster.expectAnswer(from: address)
                }
            }
        }
    }

    private static let prefix6 = "fd00:206"

    /// The Clusterfile of one master and one worker, machines of the user's.
    private func clusterfile(_ name: String, _ hosts: [UserHost], pods: String, services: String) -> String {
        """
        apiVersion: sealer.io/v2
        kind: Cluster
        metadata:
          name: \(name)
        spec:
          image: \(Self.example)
          ssh: {user: \(UserHost.user), passwd: env:\(UserHost.passwordVariable)}
          network: {podCIDR: "\(pods)", svcCIDR: "\(services)"}
          hosts:
            - {ips: ["\(hosts[0].address)"], roles: [master]}
            - {ips: ["\(hosts[1].address)"], roles: [node]}

        """
    }

    /// Makes the cluster, looks at what both kinds have in common and then at the rest, and takes it away.
    private func withPair(
        _ name: String, pods: String, services: String, isDual: Bool,
        _ body: (TestCluster, [UserHost]) async throws -> Void
    ) async throws {
        try await withCluster(name, network: "sealer-\(name)", prefix: "10.31.206", prefix6: Self.prefix6) {
            cluster, hosts in
            var pair: [UserHost] = []
            var before: [Set<String>] = []
            for number in 0..<2 {
                let (name, last) = ("\(name)-machine-\(number)", 11 + number)
                let host = try await isDual ? hosts.add(name, last) : hosts.addWithoutIPv4(name, last)
                pair.append(host)
                before.append(try await host.traces())
                try await cluster.trust(host)
            }
            try cluster.write(clusterfile(name, pair, pods: pods, services: services))

            try await cluster.check(["apply", "--file", cluster.file.string])
            try await cluster.expectNothingToDo(of: cluster.file)
            try await expectPodsReached(cluster, pair, families: isDual ? 2 : 1)
            // The worker has a way to the master's registry.
            try await cluster.expectRegistry(from: pair[1].container)
            try await body(cluster, pair)

            let deleted = try await cluster.sealer(["delete", "--name", name])
            #expect(deleted.status == 0 && !deleted.error.contains("is there now"), "\(deleted.error)")
            for (host, then) in zip(pair, before) { try await host.expectTraces(then) }
        }
    }

    /// One pod on each host, each reached from both hosts by all its addresses; and the API server's service from each pod.
    private func expectPodsReached(_ cluster: TestCluster, _ hosts: [UserHost], families: Int) async throws {
        let path = #"{range .items[*]}{.metadata.name} {.spec.nodeName}{range .status.podIPs[*]} {.ip}{end}{"\n"}{end}"#
        let lines = try await cluster.kubectl(
            ["get", "pods", "--selector=app=hello", "--output=jsonpath=\(path)"], on: hosts[0].container
        ).split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(Set(lines.map { $0[1] }) == Set(hosts.map(\.container)), "\(lines)")
        for line in lines {
            #expect(line.count == 2 + families, "\(line)")
            for address in line.dropFirst(2) {
                for host in hosts {
                    let reached = try await host.script("timeout 5 bash -c 'exec 3<>/dev/tcp/\(address)/8080'")
                    #expect(reached.status == 0, "\(host.container) does not reach \(address): \(reached.error)")
                }
            }
            try await cluster.kubectl(
                [
                    "exec", line[0], "--", "/bin/busybox", "sh", "-c",
                    "/bin/busybox nc -w 5 \"$KUBERNETES_SERVICE_HOST\" 443 </dev/null",
                ], on: hosts[0].container)
        }
    }
}
