import Clusterfile
import FoundationEssentials
import Remote
import Report
import SystemPackage

/// Kubernetes by the image's own kubeadm.
public struct Kubeadm: KubernetesRuntime {
    static let administratorFile: FilePath = "/etc/kubernetes/admin.conf"
    static let authorityFile: FilePath = "/etc/kubernetes/pki/ca.crt"
    private static let configurationFile: FilePath = "/etc/kubernetes/sealer-kubeadm.yaml"

    private let settings: ClusterSettings
    private let preparation: NodePreparation
    private let configuration: KubeadmConfiguration

    /// Makes the runtime.
    ///
    /// - Throws: `Failure` of kind `invalidInput` for a Kubernetes version that is too old.
    public init(_ settings: ClusterSettings) throws(Failure) {
        self.settings = settings
        preparation = NodePreparation(settings)
        configuration = try KubeadmConfiguration(settings)
    }

    /// Sets bridge and overlay up when the image says that sealer does the pod network.
    public func connectPods(of node: ClusterNode, among nodes: [ClusterNode]) async throws {
        guard settings.podNetworking == .bridge else { return }
        let parts = try podNetworkParts(of: nodes)
        guard let part = parts.first(where: { $0.node == node.name }) else {
            throw Failure(.software, "the node is not among the cluster's", at: node.host.name)
        }
        let peers = parts.filter { $0 != part }
        try await PodNetwork.install(part, peers: peers, wholeNetwork: settings.podNetwork.description, on: node)
    }

    /// Runs `kubeadm init`, and makes the ticket for the other nodes.
    public func initialise(_ master: ClusterNode, among nodes: [ClusterNode], step: Step) async throws -> JoinTicket {
        let token = BootstrapToken()
        let runtime = try await preparation.runtime(of: master)
        let isAlone = nodes.allSatisfy { $0.role == .master }
        let file = try configuration.initFile(for: master, runtime: runtime, token: token, isAlone: isAlone)
        let skipped = configuration.skippedPhases(for: master)
        for (phase, reason) in skipped { step.note("phase \(phase) is skipped: \(reason)") }
        var arguments = ["kubeadm", "init", "--config", Self.configurationFile.string]
        if !skipped.isEmpty { arguments.append("--skip-phases=\(skipped.map(\.phase).joined(separator: ","))") }
        try await kubeadm(arguments, configuration: file, token: token, on: master, limit: .seconds(360), step: step)
        guard let certificate = try await master.host.readFile(Self.authorityFile, limit: 1 << 20) else {
            throw Failure(
                .commandFailed,
                "kubeadm init ended well, but left no \(Self.authorityFile)",
                at: master.host.name
            )
        }
        let hash = try publicKeyHash(
            ofCertificate: String(decoding: certificate, as: UTF8.self),
            at: "\(master.host.name):\(Self.authorityFile)"
        )
        try await assignPodNetwork(to: master, among: nodes, through: master)
        return JoinTicket(token: token, authorityHash: hash)
    }

    /// Runs `kubeadm join` with the ticket's token and CA hash.
    public func join(
        _ node: ClusterNode,
        among nodes: [ClusterNode],
        through master: ClusterNode,
        ticket: JoinTicket,
        step: Step
    ) async throws {
        let file = try configuration.joinFile(
            for: node,
            runtime: try await preparation.runtime(of: node),
            token: ticket.token,
            authorityHash: ticket.authorityHash
        )
        var arguments = ["kubeadm", "join", "--config", Self.configurationFile.string]
        if let skipped = configuration.skippedPreflight(for: node) {
            arguments.append("--skip-phases=\(skipped.phase)")
        }
        try await waitForSignature(of: ticket.token, through: master)
        try await kubeadm(
            arguments, configuration: file, token: ticket.token, on: node, limit: .seconds(240), step: step)
        try await assignPodNetwork(to: node, among: nodes, through: master)
    }

    /// Waits until the controller manager has signed the cluster's public information with the token. kubeadm would find
    /// that out too, but looks only every five seconds.
    private func waitForSignature(of token: BootstrapToken, through master: ClusterNode) async throws {
        let end = ContinuousClock.now + .seconds(90)
        let path = "{.data.jws-kubeconfig-\(token.identifier)}"
        while ContinuousClock.now < end {
            let result = try await kubectl(
                ["--namespace=kube-public", "get", "configmap", "cluster-info", "--output=jsonpath=\(path)"],
                through: master
            )
            if result.status == 0, !result.output.isEmpty { return }
            try await Task.sleep(for: .milliseconds(200))
        }
        throw Failure(
            .timeout,
            "waited 90 s for the controller manager to sign kube-public/cluster-info with the join token, in vain",
            at: master.host.name,
            remedy: "look at the pod kube-controller-manager-\(master.name) in kube-system"
        )
    }

    /// Runs kubeadm with its configuration in a file that only root can read and that is gone afterwards: it has a token.
    private func kubeadm(
        _ arguments: [String],
        configuration: Data,
        token: BootstrapToken,
        on node: ClusterNode,
        limit: Duration,
        step: Step
    ) async throws {
        let purpose = arguments.prefix(2).joined(separator: " ")
        let file = Self.configurationFile
        try await node.host.writeFile(file, configuration, permissions: 0o600)
        let outcome: Result<CommandResult, any Error>
        do {
            outcome = .success(
                try await node.host.run(RemoteCommand(arguments), limit: limit) { line in
                    step.note(token.redacted(line.text))
                }
            )
        } catch {
            outcome = .failure(error)
        }
        do {
            try await node.host.delete(file)
        } catch {
            guard case .failure(let first) = outcome else { throw error }
            throw Failure(
                (first as? Failure)?.kind ?? .commandFailed,
                "\(purpose) failed",
                at: node.host.name,
                remedy: "delete \(file) on the node: it holds a token that is valid for 2 hours",
                causes: [first, error]
            )
        }
        let result = try outcome.get()
        guard result.status == 0 else {
            let lines = (result.error.isEmpty ? result.outputText : result.errorText).split(separator: "\n").suffix(20)
            throw Failure(
                .commandFailed,
                "\(purpose) failed with status \(result.status):\n\(token.redacted(lines.joined(separator: "\n")))",
                at: node.host.name
            )
        }
    }

    /// Each node's part: the next 256 addresses of the pod network for each, in the order of `nodes`.
    private func podNetworkParts(of nodes: [ClusterNode]) throws -> [PodNetwork.Part] {
        try nodes.enumerated().map { number, node in
            guard let base = settings.podNetwork.address(at: UInt32(number) << 8),
                settings.podNetwork.address(at: UInt32(number) << 8 + 255) != nil
            else {
                throw Failure(
                    .invalidInput,
                    "the pod network \(settings.podNetwork) has no 256 addresses left for \(node.name)",
                    at: settings.name,
                    remedy: "take a larger one: --pod-cidr"
                )
            }
            return PodNetwork.Part(node: node.name, address: node.address, network: "\(base)/24")
        }
    }

    /// Tells Kubernetes which part of the pod network a node has. Its own controller for that would make the controller
    /// manager wait ten seconds at its start; and the change makes kubelet report at once.
    private func assignPodNetwork(
        to node: ClusterNode,
        among nodes: [ClusterNode],
        through master: ClusterNode
    ) async throws {
        guard settings.podNetworking == .bridge,
            let part = try podNetworkParts(of: nodes).first(where: { $0.node == node.name })
        else { return }
        let patch = #"{"spec":{"podCIDR":"\#(part.network)","podCIDRs":["\#(part.network)"]}}"#
        let end = ContinuousClock.now + .seconds(60)
        while true {
            // kubelet makes the CSINode a moment after the Node; a change before that does not wake it.
            let known = try await kubectl(["get", "csinode", node.name, "--output=name"], through: master)
            if known.status == 0 { break }
            guard ContinuousClock.now < end else {
                throw Failure(
                    .timeout,
                    "waited 60 s for kubelet to register the node, in vain: \(known.errorText)",
                    at: node.host.name,
                    remedy: "look at kubelet's log on the node: journalctl --unit kubelet"
                )
            }
            try await Task.sleep(for: .milliseconds(200))
        }
        let result = try await kubectl(["patch", "node", node.name, "--patch", patch], through: master)
        guard result.status == 0 else {
            throw Failure(
                .commandFailed,
                "cannot give the node its part \(part.network) of the pod network: \(result.errorText)",
                at: node.host.name
            )
        }
    }

    /// Polls the nodes' conditions until all are `Ready`.
    public func waitUntilReady(
        _ nodes: [ClusterNode],
        through master: ClusterNode,
        limit: Duration,
        step: Step
    ) async throws -> [NodeStatus] {
        let end = ContinuousClock.now + limit
        while true {
            let statuses = try await nodeStatuses(through: master)
            let ready = Set(statuses.filter(\.isReady).map(\.name))
            let waiting = nodes.map(\.name).filter { !ready.contains($0) }
            step.advance(Int64(nodes.count - waiting.count), of: Int64(nodes.count), unit: .items)
            if waiting.isEmpty { return statuses }
            guard ContinuousClock.now < end else {
                let reasons = waiting.map { name in
                    "\(name): \(statuses.first { $0.name == name }?.reason ?? "is no member of the cluster")"
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

    /// Polls the pods until all are well. Pods may still be made meanwhile: two looks in a row must agree.
    ///
    /// The control plane's own pods are left out: kubelet tells of their readiness up to a minute late. The API server's
    /// `/readyz` speaks for it and for etcd, the nodes' and pods' progress for the other two.
    public func waitUntilPodsReady(through master: ClusterNode, limit: Duration, step: Step) async throws -> [PodStatus]
    {
        let end = ContinuousClock.now + limit
        var before: Set<String>?
        while true {
            let health = try await kubectl(["get", "--raw=/readyz"], through: master)
            let result = try await kubectl(["get", "pods", "--all-namespaces", "--output=json"], through: master)
            guard result.status == 0 else {
                throw Failure(.commandFailed, "cannot list the pods: \(result.errorText)", at: master.host.name)
            }
            let pods = try PodStatus.list(fromJSON: result.output)
            let unwell = pods.filter { !$0.isWell && !$0.isStatic }
            step.advance(Int64(pods.count - unwell.count), of: Int64(pods.count), unit: .items)
            let names = Set(pods.map(\.name))
            if health.status == 0, unwell.isEmpty, names == before { return pods }
            before = unwell.isEmpty ? names : nil
            guard ContinuousClock.now < end else {
                var reasons = unwell.map { "\($0.name): \($0.reason)" }
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

    private func nodeStatuses(through master: ClusterNode) async throws -> [NodeStatus] {
        let result = try await kubectl(["get", "nodes", "--output=json"], through: master)
        guard result.status == 0 else {
            throw Failure(.commandFailed, "cannot list the nodes: \(result.errorText)", at: master.host.name)
        }
        return try NodeStatus.list(fromJSON: result.output)
    }

    private func kubectl(_ arguments: [String], through master: ClusterNode) async throws -> CommandResult {
        try await master.host.run(
            RemoteCommand(
                ["kubectl", "--kubeconfig", Self.administratorFile.string, "--request-timeout=10s"] + arguments
            ),
            limit: .seconds(30),
            output: { _ in }
        )
    }

    /// Reads the administrator's kubeconfig and points it at the master's address, which the operator's side can reach.
    public func kubeconfig(of master: ClusterNode) async throws -> Data {
        guard let bytes = try await master.host.readFile(Self.administratorFile, limit: 1 << 20) else {
            throw Failure(.notFound, "there is no \(Self.administratorFile)", at: master.host.name)
        }
        let port = ClusterNames.apiServerPort
        let text = String(decoding: bytes, as: UTF8.self)
            .replacing("https://\(ClusterNames.apiServer):\(port)", with: "https://\(master.address):\(port)")
        return Data(text.utf8)
    }
}
