import Clusterfile
import FoundationEssentials
import ImageStore
import Remote
import Report
import SystemPackage
import TestSupport
import Testing

@testable import ApplyEngine
@testable import ClusterRuntime
@testable import Simulation

/// A running cluster is what it is: others than the machine that made it leave its trust alone, and what it cannot become is refused.
@Suite("A cluster that runs")
struct EngineTakeoverTests {
    @Test("is taken over by a machine that never saw it: the same authorities, nothing to do, a kubeconfig")
    func elsewhere() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(
            scratch.path.appending("one"), masters: ["10.0.0.2", "10.0.0.3", "10.0.0.4"])
        let other = site.seenFromElsewhere(scratch.path.appending("two"))
        // A mere plan keeps nothing.
        #expect(try await other.engine.plan(try other.draft.cluster()).isEmpty)
        #expect(!other.folder.hasAnything)
        #expect(try await other.apply().isEmpty)
        for path in ClusterAuthorities.paths.map({ "pki/kubernetes/\($0)" }) + [
            "pki/registry-ca.crt", "pki/registry.key",
        ] {
            #expect(try other.folder.readSecret(path) == site.folder.readSecret(path), "\(path)")
        }
        #expect(try other.folder.readSecret("pki/registry-ca.key") == nil)
        #expect(try other.folder.readSecret("kubeconfig") == Data("https://10.0.0.2:6443".utf8))
        // And goes on with it: a new master gets the same.
        var grown = other
        site.world.add("10.0.0.5")
        site.world.add("10.0.0.6")
        grown.draft.masters += ["10.0.0.5", "10.0.0.6"]
        try await grown.apply()
        let key = "/etc/kubernetes/pki/ca.key"
        let keys = site.world.with { state in ["10.0.0.2", "10.0.0.5"].map { state.machines[$0]?.files[key]?.bytes } }
        #expect(keys[0] != nil && keys[0] == keys[1])
        #expect(site.world.with { state in ["10.0.1.1"].map { state.machines[$0]?.files[key] } } == [nil])
    }

    @Test("that somebody else is making leaves no authorities of its own here, which would not be the cluster's")
    func madeByOthers() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path.appending("one"))
        _ = try await site.engine.delete("fleet")
        site.change { $0.holder = .init(owner: nil, age: 3, silent: 1) }
        let other = site.seenFromElsewhere(scratch.path.appending("two"))
        let failure = await #expect(throws: Failure.self) { try await other.apply() }
        #expect(failure?.kind == .conflict, "\(String(describing: failure))")
        #expect(!other.folder.hasAnything)
        // They are done, and it goes on with what they made.
        site.change { $0.holder = nil }
        try await site.apply()
        #expect(try await other.apply().isEmpty)
    }

    @Test("whose registry is on one master is taken over from that one, whichever is asked")
    func registryElsewhere() async throws {
        let scratch = try Scratch()
        var site = try await SimulatedSite.make(
            scratch.path.appending("one"), masters: ["10.0.0.2", "10.0.0.3", "10.0.0.4"])
        site.draft.ha = false
        try await site.apply()
        var other = site.seenFromElsewhere(scratch.path.appending("two"))
        other.draft.masters = ["10.0.0.3", "10.0.0.2", "10.0.0.4"]
        try await other.apply()
        for path in ["pki/registry-ca.crt", "pki/registry.key"] {
            #expect(try other.folder.readSecret(path) == site.folder.readSecret(path), "\(path)")
        }
    }

    @Test("knows its masters also where an earlier sealer noted less")
    func lessNoted() async throws {
        let scratch = try Scratch()
        var site = try await SimulatedSite.make(scratch.path)
        let place = NodeMark.path.string
        for address in ["10.0.0.2", "10.0.1.1", "10.0.1.2"] {
            var mark = try JSONDecoder().decode(
                NodeMark.self, from: try #require(site.world.with { $0.machines[address]?.files[place]?.bytes }))
            // One of between noted kubelet's files alone.
            mark.kubernetesFiles =
                address == "10.0.1.2"
                ? mark.kubernetesFiles?.filter { ClusterBlueprint.kubeletFiles.contains($0.key) } : nil
            let bytes = try JSONEncoder().encode(mark)
            site.change { $0.machines[address]?.files[place]?.bytes = bytes }
        }
        let before = site.draft
        (site.draft.masters, site.draft.workers) = (["10.0.0.2", "10.0.1.1"], ["10.0.1.2"])
        let failure = await #expect(throws: Failure.self) { try await site.engine.plan(try site.draft.cluster()) }
        #expect(failure?.what == "10.0.1.1 is a worker of the cluster and cannot become a master in place")
        // What kubelet is told is noted, and the rest with it.
        site.draft = before
        site.draft.maxPods = 77
        let plan = try await site.apply()
        #expect(plan.steps.contains { $0.id == "kubelet-configuration/10.0.0.2" })
        #expect(try await site.apply().isEmpty)
    }

    @Test("that was made anew from elsewhere keeps the authorities that it has; a single one that differs is mended")
    func madeAnew() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        func spoil(_ paths: [String]) {
            site.change { state in
                for path in paths {
                    state.machines["10.0.0.2"]?.files["/etc/kubernetes/pki/\(path)"]?.bytes.append(10)
                }
            }
        }
        spoil(["ca.crt"])
        let plan = try await site.apply()
        #expect(plan.steps.contains { $0.id == "authorities/10.0.0.2" })
        // Who makes a cluster anew with the same authority of Kubernetes has others of the rest.
        for pair in [["sa.key", "sa.pub"], ["etcd/ca.crt", "etcd/ca.key"], ClusterAuthorities.paths] {
            let before = site.world.with { $0.machines["10.0.0.2"] }
            spoil(pair)
            let failure = await #expect(throws: Failure.self) { try await site.apply() }
            #expect(failure?.kind == .conflict && failure?.what.contains("made anew from elsewhere") == true)
            site.change { $0.machines["10.0.0.2"] = before }
        }
        #expect(try await site.apply().isEmpty)
    }

    @Test("does not get other authorities of its user's")
    func otherAuthorities() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path.appending("one"))
        let own = scratch.path.appending("own")
        for file in try ClusterAuthorities().files {
            try FileManager.default.createDirectory(
                atPath: own.appending("etcd").string, withIntermediateDirectories: true)
            try file.bytes.write(to: URL(filePath: own.appending(FilePath(file.path).components).string))
        }
        var cluster = try site.draft.cluster()
        cluster.certificates.folder = own.string
        for place in [site, site.seenFromElsewhere(scratch.path.appending("two"))] {
            let failure = await #expect(throws: Failure.self) { try await place.apply(cluster) }
            #expect(
                failure?.kind == .conflict && failure?.what.contains("ca.crt, ca.key") == true,
                "\(String(describing: failure))")
        }
        // Those that it has may be named, or be gone.
        cluster.certificates.folder = site.folder.path.appending("pki").appending("kubernetes").string
        try await site.apply(cluster)
        cluster.certificates.folder = "/nowhere"
        try await site.apply(cluster)
        try await site.seenFromElsewhere(scratch.path.appending("three")).apply(cluster)
        // But a new cluster is not made without them.
        _ = try await site.engine.delete("fleet")
        let lacking = await #expect(throws: Failure.self) { try await site.engine.plan(cluster) }
        #expect(lacking?.kind == .notFound && lacking?.what.contains("ca.crt") == true)
    }

    @Test("makes no master of a worker, no worker of a master, and moves no data: all is told at once")
    func cannotBecome() async throws {
        let scratch = try Scratch()
        var site = try await SimulatedSite.make(scratch.path, masters: ["10.0.0.2", "10.0.0.3", "10.0.0.4"])
        site.draft.masters = ["10.0.0.2", "10.0.0.3", "10.0.1.1"]
        site.draft.workers = ["10.0.0.4", "10.0.1.2"]
        var cluster = try site.draft.cluster()
        cluster.dataRoot = "/srv/sealer"
        let failure = await #expect(throws: Failure.self) { try await site.engine.plan(cluster) }
        #expect(failure?.kind == .conflict)
        for words in [
            "10.0.1.1 is a worker of the cluster and cannot become a master in place",
            "10.0.0.4 is a master of the cluster and cannot become a worker in place",
            "10.0.0.2 keeps its data in /var/lib/sealer/data, spec.dataRoot says /srv/sealer",
        ] {
            #expect(failure?.what.contains(words) == true, "\(String(describing: failure))")
        }
    }

    @Test("loses labels, roles and taints that its Clusterfile gave it and does not name any more, and no others")
    func withdrawn() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        func cluster(_ words: String) throws -> Cluster {
            let text = site.draft.text.replacing("roles: [node, db], labels: {disk: ssd}", with: words)
            return try Cluster.parse(text, file: "Clusterfile").cluster
        }
        func node() throws -> NodeStatus { try #require(site.world.with { $0.nodes["host-10-0-1-1"] }) }
        site.change { $0.nodes["host-10-0-1-1"]?.labels["of"] = "somebody" }
        try await site.apply(cluster("roles: [node, db], labels: {disk: ssd}, taints: [a=b:NoSchedule, c:NoExecute]"))
        #expect(try node().labels == ["disk": "ssd", "node-role.kubernetes.io/db": "", "of": "somebody"])
        #expect(try node().taints == ["a=b:NoSchedule", "c:NoExecute"])
        // Of another value, gone, and set anew by somebody else.
        site.change { $0.nodes["host-10-0-1-1"]?.labels["disk"] = "hdd" }
        let wanted = try cluster("roles: [node], taints: [a=x:NoSchedule]")
        let plan = try await site.engine.plan(wanted)
        let reason = plan.steps.first { $0.id == "label/10.0.1.1" }?.reason
        #expect(
            reason == "it lacks a=x:NoSchedule; it has node-role.kubernetes.io/db=, c:NoExecute, "
                + "which the Clusterfile does not name any more")
        try await site.apply(wanted)
        #expect(try node().labels == ["disk": "hdd", "of": "somebody"])
        #expect(try node().taints.contains("a=x:NoSchedule") && !node().taints.contains("c:NoExecute"))
        #expect(try await site.engine.plan(wanted).isEmpty)
        // What an admin took away, and is not named any more, is forgotten: set anew by somebody, it is theirs.
        site.change { $0.nodes["host-10-0-1-1"]?.taints = [] }
        let bare = try cluster("roles: [node]")
        let note = try await site.engine.plan(bare).steps.first { $0.id == "label/10.0.1.1" }?.reason
        #expect(note == "what it was given is noted otherwise")
        try await site.apply(bare)
        site.change { $0.nodes["host-10-0-1-1"]?.taints = ["a=x:NoSchedule"] }
        #expect(try await site.engine.plan(bare).isEmpty)
        // What somebody else had set when the Clusterfile came to name it stays theirs.
        try await site.apply(cluster("roles: [node], labels: {of: somebody, new: one}"))
        #expect(try node().labels["new"] == "one")
        try await site.apply(bare)
        #expect(try node().labels == ["disk": "hdd", "of": "somebody"])
        #expect(try await site.engine.plan(bare).isEmpty)
        // What the node had that was there before, by the same name, was of another one.
        try await site.apply(cluster("roles: [node], labels: {new: two}"))
        site.change { state in
            state.machines["10.0.1.1"] = nil
            state.nodes["host-10-0-1-1"]?.isReady = false
        }
        site.world.add("10.0.1.1")
        try await site.apply(cluster("roles: [node], labels: {new: two}"))
        #expect(try node().labels == ["new": "two"])
        try await site.apply(bare)
        #expect(try node().labels.isEmpty)
    }

    @Test("keeps kubeadm's own taint of a master, though the Clusterfile named it for a while")
    func taintOfMasters() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        let (kubeadms, own) = ("node-role.kubernetes.io/master:NoSchedule", "node-role.kubernetes.io/master:NoExecute")
        let text = site.draft.text.replacing(
            "roles: [master]", with: "roles: [master], taints: [\"\(kubeadms)\", \"\(own)\"]")
        try await site.apply(try Cluster.parse(text, file: "Clusterfile").cluster)
        func taints() -> [String]? { site.world.with { $0.nodes["host-10-0-0-2"]?.taints } }
        #expect(taints() == [own, kubeadms])
        try await site.apply()
        #expect(taints() == [kubeadms])
        #expect(try await site.apply().isEmpty)
    }

    @Test("whose first master leaves is reached through another one")
    func kubeconfig() async throws {
        let scratch = try Scratch()
        var site = try await SimulatedSite.make(scratch.path, masters: ["10.0.0.2", "10.0.0.3", "10.0.0.4"])
        #expect(try site.folder.readSecret("kubeconfig") == Data("https://10.0.0.2:6443".utf8))
        site.draft.masters = ["10.0.0.3", "10.0.0.4"]
        try await site.apply()
        #expect(try site.folder.readSecret("kubeconfig") == Data("https://10.0.0.3:6443".utf8))
    }

    @Test("keeps its data where it was told to, and leaves nothing there")
    func dataRoot() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path.appending("first"))
        var cluster = try site.draft.cluster()
        _ = try await site.engine.delete("fleet")
        cluster.dataRoot = "/srv/sealer"
        try await site.apply(cluster)
        func files() -> [String] {
            site.world.with { state in
                state.machines.values.flatMap { $0.files.keys.filter { $0.hasPrefix("/srv/") } }
            }
        }
        #expect(!files().isEmpty)
        let own = "/srv/sealer/fleet/of-the-user"
        site.change { $0.machines["10.0.1.1"]?.files[own] = .init(bytes: Data(), permissions: 0o644) }
        _ = try await site.engine.delete("fleet")
        #expect(files() == [own])
    }

    @Test(
        "has its scripts run anew where their environment has changed, and is launched anew with another one of the whole"
    )
    func environment() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        func steps(_ place: String, _ words: String) async throws -> (hosts: Set<String>, hasLaunch: Bool) {
            let text = site.draft.text.replacing(place, with: "\(words)\(place)")
            let plan = try await site.engine.plan(try Cluster.parse(text, file: "Clusterfile").cluster)
            let installing = plan.steps.filter { $0.action == .installRuntime }
            #expect(installing.allSatisfy { $0.reason == "the rootfs or the environment of its scripts has changed" })
            return (Set(installing.compactMap(\.host)), plan.steps.contains { $0.action == .launch })
        }
        let whole = try await steps("  hosts:\n", "  env: [COLOUR=blue]\n")
        #expect(whole.hosts == ["10.0.0.2", "10.0.1.1", "10.0.1.2"] && whole.hasLaunch)
        let some = try await steps("labels: {disk", "env: [DISK=fast], ")
        #expect(some.hosts == ["10.0.1.1", "10.0.1.2"] && !some.hasLaunch)
    }

    @Test(
        "is run by the sealer that was used last: its services are those of another executable then, and nothing else is"
    )
    func otherExecutable() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        site.change { $0.executable = ContentHasher.digest(of: Data("another sealer".utf8)) }
        let plan = try await site.apply()
        #expect(plan.steps.map(\.id).sorted() == ["balancer/10.0.1.1", "balancer/10.0.1.2", "registry/10.0.0.2"])
        #expect(try await site.apply().isEmpty)
        _ = try await site.engine.delete("fleet")
        #expect(site.world.with { $0.machines.values.allSatisfy { $0.programs.isEmpty } })
    }
}
