import Clusterfile
import FoundationEssentials
import Remote
import Report
import SystemPackage

/// Kubernetes by the image's own kubeadm.
public struct Kubeadm: KubernetesRuntime {
    static let administratorFile: FilePath = "/etc/kubernetes/admin.conf"
    static let authorityFile: FilePath = "/etc/kubernetes/pki/ca.crt"
    static let configurationFile: FilePath = "/etc/kubernetes/sealer-kubeadm.yaml"

    let settings: ClusterSettings
    let preparation: NodePreparation
    let configuration: KubeadmConfiguration

    /// Makes the runtime.
    ///
    /// - Throws: `Failure` of kind `invalidInput` for a Kubernetes version that is too old.
    public init(_ settings: ClusterSettings) throws(Failure) {
        self.settings = settings
        preparation = NodePreparation(settings)
        configuration = try KubeadmConfiguration(settings)
    }

    // MARK: - Members

    /// kubeadm finds these below `/etc/kubernetes/pki` and makes none itself.
    public func certificates(of master: ClusterNode, under authorities: ClusterAuthorities, years: Int) throws
        -> [CertificateFile]
    {
        try NodeCertificates(
            .init(
                node: master.name, addresses: [master.address], dnsDomain: try configuration.dnsDomain(),
                serviceNetworks: settings.network.services.map(\.description), more: configuration.certificateNames),
            authorities: authorities, years: years
        ).files
    }

    /// Runs `kubeadm init`. Its token is thrown away: members get tickets of their own.
    public func initialise(_ master: ClusterNode, isAlone: Bool, step: Step) async throws {
        try await forgetFormerFiles(on: master)
        let token = BootstrapToken()
        let runtime = try await preparation.runtime(of: master)
        let file = try configuration.initFile(
            for: KubeadmNode(master, runtime: runtime), token: token, isAlone: isAlone)
        for note in file.notes { step.note(note) }
        let skipped = configuration.skippedPhases(programs: master.facts.programs)
        for (phase, reason) in skipped { step.note("phase \(phase) is skipped: \(reason)") }
        var arguments = ["kubeadm", "init", "--config", Self.configurationFile.string]
        if !skipped.isEmpty { arguments.append("--skip-phases=\(skipped.map(\.phase).joined(separator: ","))") }
        try await kubeadm(
            arguments, configuration: file.bytes, token: token, on: master, limit: .seconds(360), step: step)
        try await assignPodNetwork(to: master, through: master)
    }

    /// Makes a bootstrap token in the cluster, and waits until the controller manager has signed the cluster's public
    /// information with it. kubeadm would find that out too, but looks only every five seconds.
    public func makeTicket(through master: ClusterNode) async throws -> JoinTicket {
        guard let certificate = try await master.host.readFile(Self.authorityFile, limit: 1 << 20) else {
            throw Failure(.notFound, "the master has no \(Self.authorityFile)", at: master.host.name)
        }
        let hash = try publicKeyHash(
            ofCertificate: String(decoding: certificate, as: UTF8.self),
            at: "\(master.host.name):\(Self.authorityFile)")
        let token = BootstrapToken()
        let made = try await kubectl(
            ["apply", "--filename=-"], input: try token.secret(validFor: .seconds(7200), from: .now), through: master)
        guard made.status == 0 else {
            throw Failure(
                .commandFailed, "cannot make a join token: \(token.redacted(made.errorText))", at: master.host.name)
        }
        let end = ContinuousClock.now + .seconds(90)
        let path = "{.data.jws-kubeconfig-\(token.identifier)}"
        while ContinuousClock.now < end {
            let result = try await kubectl(
                ["--namespace=kube-public", "get", "configmap", "cluster-info", "--output=jsonpath=\(path)"],
                through: master)
            if result.status == 0, !result.output.isEmpty {
                return JoinTicket(token: token, authorityHash: hash, made: .now)
            }
            try await Task.sleep(for: .milliseconds(200))
        }
        throw Failure(
            .timeout,
            "waited 90 s for the controller manager to sign kube-public/cluster-info with the join token, in vain",
            at: master.host.name,
            remedy: "look at the pod kube-controller-manager-\(master.name) in kube-system"
        )
    }

    /// Runs `kubeadm join` with the ticket's token and CA hash.
    public func join(_ node: ClusterNode, through master: ClusterNode, ticket: JoinTicket, step: Step) async throws {
        try await forgetFormerFiles(on: node)
        let file = try configuration.joinFile(
            for: KubeadmNode(node, runtime: try await preparation.runtime(of: node)),
            asMaster: node.role == .master,
            token: ticket.token,
            authorityHash: ticket.authorityHash
        )
        for note in file.notes { step.note(note) }
        var skipped = configuration.skippedPreflight(programs: node.facts.programs).map { [$0.phase] } ?? []
        if node.role == .master, etcdEntry == .learning { skipped.append("control-plane-join/etcd") }
        var arguments = ["kubeadm", "join", "--config", Self.configurationFile.string]
        if !skipped.isEmpty { arguments.append("--skip-phases=\(skipped.joined(separator: ","))") }
        try await kubeadm(
            arguments, configuration: file.bytes, token: ticket.token, on: node, limit: .seconds(300), step: step)
        if node.role == .master {
            switch etcdEntry {
            case .learning: try await joinEtcd(node, through: master, step: step)
            case .voting:
                do {
                    try await renewStaleServer(of: master, step: step)
                } catch let failure as Failure {
                    // The node is a member all the same; services that lead nowhere show when pods are waited for.
                    step.note("the API server of \(master.name) could not be started anew: \(failure.what)")
                }
            case .learningByKubeadm: break
            }
        }
        try await assignPodNetwork(to: node, through: master)
    }

    /// Runs the rootfs' own script: `kubeadm reset` needs crictl, which not every image brings.
    public func clean(_ node: ClusterNode, step: Step) async throws {
        try await preparation.run(script: "clean-kube.sh", on: node, step: step)
        // It may have watched a folder that the script took away.
        try await node.host.check(
            .script("! systemctl cat containerd.service >/dev/null 2>&1 || systemctl try-restart containerd.service"),
            purpose: "starting containerd anew",
            limit: .seconds(120))
    }

    /// A new member has no former configuration to go back to, whatever an earlier membership left.
    private func forgetFormerFiles(on node: ClusterNode) async throws {
        for purpose in [Self.kubeletPurpose, Self.controlPlanePurpose, Self.etcdPurpose] {
            try await FormerFiles.forget(purpose, on: node.host)
        }
    }

    /// Runs kubeadm with its configuration in a file that only root can read and that is gone afterwards: it has a token.
    func kubeadm(
        _ arguments: [String],
        configuration: Data,
        token: BootstrapToken,
        on node: ClusterNode,
        limit: Duration,
        step: Step
    ) async throws {
        let purpose = arguments.prefix { !$0.hasPrefix("--") }.joined(separator: " ")
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

    /// Tells Kubernetes which part of the pod network a node has. Its own controller for that would make the controller
    /// manager wait ten seconds at its start; and the change makes kubelet report at once.
    private func assignPodNetwork(to node: ClusterNode, through master: ClusterNode) async throws {
        guard settings.podNetworking == .bridge, let part = node.podNetwork else { return }
        let parts = part.split(separator: ",")
        let list = parts.map { "\"\($0)\"" }.joined(separator: ",")
        let patch = #"{"spec":{"podCIDR":"\#(parts.first ?? "")","podCIDRs":[\#(list)]}}"#
        let end = ContinuousClock.now + .seconds(60)
        while true {
            // kubelet makes the CSINode a moment after the Node; a change before that does not wake it.
            let known = try await kubectl(["get", "csinode", node.name, "--output=name"], through: master)
            if known.status == 0 { break }
            guard ContinuousClock.now < end else {
                throw Failure(
                    .timeout, "waited 60 s for kubelet to register the node, in vain: \(known.errorText)",
                    at: node.host.name, remedy: "look at kubelet's log on the node: journalctl --unit kubelet")
            }
            try await Task.sleep(for: .milliseconds(200))
        }
        try await must(
            ["patch", "node", node.name, "--patch", patch], "give the node its part \(part) of the pod network",
            through: master)
    }

    // MARK: - kubectl

    func kubectl(
        _ arguments: [String], input: Data? = nil, limit: Duration = .seconds(30), through master: ClusterNode,
        output: @escaping @Sendable (OutputLine) -> Void = { _ in }
    ) async throws -> CommandResult {
        try await master.host.run(
            RemoteCommand(
                ["kubectl", "--kubeconfig", Self.administratorFile.string, "--request-timeout=10s"] + arguments,
                input: input),
            limit: limit,
            output: output
        )
    }

    /// Runs kubectl, which must succeed. What a control plane says that is busy with its own members is no answer: it is asked
    /// again for a while, so the command must bear to be repeated.
    ///
    /// - Parameter purpose: completes the message `cannot …`.
    @discardableResult
    func must(
        _ arguments: [String], input: Data? = nil, _ purpose: String, through master: ClusterNode
    ) async throws -> CommandResult {
        try await Self.patiently {
            let result = try await kubectl(arguments, input: input, through: master)
            guard result.status == 0 else {
                let tail = result.errorText.split(separator: "\n").suffix(5).joined(separator: "\n")
                throw Failure(.commandFailed, "cannot \(purpose): \(tail)", at: master.host.name)
            }
            return result
        }
    }

    /// Asks the control plane again, for up to a minute, as long as what it says is no answer: it is busy with its own members. So
    /// what is asked must bear to be repeated.
    public static func patiently<Answer>(_ ask: () async throws -> Answer) async throws -> Answer {
        let end = ContinuousClock.now + .seconds(60)
        while true {
            do {
                return try await ask()
            } catch let failure as Failure where isPassing(failure.what) && ContinuousClock.now < end {
                try await Task.sleep(for: .seconds(1))
            }
        }
    }

    /// Whether an error of kubectl's is of a kind that goes away by itself: etcd chooses a leader or takes a member in, an API
    /// server starts.
    static func isPassing(_ error: String) -> Bool {
        [
            "etcdserver: request timed out", "etcdserver: unhealthy cluster", "etcdserver: leader changed",
            "etcdserver: too many requests",
            "connection refused", "TLS handshake timeout", "i/o timeout", "unexpected EOF", "(ServiceUnavailable)",
            "Timeout: request did not complete", "context deadline exceeded", "Client.Timeout exceeded",
            // containerd's own client: etcd starts, or containerd does.
            ": ctr: ",
        ].contains { error.contains($0) }
    }

    /// The URL of the API server at an address or a name.
    public static func server(at address: String) -> String {
        "https://\(address.contains(":") ? "[\(address)]" : address):\(ClusterNames.apiServerPort)"
    }

    /// Reads the administrator's kubeconfig and points it at the master's address, which the operator's side can reach.
    public func kubeconfig(of master: ClusterNode) async throws -> Data {
        guard let bytes = try await master.host.readFile(Self.administratorFile, limit: 1 << 20) else {
            throw Failure(.notFound, "there is no \(Self.administratorFile)", at: master.host.name)
        }
        let text = String(decoding: bytes, as: UTF8.self)
            .replacing(Self.server(at: ClusterNames.apiServer), with: Self.server(at: master.address))
        return Data(text.utf8)
    }
}
