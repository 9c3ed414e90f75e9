import FoundationEssentials
import OCI
import Remote
import Report

/// What is asked of a cluster that runs, and told to it.
extension Kubeadm {
    /// What the API server says of the nodes.
    public func nodes(through master: ClusterNode) async throws -> [NodeStatus] {
        try await RunningCluster(through: master.host).nodes()
    }

    /// Sets labels and taints; taints that the node has besides stay.
    public func label(
        _ node: String, labels: [String: String], taints: [String], withdrawn: [String], through master: ClusterNode
    ) async throws {
        let words = labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" } + withdrawn.map { "\($0)-" }
        if !words.isEmpty {
            try await must(["label", "node", node, "--overwrite"] + words, "label the node \(node)", through: master)
        }
        let given = taints.filter { !$0.hasSuffix("-") }
        if !given.isEmpty {
            try await must(["taint", "node", node, "--overwrite"] + given, "taint the node \(node)", through: master)
        }
        for taint in taints where taint.hasSuffix("-") {
            try await Self.patiently {
                let result = try await kubectl(["taint", "node", node, taint], through: master)
                // An attempt that got no answer may have done it.
                guard result.status != 0, !Self.saysThatTaintIsGone(result.errorText) else { return }
                throw Failure(
                    .commandFailed,
                    "cannot take the taint \(taint.dropLast()) from the node \(node): \(result.errorText)",
                    at: master.host.name)
            }
        }
    }

    /// Whether kubectl says that a taint that it was to take away is not there; not that the node is not.
    static func saysThatTaintIsGone(_ error: String) -> Bool {
        error.split(separator: "\n").contains { $0.hasPrefix("error: taint \"") && $0.hasSuffix("\" not found") }
    }

    /// Polls the nodes' conditions until all are `Ready`, and are so by what their kubelets said since they run.
    public func waitUntilReady(
        _ nodes: [ClusterNode], through master: ClusterNode, limit: Duration, step: Step
    ) async throws {
        let (begin, end) = (ContinuousClock.now, ContinuousClock.now + limit)
        var starts = try await kubeletStarts(of: nodes)
        let masters = nodes.filter { $0.role == .master }
        let nodes = nodes.map(\.name)
        while true {
            let statuses = try await Self.patiently { try await self.nodes(through: master) }
            // Kubernetes knows by itself then.
            if ContinuousClock.now > begin + .seconds(Self.graceOfNodes) { starts = [:] }
            let ready = Set(
                statuses.filter { $0.isReady && !$0.isStale(since: starts[$0.name]) }.map(\.name))
            var waiting = nodes.filter { !ready.contains($0) }
            // A node is Ready by its kubelet, whatever its control plane does.
            if waiting.isEmpty {
                for master in masters where try await !isServing(master) { waiting.append(master.name) }
            }
            step.advance(Int64(nodes.count - waiting.count), of: Int64(nodes.count), unit: .items)
            if waiting.isEmpty { return }
            guard ContinuousClock.now < end else {
                let reasons = waiting.map { name in
                    let status = statuses.first { $0.name == name }
                    let reason = status.map { status in
                        guard status.isReady else { return status.reason }
                        return status.isStale(since: starts[name])
                            ? "kubelet was started and has not reported since" : "its API server does not answer"
                    }
                    return "\(name): \(reason ?? "is no member of the cluster")"
                }
                throw Failure(
                    .timeout,
                    "not Ready after \(limit.inWords): \(reasons.joined(separator: "; "))",
                    at: settings.name,
                    remedy: "look at kubelet's log on the node: journalctl --unit kubelet"
                )
            }
            try await Task.sleep(for: .milliseconds(500))
        }
    }

    /// Whether a master's API server answers; no when the master cannot be asked.
    private func isServing(_ master: ClusterNode) async throws -> Bool {
        do { return try await answers(master) } catch {
            try Task.checkCancellation()
            return false
        }
    }

    private func kubeletStarts(of nodes: [ClusterNode]) async throws -> [String: Int64] {
        try await withThrowingTaskGroup(of: (String, Int64?).self) { group in
            for node in nodes { group.addTask { (node.name, try await kubeletStart(of: node)) } }
            return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
    }

    /// How long services may lead nowhere while all pods are well. Where a change of etcd's members has ended controller managers,
    /// it may be a minute until one works again.
    static let servicesLimit = Duration.seconds(120)

    /// Polls the pods until all are well, and every service leads to those of them that are its own. Pods may still be made
    /// meanwhile: two looks in a row must agree.
    ///
    /// The control plane's own pods are left out: kubelet tells of their readiness up to a minute late. The API server's
    /// `/readyz` speaks for it and for etcd, the nodes' and pods' progress for the other two.
    public func waitUntilPodsReady(
        exceptOn silent: Set<String>, through master: ClusterNode, limit: Duration, step: Step
    ) async throws {
        let end = ContinuousClock.now + limit
        var before: Set<String>?
        var wellSince: ContinuousClock.Instant?
        while true {
            let health = try await kubectl(healthQuestion, through: master)
            let result = try await must(
                ["get", "pods,services,endpoints", "--all-namespaces", "--output=json"], "list the pods",
                through: master)
            let pods = try PodStatus.list(fromJSON: result.output).filter { pod in
                pod.node.map { !silent.contains($0) } ?? true
            }
            let behind = try ServiceStatus.list(fromJSON: result.output).filter(\.isBehind)
            let unwell = pods.filter { !$0.isWell && !$0.isStatic }
            step.advance(Int64(pods.count - unwell.count), of: Int64(pods.count), unit: .items)
            let names = Set(pods.map(\.name))
            wellSince = unwell.isEmpty ? wellSince ?? .now : nil
            if health.status == 0, unwell.isEmpty, names == before {
                if behind.isEmpty { return }
                // Its ports may be none that the pods have.
                if let wellSince, .now - wellSince > Self.servicesLimit {
                    return step.note(
                        "leads nowhere though its pods are ready: service \(behind.map(\.name).joined(separator: ", "))"
                    )
                }
            }
            before = unwell.isEmpty ? names : nil
            guard ContinuousClock.now < end else {
                var reasons = unwell.map { "\($0.name): \($0.reason)" }
                reasons += behind.map { "\($0.name): the service leads nowhere yet" }
                if health.status != 0 { reasons.append("the API server: \(health.errorText)") }
                throw Failure(
                    .timeout,
                    "pods not ready after \(limit.inWords): \(reasons.joined(separator: "; "))",
                    at: settings.name,
                    remedy: "the cluster runs; look at them with kubectl describe pod"
                )
            }
            try await Task.sleep(for: .milliseconds(300))
        }
    }

    // MARK: - Leaving

    /// Runs `kubectl uncordon`.
    public func uncordon(_ node: String, through master: ClusterNode) async throws {
        try await must(["uncordon", node], "let pods come to \(node) again", through: master)
    }

    /// Runs `kubectl drain`: pods of daemon sets stay, pods that nothing makes anew and what is in their empty volumes go.
    public func drain(_ node: String, _ policy: DrainPolicy, through master: ClusterNode, step: Step) async throws {
        let known = try await Self.patiently { try await nodes(through: master) }
        guard let status = known.first(where: { $0.name == node }) else { return }
        guard status.isReady else {
            // Nobody there ends the pods; they are made anew elsewhere as soon as the node is removed.
            try await must(["cordon", node], "keep new pods away from \(node)", through: master)
            step.note("\(node) is not Ready, so its pods cannot be moved: they start elsewhere when it is removed")
            return
        }
        let result = try await kubectl(
            ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force"] + policy.arguments,
            limit: .seconds(policy.timeout + 60), through: master, output: { step.note($0.text) })
        guard result.status == 0 else {
            throw Failure(
                .commandFailed,
                "cannot move the pods of \(node) elsewhere: \(result.errorText.split(separator: "\n").suffix(5).joined(separator: "\n"))",
                at: master.host.name,
                remedy: "see what holds them (kubectl get poddisruptionbudgets --all-namespaces), then run it again; "
                    + "--drain-timeout gives them longer than \(policy.timeout) s, --drain-grace-period 0 does not wait for pods that are slow "
                    + "to end (never for one that must not run twice)"
            )
        }
    }

    /// Deletes the node's object.
    public func removeNode(_ node: String, through master: ClusterNode) async throws {
        try await must(["delete", "node", node, "--ignore-not-found"], "delete the node \(node)", through: master)
    }

    // MARK: - The record in the cluster

    /// Reads the ConfigMap `kube-system/sealer-cluster`.
    public func record(through master: ClusterNode) async throws -> [String: String]? {
        try await RunningCluster(through: master.host).record()
    }

    /// Writes the ConfigMap.
    public func write(record: [String: String], through master: ClusterNode) async throws {
        let map = RunningCluster.ConfigMap(
            metadata: .init(name: RunningCluster.recordName, namespace: "kube-system"), data: record)
        try await must(
            ["apply", "--server-side", "--force-conflicts", "--field-manager=sealer", "--filename=-"],
            input: try canonicalJSON(map), "write the ConfigMap kube-system/\(RunningCluster.recordName)",
            through: master)
    }
}
