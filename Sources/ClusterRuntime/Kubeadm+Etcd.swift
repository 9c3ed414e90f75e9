import Clusterfile
import FoundationEssentials
import Remote
import Report
import SystemPackage

/// Members of etcd come and go.
extension Kubeadm {
    /// How long a new member may take to start and to have all that the others have.
    static let learningLimit = Duration.seconds(180)
    /// After that time a member that does not learn is started anew, once.
    static let learningPatience = Duration.seconds(45)

    /// How members come into etcd.
    enum EtcdEntry {
        /// kubeadm adds a member that votes at once: the etcd of Kubernetes before 1.17 knows no other.
        case voting
        /// sealer adds a learner (`joinEtcd`).
        case learning
        /// kubeadm adds a learner: from 1.29 on.
        case learningByKubeadm
    }

    /// How members come into etcd in the cluster's version: kubeadm's etcd is 3.4, the first with learners, from 1.17 on; its gate
    /// EtcdLearnerMode is on by itself from 1.29 on (kubernetes/kubernetes#120228).
    var etcdEntry: EtcdEntry {
        switch settings.version.minor {
        case ..<17: .voting
        case ..<29: .learning
        default: .learningByKubeadm
        }
    }

    /// Takes a master into etcd as a learner, starts its etcd, and gives it its vote when it has all that the others have.
    ///
    /// A member that votes from the first moment, as kubeadm before 1.29 makes it, counts for the quorum before it runs: with
    /// two members etcd has no leader until the second one is there. If it never starts the cluster is lost, and even when it
    /// does, the API server's watches were cut, some for minutes (kubernetes/kubernetes#97294).
    func joinEtcd(_ node: ClusterNode, through master: ClusterNode, step: Step) async throws {
        let peer = EtcdMember.peerAddress(node.address)
        try await makeRoomInEtcd(for: node, through: master, step: step)
        let members = try await Self.patiently {
            let known = try await etcdMembers(through: master)
            if known.contains(where: { $0.peerAddresses.contains(peer) }) { return known }
            let added = try await etcd(
                ["member", "add", node.name, "--learner", "--peer-urls=\(peer)"], master, mayFail: true)
            guard added.status == 0 else {
                throw Failure(
                    .commandFailed, "etcd does not take \(node.name) in: \(added.errorText)", at: master.host.name)
            }
            return try await etcdMembers(through: master)
        }
        guard let learner = members.first(where: { $0.peerAddresses.contains(peer) }) else {
            throw Failure(
                .integrity, "\(node.name) is no member of etcd, although it was added", at: master.host.name)
        }
        try await waitUntilStorageIsKnown(of: node, through: master)
        step.note("etcd: \(node.name) is a learner")
        try await Failpoint.reach("learner \(node.name)")
        do {
            // It has no name yet.
            let named = members.map { member in
                var member = member
                if member.identifier == learner.identifier { member.name = node.name }
                return member
            }
            try await writeEtcdManifest(on: node, members: named, step: step)
            try await Failpoint.reach("etcd-manifest \(node.name)")
            try await promote(learner, on: node, through: master, step: step)
        } catch {
            // A learner costs no quorum, but nobody else can learn as long as it is there. In a task of its own: this one may be
            // cancelled.
            do {
                _ = try await Task { try await etcd(["member", "remove", learner.identifierInHex], master) }.value
            } catch {
                step.note("\(node.name) is still a learner of etcd; the next attempt takes it out")
            }
            throw error
        }
        try await Failpoint.reach("vote \(node.name)")
        step.note("etcd: \(node.name) has a vote")
    }

    /// Has `kubeadm init phase etcd local` write a master's manifest.
    ///
    /// - Parameter imageTag: the tag of etcd's image; nil for the one of the cluster's image.
    func writeEtcdManifest(on node: ClusterNode, members: [EtcdMember], imageTag: String? = nil, step: Step)
        async throws
    {
        let runtime = try await preparation.runtime(of: node)
        let token = BootstrapToken()
        let file = try configuration.etcdFile(
            for: KubeadmNode(node, runtime: runtime), token: token,
            members: members.flatMap { member in member.peerAddresses.map { (member.name, $0) } }, imageTag: imageTag)
        try await kubeadm(
            ["kubeadm", "init", "phase", "etcd", "local", "--config", Self.configurationFile.string],
            configuration: file.bytes, token: token, on: node, limit: .seconds(60), step: step)
    }

    /// Whoever has the host's name or its address in etcd is not this host, whose etcd begins with nothing; and whoever learns is
    /// what another attempt left, for members come one at a time.
    public func makeRoomInEtcd(for node: ClusterNode, through master: ClusterNode, step: Step) async throws {
        let peer = EtcdMember.peerAddress(node.address)
        try await removeEtcdMembers(through: master, of: node.name, step: step) {
            $0.name == node.name || $0.peerAddresses.contains(peer) || $0.isLearner
        }
    }

    private func promote(_ learner: EtcdMember, on node: ClusterNode, through master: ClusterNode, step: Step)
        async throws
    {
        let begin = ContinuousClock.now
        var isStartedAnew = false
        while true {
            // Refused as long as it does not run or lacks something.
            let result = try await etcd(["member", "promote", learner.identifierInHex], master, mayFail: true)
            let known = try await etcdMembers(through: master).first { $0.identifier == learner.identifier }
            if let known, !known.isLearner { return }
            let waited = ContinuousClock.now - begin
            if waited > Self.learningPatience, !isStartedAnew {
                isStartedAnew = true
                let what = known?.name.isEmpty == false ? "does not get on" : "has not started"
                step.note("etcd of \(node.name) \(what) after \(Self.learningPatience.inWords): starting it anew")
                try await startEtcdAnew(on: node)
            }
            guard waited < Self.learningLimit else {
                let lines =
                    try await newestLog(of: "etcd", on: node)?.lines.suffix(5) ?? ["(it has no log: it never started)"]
                throw Failure(
                    .timeout,
                    "etcd of \(node.name) has not caught up with the others within \(Self.learningLimit.inWords): "
                        + "\(result.errorText)\nits log ends with:\n\(lines.joined(separator: "\n"))",
                    at: node.name, remedy: "see why on the host: journalctl --unit kubelet")
            }
            try await Task.sleep(for: .milliseconds(300))
        }
    }

    /// kubelet knows only some seconds after its start how much storage there is. etcd's pod of Kubernetes before 1.22 asks for some,
    /// is refused until then, and not tried again (kubernetes/kubernetes#99305).
    private func waitUntilStorageIsKnown(of node: ClusterNode, through master: ClusterNode) async throws {
        let end = ContinuousClock.now + .seconds(30)
        while ContinuousClock.now < end {
            let known = try await kubectl(
                ["get", "node", node.name, "--output=jsonpath={.status.allocatable.ephemeral-storage}"], through: master
            )
            if known.status == 0, !known.output.isEmpty, known.outputText != "0" { return }
            try await Task.sleep(for: .milliseconds(300))
        }
    }

    /// kubelet starts what ended, and looks anew for what it has to run.
    private func startEtcdAnew(on node: ClusterNode) async throws {
        try await node.host.check(
            .script(
                """
                pid="$(ss -Hltnp 'sport = :2380' | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p' | sed -n 1p)"
                [[ -z $pid ]] || kill "$pid" || true
                systemctl restart kubelet.service
                """),
            purpose: "starting etcd anew", limit: .seconds(90))
    }

    /// A member of another name at the address is not taken for the node's: it may be its successor.
    public func removeEtcdMember(_ node: String, address: String?, through master: ClusterNode, step: Step)
        async throws
    {
        let peer = address.map(EtcdMember.peerAddress)
        try await removeEtcdMembers(through: master, of: node, step: step) { member in
            member.name == node || (member.name.isEmpty && peer.map(member.peerAddresses.contains) == true)
        }
    }

    /// The members that are left must be able to agree without those that go: more than half of those that will be there
    /// must answer. One that only learns has no vote that could be missing.
    private func removeEtcdMembers(
        through master: ClusterNode, of node: String, step: Step, where isLeaving: (EtcdMember) -> Bool
    ) async throws {
        let members = try await etcdMembers(through: master)
        let leaving = members.filter(isLeaving)
        guard !leaving.isEmpty else { return }
        let staying = members.filter { member in
            !member.isLearner && !leaving.contains { $0.identifier == member.identifier }
        }
        if leaving.contains(where: { !$0.isLearner }) {
            var healthy = 0
            for member in staying {
                let health = try await etcd(
                    ["endpoint", "health", "--endpoints=\(member.clientAddress)"], master, mayFail: true)
                if health.status == 0 { healthy += 1 }
            }
            guard healthy > staying.count / 2 else {
                throw Failure(
                    .conflict,
                    "\(healthy) of the \(staying.count) masters that would stay answer for etcd, more than half must: "
                        + "taking \(node) out could stop the cluster",
                    at: master.host.name, remedy: "bring the other masters up first")
            }
        }
        for member in leaving {
            step.note("etcd: taking \(member.name.isEmpty ? "a member that never started" : member.name) out")
            try await Self.patiently {
                // Asked twice it does not know the member any more; what counts is who is left.
                let removed = try await etcd(["member", "remove", member.identifierInHex], master, mayFail: true)
                let left = try await etcdMembers(through: master)
                guard !left.contains(where: { $0.identifier == member.identifier }) else {
                    throw Failure(
                        .commandFailed, "\(node) is a member of etcd still: \(removed.errorText)", at: master.host.name)
                }
            }
        }
    }
}
