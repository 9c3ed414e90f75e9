import FoundationEssentials
import Remote
import Report
import SystemPackage
import YAML

/// A node's kubelet takes the cluster's configuration.
extension Kubeadm {
    private static let kubeletConfiguration: FilePath = "/var/lib/kubelet/config.yaml"
    private static let kubeletFlags: FilePath = "/var/lib/kubelet/kubeadm-flags.env"
    /// kubelet's files that `reconfigureKubelet` writes.
    public static let kubeletFiles: [FilePath] = [kubeletConfiguration, kubeletFlags]
    /// The purpose under which kubelet's files are kept.
    static let kubeletPurpose = "kubelet"

    /// Runs `kubeadm upgrade node phase kubelet-config`, writes kubelet's flags, starts kubelet anew and waits until it is well
    /// and the node `Ready`. When kubelet does not come up, the former files are brought back.
    public func reconfigureKubelet(of node: ClusterNode, through master: ClusterNode, step: Step) async throws {
        let wasReady = try await readiness(of: node, through: master)?.isReady == true
        let former = try await FormerFiles.keep(Self.kubeletFiles, for: Self.kubeletPurpose, on: node.host)
        do {
            try await node.host.check(
                RemoteCommand(["kubeadm", "upgrade", "node", "phase", "kubelet-config"]),
                purpose: "kubeadm upgrade node phase kubelet-config", limit: .seconds(120),
                output: { step.note($0.text) })
            try await writeFlags(of: node, former: former)
            let start = try await restartKubelet(on: node)
            try await waitForKubelet(on: node, since: start)
            do {
                try await waitForReady(node, since: start, through: master, step: step)
            } catch let error as Failure where !wasReady {
                // It was not ready with the former files either: they are not worth going back to.
                try await FormerFiles.forget(Self.kubeletPurpose, on: node.host)
                throw Unmended(failure: error)
            }
        } catch let error as Unmended {
            throw error.failure
        } catch let error as Failure {
            throw await takeBackKubelet(former, on: node, after: error)
        }
        try await FormerFiles.forget(Self.kubeletPurpose, on: node.host)
    }

    /// Starts kubelet anew and waits until it is well and the node `Ready`. A node that lacks only its pod network is as good:
    /// what brings that may be still to come.
    public func restartKubelet(of node: ClusterNode, through master: ClusterNode, step: Step) async throws {
        let start = try await restartKubelet(on: node)
        try await waitForKubelet(on: node, since: start)
        try await waitForReady(node, since: start, through: master, orLacksNetwork: true, step: step)
    }

    /// A failure after which nothing is taken back.
    private struct Unmended: Error {
        var failure: Failure
    }

    // MARK: - Flags

    private func writeFlags(of node: ClusterNode, former: FormerFiles) async throws {
        let member = KubeadmNode(node, runtime: try await preparation.runtime(of: node))
        let bytes = try await node.host.readFile(Self.kubeletFlags, limit: 1 << 20)
        let old = bytes.flatMap { KubeletFlags(parsing: String(decoding: $0, as: UTF8.self)) }
        // Only members that joined are told the driver by a flag: the first master's is the cluster's.
        let isJoined = node.role == .node || old?.contains("cgroup-driver") == true
        var arguments = try configuration.kubeletArguments(of: member, isJoined ? .joined : .initialised)
        if !isJoined, !arguments.contains(where: { $0.name == "cgroup-driver" }),
            try await configured(on: node)["cgroupDriver"]?.scalar?.text != member.runtime.cgroupDriver
        {
            // The cluster's is another master's by now.
            arguments.append(("cgroup-driver", [member.runtime.cgroupDriver]))
        }
        let flags = (old ?? KubeletFlags(flags: [])).with(
            arguments, registered: configuration.runtimeFlags(of: member))
        guard Data(flags.text.utf8) != bytes else { return }
        try await node.host.writeFile(Self.kubeletFlags, Data(flags.text.utf8), permissions: 0o644)
    }

    /// kubelet's configuration as it lies on the node.
    private func configured(on node: ClusterNode) async throws -> YAMLMapping {
        guard let bytes = try await node.host.readFile(Self.kubeletConfiguration, limit: 1 << 20) else { return [:] }
        let place = "\(node.host.name):\(Self.kubeletConfiguration)"
        return try YAMLDocuments.parseOne(String(decoding: bytes, as: UTF8.self), file: place).mapping ?? [:]
    }

    // MARK: - Starting kubelet

    /// After so many seconds Kubernetes has noticed that a node is silent; its own default is 40.
    static let graceOfNodes: Int64 = 60

    /// When a node's kubelet was started, where that is not so long ago that Kubernetes would have missed it by itself.
    public func kubeletStart(of node: ClusterNode) async throws -> Int64? {
        // systemd's words for it are in the host's language and time zone; the kernel's clock has neither.
        let result = try await node.host.run(
            .script(
                """
                systemctl show --property=ActiveEnterTimestampMonotonic kubelet.service
                cat /proc/uptime
                date +%s
                """), limit: .seconds(30), output: { _ in })
        return result.status == 0 ? Self.start(result.outputText) : nil
    }

    /// Reads what `kubeletStart` asks for; nil where kubelet has not been started since the host was, or long ago.
    static func start(_ text: String) -> Int64? {
        let lines = text.split(separator: "\n")
        guard lines.count == 3, let start = lines[0].split(separator: "=").last.flatMap({ Int64($0) }), start > 0,
            let uptime = lines[1].split(separator: " ").first.flatMap({ Double($0) }), uptime.magnitude < 1e12,
            let now = Int64(lines[2])
        else { return nil }
        let age = Int64(uptime) - start / 1_000_000
        // The two clocks may be of different machines where a container is shown its own.
        guard (0...graceOfNodes).contains(age) else { return nil }
        return now - age
    }

    /// When kubelet was started, by the node's own clock.
    struct Start {
        /// Seconds since 1970.
        var seconds: String
        /// As Kubernetes writes it.
        var text: String
    }

    @discardableResult
    func restartKubelet(on node: ClusterNode) async throws -> Start {
        // A second without kubelet, so that what it reports from then on is not the former one's. Whatever happens to the
        // connection meanwhile, kubelet is started.
        let result = try await node.host.check(
            .script(
                """
                trap '' TERM HUP
                systemctl reset-failed kubelet.service || true
                systemctl stop kubelet.service
                sleep 1
                date -u '+%s %Y-%m-%dT%H:%M:%SZ'
                systemctl start kubelet.service
                """), purpose: "starting kubelet anew", limit: .seconds(120))
        let words = result.outputText.split(whereSeparator: \.isWhitespace).map(String.init)
        guard words.count >= 2 else {
            throw Failure(
                .integrity, "the node's clock says \"\(result.outputText)\"", at: node.host.name)
        }
        return Start(seconds: words[words.count - 2], text: words[words.count - 1])
    }

    /// Waits until kubelet says that it is well.
    ///
    /// - Throws: `Failure` of kind `commandFailed` with the telling lines of its log.
    private func waitForKubelet(on node: ClusterNode, since start: Start) async throws {
        let fields = try await configured(on: node)
        let port = fields["healthzPort"]?.integer ?? 10248
        // Nobody asks a kubelet that shall not answer; the node's report must do then.
        guard port != 0 else { return }
        var address = fields["healthzBindAddress"]?.scalar?.text ?? "127.0.0.1"
        if ["", "0.0.0.0", "::"].contains(address) { address = "127.0.0.1" }
        let limit = Duration.seconds(90)
        let end = ContinuousClock.now + limit
        while true {
            // No curl: not every host has one.
            let result = try await node.host.check(
                .script(
                    """
                    systemctl show --property=NRestarts kubelet.service
                    answer=$( (exec 3<>"/dev/tcp/$ADDRESS/$PORT"
                        printf 'GET /healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3
                        timeout 5 cat <&3) 2>/dev/null || true)
                    case $answer in "HTTP/1."?" 200"*) echo well ;; *) echo unwell ;; esac
                    """, environment: ["ADDRESS": address, "PORT": String(port)]),
                purpose: "looking at kubelet", limit: .seconds(30))
            let words = result.outputText.split(whereSeparator: \.isWhitespace)
            if words.last == "well" { return }
            let restarts = words.first { $0.hasPrefix("NRestarts=") }.flatMap { Int($0.dropFirst("NRestarts=".count)) }
            guard (restarts ?? 0) < 3, ContinuousClock.now < end else { break }
            try await Task.sleep(for: .milliseconds(500))
        }
        let log = try await node.host.run(
            RemoteCommand([
                "journalctl", "--no-pager", "--output=cat", "--lines=400", "--unit=kubelet.service",
                "--since=@\(start.seconds)",
            ]), limit: .seconds(20), output: { _ in })
        let lines = Self.tellingLines(log.outputText)
        throw Failure(
            .commandFailed,
            "kubelet does not come up with the cluster's configuration; its log says:\n\(lines.joined(separator: "\n"))",
            at: node.host.name)
    }

    /// The lines of a log that say why a program ended: klog's errors and fatal ones, and what is printed before it has a log.
    /// Where there are none, the last lines.
    static func tellingLines(_ log: String) -> [String] {
        let lines = log.split(separator: "\n").map(String.init)
        func isKlog(_ line: String, _ severities: String) -> Bool {
            guard let first = line.first, severities.contains(first) else { return false }
            return line.dropFirst().prefix(4).count == 4 && line.dropFirst().prefix(4).allSatisfy(\.isNumber)
        }
        var seen: Set<String> = []
        func last(_ isTelling: (String) -> Bool) -> [String] {
            seen = []
            // The same again with each restart: klog's head has the time, what follows the bracket is the message.
            let found = lines.reversed().filter(isTelling).filter { line in
                seen.insert(line.split(separator: "] ", maxSplits: 1).last.map(String.init) ?? line).inserted
            }
            return Array(found.prefix(5).reversed())
        }
        let fatal = last { isKlog($0, "F") || $0.hasPrefix("Error: ") }
        if !fatal.isEmpty { return fatal }
        let errors = last { isKlog($0, "E") || $0.contains("err=") }
        return errors.isEmpty ? Array(lines.suffix(10)) : errors
    }

    // MARK: - The node's report

    private struct Readiness {
        var isReady: Bool
        var reported: String
        /// Whether all it lacks is the pod network (kubelet's words for the runtime's `NetworkReady` condition).
        var lacksNetwork: Bool
    }

    /// What the node said last of itself; nil when nobody knows.
    private func readiness(of node: ClusterNode, through master: ClusterNode) async throws -> Readiness? {
        let template = #"{range .status.conditions[?(@.type=="Ready")]}{.status} {.lastHeartbeatTime} {.message}{end}"#
        let result = try await kubectl(["get", "node", node.name, "--output=jsonpath=\(template)"], through: master)
        let words = result.outputText.split(separator: " ")
        guard result.status == 0, words.count >= 2 else { return nil }
        return Readiness(
            isReady: words[0] == "True", reported: String(words[1]),
            lacksNetwork: words.dropFirst(2).contains { $0.contains("NetworkPluginNotReady") })
    }

    private func waitForReady(
        _ node: ClusterNode, since start: Start, through master: ClusterNode, orLacksNetwork: Bool = false, step: Step
    ) async throws {
        let limit = Duration.seconds(180)
        let end = ContinuousClock.now + limit
        while true {
            // kubelet reports as soon as it has started, by the same clock; both are written alike, so that they sort.
            let state = try await readiness(of: node, through: master)
            if let state, state.isReady || orLacksNetwork && state.lacksNetwork, state.reported >= start.text { return }
            guard ContinuousClock.now < end else {
                let what =
                    state.map { $0.reported < start.text ? "it has not reported since" : "it is not Ready" }
                    ?? "the API server does not tell"
                throw Failure(
                    .timeout, "kubelet was started anew, but the node was not Ready \(limit.inWords) later: \(what)",
                    at: node.host.name, remedy: "look at kubelet's log on the node: journalctl --unit kubelet")
            }
            try await Task.sleep(for: .milliseconds(500))
        }
    }

    // MARK: - Going back

    private func takeBackKubelet(_ former: FormerFiles, on node: ClusterNode, after failure: Failure) async -> Failure {
        var failure = failure
        do {
            try await former.bringBack(on: node.host)
            let start = try await restartKubelet(on: node)
            try await waitForKubelet(on: node, since: start)
            try await FormerFiles.forget(Self.kubeletPurpose, on: node.host)
            failure.what += "\nthe former configuration was brought back, and kubelet runs"
        } catch {
            failure.what += "\nthe former configuration was to be brought back, but kubelet does not run"
            failure.causes.append(error)
        }
        failure.remedy = "correct the KubeletConfiguration in the Clusterfile, then run it again"
        return failure
    }
}
