import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// Clusters whose nodes, pods and services have addresses of IPv6: alone, and beside those of IPv4.
extension ClusterTests {
    /// A cluster of one master and one worker, machines of the user's, as its user sees it.
    private struct Pair {
        let machine: Machine
        let name: String
        let folder: FilePath
        let environment: [String: String]
        let hosts: [UserHost]

        var file: String { folder.appending("Clusterfile").string }

        func sealer(_ arguments: [String]) async throws -> Machine.Outcome {
            try await machine.run([machine.sealer] + arguments + ["--file", file], environment: environment)
        }

        @discardableResult
        func kubectl(_ arguments: [String]) async throws -> String {
            try await machine.check(
                [
                    "docker", "exec", hosts[0].container, "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf",
                    "--request-timeout=20s",
                ] + arguments)
        }

        /// The Clusterfile, and the hosts' keys as they were read on the hosts themselves.
        func write(pods: String, services: String) async throws {
            let text = """
                apiVersion: sealer.io/v2
                kind: Cluster
                metadata:
                  name: \(name)
                spec:
                  image: \(ClusterTests.example)
                  ssh: {user: \(UserHost.user), passwd: env:TEST_HOST_PASSWORD}
                  network: {podCIDR: "\(pods)", svcCIDR: "\(services)"}
                  hosts:
                    - {ips: ["\(hosts[0].address)"], roles: [master]}
                    - {ips: ["\(hosts[1].address)"], roles: [node]}

                """
            try Data(text.utf8).write(to: URL(filePath: file))
            let known = folder.appending("root/clusters/\(name)/known_hosts").string
            for host in hosts {
                try await machine.check([
                    "bash", "-euc", "umask 077; mkdir -p \"${1%/*}\"; printf %s \"$2\" >>\"$1\"", "trust", known,
                    try await host.knownHostsLine(),
                ])
            }
        }
    }

    @Test("of hosts that have IPv6 alone it answers, converges, and leaves no trace", .timeLimit(.minutes(15)))
    func overIPv6Alone() async throws {
        try await withPair("test-six", pods: "fd00:10:244::/56", services: "fd00:10:96::/112", isDual: false) { pair in
            for host in pair.hosts {
                let answer = try await answer(pair.machine, from: "http://[\(host.address)]:30080/")
                #expect(answer.contains("hello, this is hello-"), "\(host.container): \(answer)")
            }
            // etcd listens where sealer asks it.
            let members = try await pair.kubectl([
                "--namespace=kube-system", "exec", "etcd-\(pair.hosts[0].container)", "--", "etcdctl",
                "--cacert=/etc/kubernetes/pki/etcd/ca.crt", "--cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt",
                "--key=/etc/kubernetes/pki/etcd/healthcheck-client.key", "--endpoints=https://[::1]:2379", "member",
                "list",
            ])
            #expect(members.contains("https://[\(pair.hosts[0].address)]:2379"), "\(members)")
        }
    }

    @Test(
        "of two families it answers by both, converges, and leaves no trace", .timeLimit(.minutes(15)))
    func dualStack() async throws {
        try await withPair(
            "test-dual", pods: "10.244.0.0/16,fd00:10:244::/56", services: "10.96.0.0/16,fd00:10:96::/112", isDual: true
        ) { pair in
            try await pair.kubectl([
                "patch", "service", "hello", "--patch", #"{"spec":{"ipFamilyPolicy":"RequireDualStack"}}"#,
            ])
            for host in pair.hosts {
                let number = try #require(host.address.split(separator: ".").last)
                for address in [host.address, "[\(Self.prefix6)::\(number)]"] {
                    let answer = try await answer(pair.machine, from: "http://\(address):30080/")
                    #expect(answer.contains("hello, this is hello-"), "\(address): \(answer)")
                }
            }
        }
    }

    private static let prefix6 = "fd00:206"

    /// Makes the cluster, looks at what both kinds have in common and then at the rest, and takes it away.
    private func withPair(
        _ name: String, pods: String, services: String, isDual: Bool, _ body: (Pair) async throws -> Void
    ) async throws {
        let machine = try Machine()
        let scratch = try Scratch()
        var environment = try await buildImages(machine, root: scratch.path.appending("root"))
        environment["TEST_HOST_PASSWORD"] = UserHost.password
        let hosts = try await UserHosts.make(
            machine, network: "sealer-\(name)", prefix: "172.31.206", prefix6: Self.prefix6)
        do {
            var pair: [UserHost] = []
            for number in 0..<2 {
                let (name, last) = ("\(name)-machine-\(number)", 11 + number)
                pair.append(try await isDual ? hosts.add(name, last) : hosts.addWithoutIPv4(name, last))
            }
            let cluster = Pair(
                machine: machine, name: name, folder: scratch.path, environment: environment, hosts: pair)
            try await cluster.write(pods: pods, services: services)
            var before: [Set<String>] = []
            for host in pair { before.append(try await host.traces()) }

            let made = try await cluster.sealer(["apply"])
            try #require(made.status == 0, "\(made.error)")
            let plan = try await cluster.sealer(["plan", "--detailed-exitcode"])
            #expect(plan.status == 0 && plan.output.contains("nothing to do"), "\(plan.output)\(plan.error)")
            try await expectPodsReached(cluster, families: isDual ? 2 : 1)
            try await expectRegistry(cluster)
            try await body(cluster)

            let deleted = try await machine.run([machine.sealer, "delete", "--name", name], environment: environment)
            #expect(deleted.status == 0 && !deleted.error.contains("is there now"), "\(deleted.error)")
            for (host, then) in zip(pair, before) {
                let now = try await host.traces()
                #expect(now.subtracting(then) == [], "left on \(host.container)")
                #expect(then.subtracting(now) == [], "taken from \(host.container)")
            }
            try await hosts.remove()
        } catch {
            try await machine.run([machine.sealer, "delete", "--name", name], environment: environment)
            try await hosts.remove()
            throw error
        }
    }

    /// One pod on each host, each reached from both hosts by all its addresses; and the API server's service from each pod.
    private func expectPodsReached(_ cluster: Pair, families: Int) async throws {
        let path = #"{range .items[*]}{.metadata.name} {.spec.nodeName}{range .status.podIPs[*]} {.ip}{end}{"\n"}{end}"#
        let lines = try await cluster.kubectl(["get", "pods", "--selector=app=hello", "--output=jsonpath=\(path)"])
            .split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(Set(lines.map { $0[1] }) == Set(cluster.hosts.map(\.container)), "\(lines)")
        for line in lines {
            #expect(line.count == 2 + families, "\(line)")
            for address in line.dropFirst(2) {
                for host in cluster.hosts {
                    let reached = try await host.script("timeout 5 bash -c 'exec 3<>/dev/tcp/\(address)/8080'")
                    #expect(reached.status == 0, "\(host.container) does not reach \(address): \(reached.error)")
                }
            }
            try await cluster.kubectl([
                "exec", line[0], "--", "/bin/busybox", "sh", "-c",
                "/bin/busybox nc -w 5 \"$KUBERNETES_SERVICE_HOST\" 443 </dev/null",
            ])
        }
    }

    /// The worker has a way to the master's registry, by its name and under its certificate.
    private func expectRegistry(_ cluster: Pair) async throws {
        let asked = try await cluster.hosts[1].script(
            """
            timeout 20 openssl s_client -connect sea.hub:5000 -brief -verify_return_error -verify_hostname sea.hub \
                -CAfile /etc/containerd/certs.d/_default/ca.crt </dev/null
            """)
        #expect(asked.status == 0, "\(asked.status): \(asked.output)\(asked.error)")
    }
}
