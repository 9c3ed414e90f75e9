import OCI
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
    public func reconfigureEtcd(
        of master: ClusterNode, among masters: [ClusterNode], through: ClusterNode, step: Step
    ) async throws {
        // Who does not run with what an interrupted command gave it would keep the others from being changed, and could not be seen
        // to run with this.
        var broken: [ClusterNode] = []
        for other in masters where try await isCut(other) {
            if try await !comesBack(other, within: Self.startLimit) { broken.append(other) }
        }
        if !broken.isEmpty { try await bringBackFormerSettings(of: broken, step: step) }
        // One that only learns has no vote that could be missing, and may never have started.
        let members = try await etcdMembers(through: through).filter { !$0.isLearner }
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
        let tag = try await presentTag(on: master)
        try await change(["etcd"], of: master, for: Self.etcdPurpose, step: step) {
            try await writeEtcdManifest(on: master, members: members, imageTag: tag, step: step)
        }
        try await FormerFiles.forget(Self.etcdPurpose, on: master.host)
    }

    /// The tag of the image that etcd runs: another version of it is another matter. Nil where it has no manifest.
    private func presentTag(on master: ClusterNode) async throws -> String? {
        guard let file = Self.etcdFiles.first, let bytes = try await master.host.readFile(file, limit: 1 << 20) else {
            return nil
        }
        let image = try StaticPod(manifest: bytes, at: "\(master.host.name):\(file)").body.image
        return try Reference(image).tag
    }
}
