import ClusterRuntime
import Clusterfile
import FoundationEssentials
import LinuxSystem
import Report
import Synchronization
import SystemPackage

/// What the operator's folder keeps of a cluster, so that it can be reached and goes on to be trusted.
extension ClusterWork {
    /// What the folder does not know of the cluster's trust is taken over from a master; what nobody knows is new.
    func settleIdentity(_ hosts: [HostObservation]) async throws {
        let cluster = source.cluster
        var identity = source.identity
        guard !identity.isKept else { return }
        if let master = hosts.first(where: { $0.member.isMaster && $0.mark?.membership == .complete }) {
            try await identity.adopt(from: try await pool.connection(master.host).host, of: cluster)
        }
        if keepsIdentity { try await identity.keep(cluster, in: folder) }
        let settled = identity
        scene.withLock { $0.source.identity = settled }
    }

    /// Fetches the administrator's kubeconfig where the folder has none, or one that leads to no master any more.
    func refreshKubeconfig() async throws {
        let folder = folder
        let present = try await BlockingPool.shared.run { try folder.readSecret("kubeconfig") }
        let text = String(decoding: present ?? Data(), as: UTF8.self)
        let masters = try blueprint().nodes.filter(\.isMaster)
        guard !masters.contains(where: { text.contains(Kubeadm.server(at: $0.address)) }) else { return }
        try await keepKubeconfig(of: try await first())
    }

    func keepKubeconfig(of master: ClusterNode) async throws {
        let kubeconfig = try await runtime.kubeconfig(of: master)
        let folder = folder
        try await BlockingPool.shared.run { try folder.writeSecret(kubeconfig, "kubeconfig") }
    }
}
