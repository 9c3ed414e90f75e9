import FoundationEssentials
import Remote
import Report
import SystemPackage
import YAML

/// A running cluster takes another configuration: the part that lies in the cluster, and the masters' static pods.
extension Kubeadm {
    private static let components = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"]

    static func manifest(of component: String) -> FilePath {
        FilePath("/etc/kubernetes/manifests/\(component).yaml")
    }

    /// The static pods' files that `reconfigureControlPlane` writes.
    public static let controlPlaneFiles = components.map(manifest)

    /// The purpose under which the files of the control plane are kept.
    static let controlPlanePurpose = "control-plane"

    // MARK: - In the cluster

    /// Runs `kubeadm init phase upload-config all`, and the add-ons' phases where they are concerned. kubeadm makes no token
    /// of these phases' file: the one in it is never one of the cluster's.
    public func uploadConfiguration(
        _ parts: Set<ConfigurationChange.Part>, through master: ClusterNode, step: Step
    ) async throws {
        try await phase(["upload-config", "all"], on: master, step: step)
        if parts.contains(.dns) {
            if settings.hasCoreDNS {
                try await phase(["addon", "coredns"], on: master, step: step)
                try await waitForRollout("deployment/coredns", through: master, step: step)
            } else {
                step.note("the image carries no CoreDNS, so nothing is there that the change of its settings concerns")
            }
        }
        guard parts.contains(.kubeProxy) else { return }
        let proxy = try await must(
            ["--namespace=kube-system", "get", "daemonset", "kube-proxy", "--ignore-not-found", "--output=name"],
            "look for kube-proxy", through: master)
        guard !proxy.output.isEmpty else {
            step.note("the cluster has no kube-proxy, so nothing is there that the change of its settings concerns")
            return
        }
        try await phase(["addon", "kube-proxy"], on: master, step: step)
        // It reads its configuration at its start only.
        try await must(
            ["--namespace=kube-system", "rollout", "restart", "daemonset/kube-proxy"], "start kube-proxy anew",
            through: master)
        try await waitForRollout("daemonset/kube-proxy", through: master, step: step)
    }

    /// Polls until all pods of a daemon set or a deployment are those of its present template, and available.
    private func waitForRollout(_ name: String, through master: ClusterNode, step: Step) async throws {
        let fields =
            name.hasPrefix("daemonset/")
            ? ["desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"]
            : ["replicas", "updatedReplicas", "availableReplicas"]
        let paths = ["metadata.generation", "status.observedGeneration"] + fields.map { "status.\($0)" }
        let template = paths.map { "{.\($0)}" }.joined(separator: ",")
        let limit = Duration.seconds(300)
        let end = ContinuousClock.now + limit
        while true {
            let result = try await must(
                ["--namespace=kube-system", "get", name, "--output=jsonpath=\(template)"], "look at \(name)",
                through: master)
            // What is not set is zero.
            let numbers = result.outputText.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
            guard numbers.count == paths.count else {
                throw Failure(
                    .integrity, "kubectl says \"\(result.outputText)\" of \(name)", at: master.host.name)
            }
            step.advance(Int64(min(numbers[3], numbers[4])), of: Int64(numbers[2]), unit: .items)
            if numbers[1] >= numbers[0], numbers[3] == numbers[2], numbers[4] >= numbers[2] { return }
            guard ContinuousClock.now < end else {
                throw Failure(
                    .timeout,
                    "after \(limit.inWords) \(numbers[3]) of \(numbers[2]) pods of \(name) have the new settings, "
                        + "\(numbers[4]) are available",
                    at: settings.name,
                    remedy: "look at them: kubectl --namespace kube-system describe \(name)")
            }
            try await Task.sleep(for: .milliseconds(500))
        }
    }

    // MARK: - On a master

    /// Runs `kubeadm init phase control-plane all` with the master's own data, and waits until its API server answers, and
    /// until the pods that it shows are those of the files. When that does not come, the former files are brought back.
    public func reconfigureControlPlane(of master: ClusterNode, certificates: [CertificateFile], step: Step)
        async throws
    {
        let pair = try await outdated(certificates, on: master)
        if !pair.isEmpty { step.note("the API server gets a certificate with other names") }
        try await CertificateFile.place(pair, on: master.host)
        try await change(Self.components, of: master, for: Self.controlPlanePurpose, step: step) {
            try await phase(["control-plane", "all"], on: master, step: step)
        }
        if !certificates.isEmpty { try await waitForCertificate(on: master, step: step) }
        try await FormerFiles.forget(Self.controlPlanePurpose, on: master.host)
    }

    /// Has manifests written, and waits until their pods are those that run. When that does not come, the former files are
    /// brought back.
    func change(
        _ components: [String], of master: ClusterNode, for purpose: String, step: Step, write: () async throws -> Void
    ) async throws {
        let before = try await mirrors(on: master)?.mapValues(\.hash) ?? [:]
        // A manifest that is not there is nothing to go back to.
        let manifests = components.map(Self.manifest)
        let present = try await master.host.inspect(manifests)
        let former = try await FormerFiles.keep(
            manifests.filter { present[$0.string] != nil }, for: purpose, on: master.host)
        do {
            try await write()
            try await Failpoint.reach("manifests \(purpose) \(master.name)")
            try await waitForStaticPods(components, on: master, former: former, hashesBefore: before, step: step)
        } catch let error as RefusedArgument {
            throw await takeBack(
                former, for: purpose, on: master, after: error.failure(on: master.host.name), of: error.component)
        } catch let error as Failure {
            throw await takeBack(former, for: purpose, on: master, after: error, of: components[0])
        }
    }

    /// The API server's certificate and key, when what the master has is good for other names; else nothing. The other
    /// certificates hold no names that could change, and some are read at their owner's start only.
    private func outdated(_ certificates: [CertificateFile], on master: ClusterNode) async throws -> [CertificateFile] {
        let (name, key) = ("apiserver.crt", "apiserver.key")
        guard let wanted = certificates.first(where: { $0.path == name }) else { return [] }
        let present = try await master.host.readFile(CertificateFile.kubeadmFolder.appending(name), limit: 1 << 20)
        let names = try CertificateFile.names(inPEM: wanted.bytes)
        do {
            if let present, try CertificateFile.names(inPEM: present) == names { return [] }
        } catch {
            // What is no certificate is replaced like one of other names.
        }
        // The key first: whoever comes after an interruption sees by the certificate that it is not done.
        return [key, name].compactMap { path in certificates.first { $0.path == path } }
    }

    /// The API server of the master itself, not that of another one.
    func ownServer(_ master: ClusterNode) -> String { "--server=\(Self.server(at: master.address))" }

    /// kubectl's arguments that ask an API server whether it is ready.
    var healthQuestion: [String] { ["get", "--raw=\(settings.version.healthPath)"] }

    /// Whether the master's own API server answers, which it does with its etcd.
    public func answers(_ master: ClusterNode) async throws -> Bool {
        try await kubectl([ownServer(master)] + healthQuestion, through: master).status == 0
    }

    /// The master's static pods as its own API server shows them; nil when it does not answer.
    private func mirrors(on master: ClusterNode) async throws -> [String: StaticPod]? {
        guard try await answers(master) else { return nil }
        let result = try await kubectl(
            [
                ownServer(master), "--namespace=kube-system", "get", "pods",
                "--field-selector=spec.nodeName=\(master.name)", "--output=json",
            ], through: master)
        return result.status == 0 ? try StaticPod.mirrors(fromJSON: result.output) : nil
    }

    private func waitForStaticPods(
        _ components: [String], on master: ClusterNode, former: FormerFiles, hashesBefore: [String: String?], step: Step
    ) async throws {
        var wanted: [(name: String, pod: StaticPod, isNew: Bool)] = []
        for component in components {
            let file = Self.manifest(of: component)
            guard let bytes = try await master.host.readFile(file, limit: 1 << 20) else {
                throw Failure(.integrity, "kubeadm ended well, but left no \(file)", at: master.host.name)
            }
            let pod = try StaticPod(manifest: bytes, at: "\(master.host.name):\(file)")
            let isNew = former.files.first { $0.path == file.string }?.content != bytes
            if isNew { step.note("\(component) gets another manifest") }
            wanted.append(("\(component)-\(master.name)", pod, isNew))
        }
        let limit = Duration.seconds(240)
        let end = ContinuousClock.now + limit
        var looks = 0
        while true {
            var reasons: [String] = []
            if let pods = try await mirrors(on: master) {
                reasons = wanted.compactMap { item in
                    guard let pod = pods[item.name] else { return "\(item.name) is not there" }
                    guard pod.body == item.pod.body else { return "\(item.name) is not the one of its manifest yet" }
                    // The hash tells of what is not compared; it says nothing when the change was in the file before.
                    if item.isNew, let before = hashesBefore[item.name], before != nil, before == pod.hash,
                        former.isFromNow
                    {
                        return "\(item.name) is the former one still"
                    }
                    return pod.isReady ? nil : "\(item.name) is not ready"
                }
            } else {
                reasons = ["the API server does not answer"]
            }
            step.advance(Int64(max(wanted.count - reasons.count, 0)), of: Int64(wanted.count), unit: .items)
            if reasons.isEmpty { return }
            looks += 1
            if looks.isMultiple(of: 4) {
                for (component, item) in zip(components, wanted) {
                    if let refused = try await refusedArgument(of: component, item.pod, on: master) { throw refused }
                }
            }
            guard ContinuousClock.now < end else {
                throw Failure(
                    .timeout,
                    "\(components.joined(separator: ", ")) did not take the new configuration in \(limit.inWords): "
                        + reasons.joined(separator: "; "),
                    at: master.host.name)
            }
            try await Task.sleep(for: .milliseconds(500))
        }
    }

    /// Waits until the API server shows a certificate that is good for every name: it reads the file once a minute.
    private func waitForCertificate(on master: ClusterNode, step: Step) async throws {
        // Earlier kubectl cannot ask for a name, and earlier API servers may not look at the file again.
        guard settings.version >= KubernetesVersion(1, 19) else {
            step.note("the API server takes its new certificate when it is started the next time")
            return
        }
        let limit = Duration.seconds(180)
        let end = ContinuousClock.now + limit
        let service = "kubernetes.default.svc.\(try configuration.dnsDomain())"
        for name in configuration.certificateNames + [service] {
            // A name with a star stands for all of that form.
            let asked = name.hasPrefix("*") ? "any\(name.dropFirst())" : name
            while true {
                let result = try await kubectl(
                    [ownServer(master), "--tls-server-name=\(asked)"] + healthQuestion, through: master)
                if result.status == 0 { break }
                guard ContinuousClock.now < end else {
                    throw Failure(
                        .timeout,
                        "the API server shows no certificate for \(name) after \(limit.inWords): \(result.errorText)",
                        at: master.host.name)
                }
                try await Task.sleep(for: .seconds(1))
            }
        }
    }

    // MARK: - Phases

    /// Runs a phase of `kubeadm init` with the master's own data.
    private func phase(_ names: [String], on master: ClusterNode, step: Step) async throws {
        let token = BootstrapToken()
        let runtime = try await preparation.runtime(of: master)
        let file = try configuration.initFile(for: KubeadmNode(master, runtime: runtime), token: token, isAlone: false)
        for note in file.notes { step.note(note) }
        try await kubeadm(
            ["kubeadm", "init", "phase"] + names + ["--config", Self.configurationFile.string],
            configuration: file.bytes, token: token, on: master, limit: .seconds(120), step: step)
    }
}
