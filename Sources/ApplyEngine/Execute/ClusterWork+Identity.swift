import ClusterRuntime
import Clusterfile
import FoundationEssentials
import LinuxSystem
import Remote
import Report
import Synchronization
import SystemPackage

/// What the operator's folder keeps of a cluster, so that it can be reached and goes on to be trusted.
extension ClusterWork {
    /// What the folder does not know of the cluster's trust is taken over from its masters, from the one that it is asked through
    /// to begin with; what nobody knows is new.
    func settleIdentity(_ seen: ClusterObservation) async throws {
        var identity = source.identity
        guard !identity.isKept else { return }
        if let kubernetes = seen.kubernetes {
            let others = seen.hosts.filter { $0.isMasterOfCluster && $0.host != kubernetes.through }.map(\.host)
            var masters: [any Host] = []
            for name in [kubernetes.through] + others { masters.append(try await pool.connection(name).host) }
            try await identity.adopt(from: masters, of: source.cluster)
        }
        try identity.check()
        set(identity)
    }

    /// Writes it into the folder, before a host is given any of it.
    func keepIdentity() async throws {
        var identity = source.identity
        try await identity.keep(source.cluster, in: folder)
        set(identity)
    }

    private func set(_ identity: ClusterIdentity) { scene.withLock { $0.source.identity = identity } }

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
