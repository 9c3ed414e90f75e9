import Remote
import Report
import SystemPackage

/// Other arguments for the etcd of a master.
extension Kubeadm {
    /// The static pod's file that `reconfigureEtcd` writes.
    public static let etcdFiles = [manifest(of: "etcd")]

    /// The purpose under which etcd's file is kept.
    static let etcdPurpose = "etcd"

    /// How long an etcd that an interrupted command gave other arguments may take to run with them.
    private static let startLimit = Duration.seconds(60)

    /// Has `kubeadm init phase etcd local` write the manifest, with arguments that name all members: that phase alone would name
    /// the master as the whole cluster, and an etcd that has lost its data would begin an empty one.
    public func reconfigureEtcd(of master: ClusterNode, through: ClusterNode, step: Step) async throws {
        // It does not run with what an interrupted command gave it, so that nobody could see whether it runs with this.
        if try await isCut(master), try await !comesBack(master, within: Self.startLimit) {
            try await bringBackFormerSettings(of: [master], step: step)
        }
        try await waitUntilShown("etcd-\(through.name)", on: through)
        let members = try await etcdMembers(through: through)
        for member in members where member.name != master.name {
            let health = try await etcd(
                ["endpoint", "health", "--endpoints=\(member.clientAddress)"], through, mayFail: true)
            guard health.status == 0 else {
                throw Failure(
                    .conflict,
                    "etcd of \(member.name) does not answer: starting the one of \(master.name) anew could stop the cluster",
                    at: master.host.name, remedy: "bring \(member.name) up first, then run it again")
            }
        }
        let runtime = try await preparation.runtime(of: master)
        let token = BootstrapToken()
        let file = try configuration.etcdFile(
            for: KubeadmNode(master, runtime: runtime), token: token,
            members: members.flatMap { member in member.peerAddresses.map { (member.name, $0) } })
        try await change(["etcd"], of: master, for: Self.etcdPurpose, step: step) {
            try await kubeadm(
                ["kubeadm", "init", "phase", "etcd", "local", "--config", Self.configurationFile.string],
                configuration: file.bytes, token: token, on: master, limit: .seconds(60), step: step)
        }
        try await FormerFiles.forget(Self.etcdPurpose, on: master.host)
    }

    /// Waits until a static pod can be asked. While its etcd was down kubelet could not tell the API server of it, and it tells it
    /// again more than a minute later, or when it starts.
    private func waitUntilShown(_ pod: String, on master: ClusterNode) async throws {
        func isShown() async throws -> Bool {
            try await kubectl(["--namespace=kube-system", "get", "pod", pod, "--output=name"], through: master).status
                == 0
        }
        if try await isShown() { return }
        try await startKubeletAnew(on: master)
        let limit = Duration.seconds(150)
        let end = ContinuousClock.now + limit
        while try await !isShown() {
            guard ContinuousClock.now < end else {
                throw Failure(
                    .timeout, "the pod \(pod), by which etcd is asked, is not there after \(limit.inWords)",
                    at: master.host.name, remedy: "see why on the host: journalctl --unit kubelet")
            }
            try await Task.sleep(for: .seconds(1))
        }
    }
}
