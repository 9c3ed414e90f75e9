import ClusterRuntime
import Clusterfile
import FoundationEssentials
import ImageStore
import OCI
import Testing

@testable import ApplyEngine
@testable import Simulation

@Suite("What plugins are due where")
struct PluginRulesTests {
    private static let master = ClusterMember(
        provider: .baremetal, address: IPAddress("10.0.0.2"), index: 0, roles: [HostGroup.master])
    private static let worker = ClusterMember(
        provider: .baremetal, address: IPAddress("10.0.0.3"), index: 0, roles: [HostGroup.node, "db"])

    private func shell(_ name: String, _ phases: [Plugin.Phase], scope: [String] = [], data: String = "true") -> Plugin
    {
        Plugin(name: name, kind: .shell, phases: phases, scope: scope, data: data)
    }

    /// What is due on a master and a worker.
    private func due(
        _ plugins: [Plugin], master: NodeDifference? = nil, worker: NodeDifference? = nil,
        marks: [String: NodeMark] = [:], isInitialised: Bool = true, isFinished: Bool = true, launch: String? = nil,
        status: NodeStatus? = nil, leaving: [LeavingNode] = []
    ) throws -> ClusterDifference {
        var difference = ClusterDifference(
            hosts: [
                master ?? NodeDifference(host: "m", isMaster: true),
                worker ?? NodeDifference(host: "n", isMaster: false),
            ], first: "m", isInitialised: isInitialised, launch: launch, leaving: leaving)
        try PluginRules(plugins).add(
            to: &difference,
            [
                "m": .init(member: Self.master, mark: marks["m"]),
                "n": .init(member: Self.worker, mark: marks["n"], node: status),
                "old": .init(member: Self.worker, mark: marks["old"]),
            ], isFinished: isFinished, launch: ContentDigest.sample)
        return difference
    }

    private func names(_ host: NodeDifference) -> [String] { host.plugins.map { "\($0.name)/\($0.phase.rawValue)" } }

    private func new(_ host: String, isMaster: Bool = false) -> NodeDifference {
        NodeDifference(host: host, isMaster: isMaster, membership: .none)
    }

    @Test("a new cluster: phases of the cluster on the first master, phases of hosts everywhere, scopes followed")
    func newCluster() throws {
        let plugins = [
            shell("a", Plugin.Phase.allCases), shell("b", [.preInitHost], scope: ["db"]),
            shell("c", [.postInstall], scope: ["all"]), shell("d", [.preInitHost], scope: ["10.0.0.2"]),
            shell("e", [.postInitHost], scope: ["master0"]), shell("f", [.preJoin], scope: ["node"]),
        ]
        let found = try due(
            plugins, master: new("m", isMaster: true), worker: new("n"), isInitialised: false, isFinished: false,
            launch: "nothing was launched yet")
        #expect(
            Set(names(found.hosts[0])) == [
                "a/pre-install", "a/pre-init-host", "a/post-init-host", "a/pre-launch", "a/post-install",
                "c/post-install", "d/pre-init-host", "e/post-init-host",
            ])
        #expect(
            Set(names(found.hosts[1])) == [
                "a/pre-init-host", "a/pre-join", "a/post-join", "a/post-init-host", "b/pre-init-host",
                "c/post-install", "f/pre-join",
            ])
        #expect(found.hosts.allSatisfy { $0.settles != nil })
    }

    @Test(
        "a scope of labels: hosts that have them in the Clusterfile, masters by the labels that Kubernetes gives them")
    func labelScopes() {
        var worker = Self.worker
        worker.labels = ["disk": "ssd", "empty": ""]
        func isFor(_ word: String, _ member: ClusterMember) -> Bool {
            PluginRules.isInScope(
                shell("a", [.preInitHost], scope: [word]), at: .preInitHost, member: member, isFirst: false)
        }
        for word in ["disk=ssd", "empty="] {
            #expect(isFor(word, worker))
            #expect(!isFor(word, Self.master))
        }
        for word in ["node-role.kubernetes.io/master=", "node-role.kubernetes.io/control-plane="] {
            #expect(isFor(word, Self.master))
            #expect(!isFor(word, worker))
        }
        for word in ["disk=hdd", "disk=", "gone="] { #expect(!isFor(word, worker)) }
    }

    @Test("a host is added: nothing on those that are there, but what the cluster's phases say")
    func added() throws {
        let found = try due([shell("a", Plugin.Phase.allCases)], worker: new("n"))
        #expect(Set(names(found.hosts[0])) == ["a/pre-scaleup", "a/post-scaleup"])
        #expect(
            Set(names(found.hosts[1])) == ["a/pre-init-host", "a/pre-join", "a/post-join", "a/post-init-host"])
    }

    @Test("a cluster that is as it should be: nothing, also with a plugin that is new")
    func converged() throws {
        let found = try due([shell("a", Plugin.Phase.allCases)])
        #expect(found.hosts.allSatisfy { $0.plugins.isEmpty && $0.settles == nil })
    }

    @Test("what ran is not due again, unless its script or the hosts that come are others")
    func noted() throws {
        let plugin = shell("a", [.preInitHost, .postScaleUp])
        func marks(_ hosts: [String], data: String = "true") throws -> [String: NodeMark] {
            let digest = try PluginRules.digest(of: shell("a", [], data: data))
            var (first, second) = (NodeMark(cluster: "c"), NodeMark(cluster: "c"))
            first.plugins = ["a/post-scaleup": .init(digest: digest, hosts: hosts)]
            second.plugins = ["a/pre-init-host": .init(digest: digest)]
            return ["m": first, "n": second]
        }
        let done = try due([plugin], worker: new("n"), marks: try marks(["n", "x"]))
        #expect(done.hosts.map(names) == [[], []])
        // What was noted must be settled.
        #expect(done.hosts.map { $0.settles != nil } == [false, true])
        // Not before all that come have come.
        #expect(done.hosts.map { $0.forgets != nil } == [true, false])
        let plan = try Planner.plan(cluster: "c", image: ContentDigest.sample, done)
        #expect(plan.steps.first { $0.id == "forget/m" }?.after.contains("settle/n") == true)
        let others = try due([plugin], worker: new("n"), marks: try marks(["x"], data: "false"))
        #expect(others.hosts.map(names) == [["a/post-scaleup"], ["a/pre-init-host"]])
        let onlyHosts = try due([plugin], worker: new("n"), marks: try marks(["x"]))
        #expect(onlyHosts.hosts.map(names) == [["a/post-scaleup"], []])
    }

    @Test("an interrupted command's member still gets what follows its joining")
    func interrupted() throws {
        var mark = NodeMark(cluster: "c")
        mark.isArriving = true
        let found = try due([shell("a", [.preInitHost, .postJoin])], marks: ["n": mark])
        #expect(names(found.hosts[1]) == ["a/post-join"])
        #expect(found.hosts[0].plugins.isEmpty)
        // Also when the plugin is gone meanwhile, the note is taken away.
        #expect(try due([], marks: ["n": mark]).hosts[1].settles != nil)
    }

    @Test("labels and taints are due whenever the node has others, and later plugins count")
    func labels() throws {
        let plugins = [
            Plugin(name: "a", kind: .label, phases: [.postInitHost], data: "10.0.0.3 disk=ssd,zone=a"),
            Plugin(name: "b", kind: .label, phases: [.postInstall], data: "10.0.0.3 zone=b"),
            Plugin(name: "c", kind: .taint, phases: [.postInitHost], data: "10.0.0.3 x=y:NoSchedule,old-"),
            Plugin(name: "d", kind: .label, phases: [.postInstall], scope: ["master"], data: "10.0.0.3 not=here"),
        ]
        let well = NodeStatus(
            name: "n", isReady: true, labels: ["disk": "ssd", "zone": "b"], taints: ["x=y:NoSchedule"])
        #expect(try due(plugins, status: well).hosts[1].plugins == [])
        var other = well
        other.labels["disk"] = "hdd"
        other.taints = ["old=1:NoExecute"]
        let found = try due(plugins, status: other).hosts[1]
        #expect(names(found) == ["a/post-init-host", "c/post-init-host"])
        #expect(
            found.plugins.map(\.reason) == [
                "it lacks disk=ssd", "it lacks x=y:NoSchedule, it has old=1:NoExecute",
            ])
        #expect(found.settles == nil)
        let change = NodeAssignments(try PluginRules(plugins), for: Self.worker).changes.first { $0.plugin.name == "c" }
        #expect(change?.excess(in: other) == ["old=1:NoExecute"])
    }

    @Test("a host that leaves: before and after, but nothing after in a container")
    func leaving() throws {
        let node = LeavingNode(host: "old", node: "old", isMaster: false, isRegistered: true)
        var mark = NodeMark(cluster: "c")
        // On a host that has no rootfs there is nothing to run before.
        let bare = try due([shell("a", [.preCleanHost, .postCleanHost])], marks: ["old": mark], leaving: [node])
        #expect(bare.leaving[0].plugins.map(\.phase) == [.postCleanHost])
        mark.rootfs = ContentDigest.sample
        let found = try due([shell("a", [.preCleanHost, .postCleanHost])], marks: ["old": mark], leaving: [node])
        #expect(found.leaving[0].plugins.map(\.phase) == [.preCleanHost, .postCleanHost])
        let plan = try Planner.plan(cluster: "c", image: ContentDigest.sample, found)
        let ids = plan.steps.map(\.id)
        #expect(
            ids == [
                "plugin/a/pre-clean-host/old", "drain/old", "remove/old", "reset/old", "plugin/a/post-clean-host/old",
            ])
        #expect(plan.steps[1].after == ["plugin/a/pre-clean-host/old"])
        #expect(plan.steps[4].after == ["reset/old"])
    }
}
