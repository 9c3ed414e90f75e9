import ClusterRuntime
import Clusterfile
import Remote
import Report
import SystemPackage

/// A running cluster takes another configuration.
extension ClusterWork {
    /// Tells the cluster, and notes before and after that it is told: what was begun is told again.
    func upload(_ parts: [String], _ handle: Step) async throws {
        let blueprint = try blueprint()
        try await noteEtcd(blueprint)
        try await record(try blueprint.configurationRecord(isComplete: false))
        try await runtime.uploadConfiguration(
            Set(parts.compactMap(ConfigurationChange.Part.init(rawValue:))), through: try await first(), step: handle)
        try await record(try blueprint.configurationRecord(isComplete: true))
    }

    func reconfigureControlPlane(_ node: NodeBlueprint, _ handle: Step) async throws {
        let master = try await clusterNode(node)
        let certificates = try runtime.certificates(
            of: master, under: source.identity.authorities, years: source.cluster.certificates.leafYears)
        try await runtime.reconfigureControlPlane(of: master, certificates: certificates, step: handle)
        let taken = try blueprint().configuration.digest(of: .controlPlane)
        try await note(ClusterBlueprint.controlPlaneFiles, of: master.host) { $0.controlPlane = taken }
    }

    /// Masters on which an earlier sealer noted nothing of etcd have what the cluster was told until now. The cluster will not know
    /// that any more.
    private func noteEtcd(_ blueprint: ClusterBlueprint) async throws {
        guard let told = try blueprint.configuration(told: observation?.kubernetes?.record ?? [:]) else { return }
        let taken = try told.digest(of: .etcd)
        for master in try completeMasters(blueprint) where try seen(master.host).mark?.etcd == nil {
            try await marks.change(try await pool.connection(master.host).host) { $0.etcd = $0.etcd ?? taken }
        }
    }

    private func completeMasters(_ blueprint: ClusterBlueprint) throws -> [NodeBlueprint] {
        try blueprint.nodes.filter { try $0.isMaster && seen($0.host).mark?.membership == .complete }
    }

    func reconfigureEtcd(_ node: NodeBlueprint, _ handle: Step) async throws {
        let master = try await clusterNode(node)
        var masters: [ClusterNode] = []
        for other in try completeMasters(blueprint()) { masters.append(try await clusterNode(other)) }
        try await runtime.reconfigureEtcd(of: master, among: masters, through: try await first(), step: handle)
        let taken = try blueprint().configuration.digest(of: .etcd)
        try await note(ClusterBlueprint.etcdFiles, of: master.host) { $0.etcd = taken }
    }

    func reconfigureKubelet(_ node: NodeBlueprint, _ handle: Step) async throws {
        let member = try await clusterNode(node)
        try await runtime.reconfigureKubelet(of: member, through: try await first(), step: handle)
        let taken = try blueprint().configuration.digest(of: .kubelet)
        try await note(ClusterBlueprint.kubeletFiles, of: member.host) { $0.kubelet = taken }
    }

    /// Notes what a new member has taken over of the cluster's configuration.
    func noteConfiguration(
        of node: NodeBlueprint, _ host: any Host, _ more: @escaping @Sendable (inout NodeMark) -> Void
    ) async throws {
        let configuration = try blueprint().configuration
        let kubelet = try configuration.digest(of: .kubelet)
        let controlPlane = node.isMaster ? try configuration.digest(of: .controlPlane) : nil
        let etcd = node.isMaster ? try configuration.digest(of: .etcd) : nil
        let paths =
            ClusterBlueprint.kubeletFiles
            + (node.isMaster ? ClusterBlueprint.controlPlaneFiles + ClusterBlueprint.etcdFiles : [])
        try await note(paths, of: host) { mark in
            mark.kubelet = kubelet
            mark.controlPlane = controlPlane
            mark.etcd = etcd
            more(&mark)
        }
    }

    private func note(
        _ paths: [String], of host: any Host, _ more: @escaping @Sendable (inout NodeMark) -> Void
    ) async throws {
        // The first note is of all: by it a master is told from a worker.
        let isFirst = await marks.mark(of: host.name)?.kubernetesFiles == nil
        let paths =
            isFirst
            ? ClusterBlueprint.kubeletFiles + ClusterBlueprint.controlPlaneFiles + ClusterBlueprint.etcdFiles : paths
        let left = try await host.inspect(paths.map { .init($0) })
        try await marks.change(host) { mark in
            var files = mark.kubernetesFiles ?? [:]
            for path in paths { files[path] = left[path] }
            mark.kubernetesFiles = files
            more(&mark)
        }
    }
}
