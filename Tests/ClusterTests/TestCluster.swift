import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// The cluster of one test, as its user sees it: the executable, a store with the images, a name and a Clusterfile.
struct TestCluster: Sendable {
    let machine: Machine
    let name: String
    /// A folder of the test's own.
    let folder: FilePath
    /// What sealer's commands find beside what they inherit: the store, and the password of machines of the user's.
    let environment: [String: String]

    /// What sealer keeps.
    var root: FilePath { folder.appending("root") }
    /// The Clusterfile, of tests that write one.
    var file: FilePath { folder.appending("Clusterfile") }

    init(_ machine: Machine, _ name: String, in folder: FilePath) {
        self.machine = machine
        self.name = name
        self.folder = folder
        environment = [
            "SEALER_ROOT": folder.appending("root").string, UserHost.passwordVariable: UserHost.password,
        ]
    }

    /// Writes a file into the folder.
    func write(_ text: String, to file: FilePath? = nil) throws {
        try Data(text.utf8).write(to: URL(filePath: (file ?? self.file).string))
    }

    /// Runs sealer, which must end within a time that is long for everything here.
    ///
    /// - Parameters:
    ///   - failpoints: where sealer itself dies.
    ///   - agents: where its agents do.
    func sealer(_ arguments: [String], failpoints: String? = nil, agents: String? = nil, password: String? = nil)
        async throws -> Machine.Outcome
    {
        var environment = environment
        environment["SEALER_FAILPOINTS"] = failpoints
        environment["SEALER_AGENT_FAILPOINTS"] = agents
        if let password { environment[UserHost.passwordVariable] = password }
        let outcome = try await machine.run(
            ["timeout", "--kill-after=60", "720", machine.sealer] + arguments, environment: environment)
        try #require(outcome.status != 124, "it did not end by itself: \(outcome.error)\(outcome.output)")
        return outcome
    }

    /// Runs sealer, which must succeed.
    ///
    /// - Returns: what it printed.
    @discardableResult
    func check(_ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation) async throws -> String {
        let outcome = try await sealer(arguments)
        try #require(
            outcome.status == 0, "sealer \(arguments.joined(separator: " ")): \(outcome.error)\(outcome.output)",
            sourceLocation: sourceLocation)
        return outcome.output
    }

    /// The arguments that run the example in containers.
    var run: [String] { ["run", ClusterTests.example, "--name", name, "--node-image", machine.nodeImage] }

    /// The hosts' keys that sealer has come to know.
    var knownHosts: String { root.appending("clusters/\(name)/known_hosts").string }

    /// Trusts a host whose key was read on the host itself.
    func trust(_ host: UserHost) async throws {
        try await machine.check([
            "bash", "-euc", "umask 077; mkdir -p \"${1%/*}\"; printf %s \"$2\" >>\"$1\"", "trust", knownHosts,
            try await host.knownHostsLine(),
        ])
    }

    func buildImages() async throws {
        try await check([
            "build", "--tag", ClusterTests.base, "--file", "\(machine.baseContext)/Kubefile", machine.baseContext,
        ])
        try await check(["build", "--tag", ClusterTests.example, machine.repository.appending("examples/hello").string])
    }

    /// The cluster is what its Clusterfile says: the plan is empty, by its exit code and by its words.
    ///
    /// - Parameter file: a Clusterfile that is not the one that sealer keeps.
    func expectNothingToDo(of file: FilePath? = nil, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let source = file.map { ["--file", $0.string] } ?? ["--name", name]
        let plan = try await sealer(["plan", "--detailed-exitcode"] + source)
        #expect(plan.status == 0, "\(plan.output)\(plan.error)", sourceLocation: sourceLocation)
        #expect(plan.output.contains("nothing to do"), "\(plan.output)", sourceLocation: sourceLocation)
    }

    private struct PlanFile: Decodable {
        struct Step: Decodable {
            var id: String
        }
        var steps: [Step]
    }

    /// The steps of the plan that a command prints.
    func plannedSteps(_ arguments: [String]) async throws -> [String] {
        let output = try await check(arguments + ["--output", "json"])
        return try JSONDecoder().decode(PlanFile.self, from: Data(output.utf8)).steps.map(\.id)
    }

    /// Runs a script in a container, as root.
    @discardableResult
    func on(_ container: String, _ script: String) async throws -> String {
        try await machine.check(["docker", "exec", container, "bash", "-euc", script])
    }

    /// Runs kubectl on a master, as its root would.
    @discardableResult
    func kubectl(_ arguments: [String], on master: String) async throws -> String {
        try await machine.check(
            [
                "docker", "exec", master, "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf",
                "--request-timeout=20s",
            ] + arguments)
    }

    /// Of nodes, in kubectl's words: the name and whether it is Ready.
    static let readiness =
        #"{range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}"#

    /// Names of the nodes, each with whether it is Ready.
    func nodes(through master: String) async throws -> [String] {
        try await kubectl(["get", "nodes", "--output=jsonpath=\(Self.readiness)"], on: master)
            .split(separator: "\n").map(String.init).sorted()
    }

    /// The members of etcd, a line each, as a master's own says. kubelet may have started a moment ago and not know the pod yet.
    func etcdMembers(on master: String, at address: String = "127.0.0.1") async throws -> [Substring] {
        let arguments = [
            "docker", "exec", master, "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "--request-timeout=20s",
            "--namespace=kube-system", "exec", "etcd-\(master)", "--", "etcdctl",
            "--cacert=/etc/kubernetes/pki/etcd/ca.crt", "--cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt",
            "--key=/etc/kubernetes/pki/etcd/healthcheck-client.key", "--endpoints=https://\(address):2379", "member",
            "list",
        ]
        for _ in 0..<60 {
            let answer = try await machine.run(arguments)
            if answer.status == 0 { return answer.output.split(separator: "\n") }
            try await Task.sleep(for: .seconds(1))
        }
        return try await machine.check(arguments).split(separator: "\n")
    }

    /// Applies once more what is there already, and expects that nothing is written on any node.
    func expectNoWrite(on nodes: [String], sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let before = try await listing(of: nodes)
        try await check(["apply", "--name", name])
        let written = try await listing(of: nodes).difference(from: before).map { change in
            switch change {
            case .insert(_, let line, _): "+ \(line)"
            case .remove(_, let line, _): "- \(line)"
            }
        }
        let lines = written.joined(separator: "\n")
        #expect(
            written.isEmpty, "an apply with nothing to do wrote something:\n\(lines)", sourceLocation: sourceLocation)
    }

    /// All that a plan's steps leave on the nodes' file systems, in their services and in their kernels, a line each; without
    /// what Kubernetes changes by itself at any time: its pods' mounts and links, kube-proxy's rules, kubectl's cache.
    private func listing(of nodes: [String]) async throws -> [String] {
        var lines: [String] = []
        for node in nodes {
            lines += try await on(
                node,
                """
                find /etc /usr/local/bin /usr/bin /opt/cni /var/lib/sealer /var/lib/kubelet/config.yaml \
                    /var/lib/kubelet/kubeadm-flags.env /root -xdev -type f -printf '%p %s %m %T@ %C@\\n' 2>/dev/null |
                    grep -v '^/root/.kube/cache/' | sort
                systemctl list-units --no-legend --plain --state=active 'sealer*' 'containerd*' 'kubelet*' | awk '{ print $1, $3 }'
                systemctl show --property=ExecMainStartTimestamp sealer-registry sealer-balancer containerd kubelet
                awk '$2 !~ "^(/var/lib/kubelet/pods|/run/containerd|/run/netns)/" { print "mount", $2 }' /proc/self/mounts | sort
                ip -o link show | awk -F': ' '$2 !~ "^(veth|cali|cni0)" { print "link", $2 }'
                iptables-save | grep '^-A' | grep -Ev 'KUBE-|CNI-|cali-|FLANNEL' | sort
                """
            ).split(separator: "\n").map { "\(node): \($0)" }
        }
        return lines
    }

    /// Asks the API server from a worker, as kubelet does: by its name, through the worker's own balancer.
    func reachesAPIServer(from worker: String) async throws -> Bool {
        try await machine.run([
            "docker", "exec", worker, "kubectl", "--kubeconfig", "/etc/kubernetes/kubelet.conf",
            "--request-timeout=5s", "get", "node", worker,
        ]).status == 0
    }

    /// The registry answers on a node by its name, as containerd asks, with the cluster's certificate.
    func expectRegistry(from node: String, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let answer = try await machine.run([
            "docker", "exec", node, "bash", "-c",
            "timeout 20 openssl s_client -connect sea.hub:5000 -brief -verify_return_error "
                + "-verify_hostname sea.hub -CAfile /etc/containerd/certs.d/_default/ca.crt </dev/null",
        ])
        #expect(answer.status == 0, "\(node): \(answer.output)\(answer.error)", sourceLocation: sourceLocation)
    }

    /// The example answers at its NodePort, which opens a moment before its rules are there: the first questions may get no answer.
    func expectAnswer(from address: String, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        var outcome = Machine.Outcome(status: 1, output: "", error: "")
        for _ in 0..<240 {
            outcome = try await machine.run([
                "curl", "--silent", "--fail", "--max-time", "2", "http://\(address):30080/",
            ])
            if outcome.status == 0 { break }
            try await Task.sleep(for: .milliseconds(500))
        }
        #expect(
            outcome.output.contains("hello, this is hello-"), "\(address): \(outcome.output)\(outcome.error)",
            sourceLocation: sourceLocation)
    }
}

/// Tests that make clusters. Those of one suite run one after the other, suites beside each other.
protocol ClusterSuite {}

extension ClusterSuite {
    /// Gives a test its cluster. What an earlier one left goes away first; what it leaves is taken away when it fails, and must be gone when it ends well.
    ///
    /// - Parameter hasImages: whether the images are built into the store first.
    func withCluster(_ name: String, hasImages: Bool = true, _ body: (TestCluster) async throws -> Void) async throws {
        let scratch = try Scratch()
        let cluster = TestCluster(try Machine(), name, in: scratch.path)
        try await cluster.machine.clear(name)
        if hasImages { try await cluster.buildImages() }
        do {
            try await body(cluster)
        } catch {
            // What failed first is what counts.
            do {
                try await cluster.check(["delete", "--name", name])
            } catch let second {
                Issue.record(second, "taking \(name) away")
            }
            throw error
        }
        #expect(try await cluster.machine.leftovers(of: name) == [])
    }

    /// The same, with a network in which the test makes machines of the user's. They are taken away at last.
    func withCluster(
        _ name: String, network: String, prefix: String, prefix6: String? = nil,
        _ body: (TestCluster, UserHosts) async throws -> Void
    ) async throws {
        let machine = try Machine()
        // A network that is in use cannot be made anew.
        try await machine.clear(name)
        let hosts = try await UserHosts.make(machine, network: network, prefix: prefix, prefix6: prefix6)
        do {
            try await withCluster(name) { cluster in try await body(cluster, hosts) }
        } catch {
            try await hosts.remove()
            throw error
        }
        try await hosts.remove()
    }

    /// Waits for something that comes about by itself.
    func waitUntil(_ what: String, limit: Int = 180, _ isTrue: () async throws -> Bool) async throws {
        for _ in 0..<limit {
            if try await isTrue() { return }
            try await Task.sleep(for: .seconds(1))
        }
        Issue.record("waited in vain until \(what)")
    }
}
