import ClusterRuntime
import Clusterfile
import OCI
import Remote
import Report
import SystemPackage

/// What a running cluster was told of its configuration, compared with what it should be told.
extension ClusterBlueprint {
    /// kubelet's files that kubeadm writes.
    package static let kubeletFiles = Kubeadm.kubeletFiles.map(\.string)
    /// The control plane's files that kubeadm writes, but for etcd's.
    package static let controlPlaneFiles = Kubeadm.controlPlaneFiles.map(\.string)
    /// etcd's files that kubeadm writes.
    package static let etcdFiles = Kubeadm.etcdFiles.map(\.string)

    /// Adds what must be told and taken over.
    ///
    /// - Throws: `Failure` of kind `conflict` for what a cluster that is there cannot change any more.
    func addConfiguration(
        to difference: inout ClusterDifference, _ kubernetes: KubernetesObservation, _ seen: [String: HostObservation]
    ) throws {
        let record = kubernetes.record ?? [:]
        let before = try configuration(told: record)
        let changes = before.map { configuration.changes(from: $0) } ?? []
        if let refusal = ConfigurationChange.refusal(of: changes, in: cluster.name) { throw refusal }
        // What an interrupted command had told it already is told again.
        let isCut = record[RecordKey.configurationState] == "begun"
        let parts = Set(changes.map(\.part)).union(isCut ? [.dns, .kubeProxy] : [])
        if !parts.isEmpty {
            let reasons = changes.map(\.words) + (isCut ? ["an earlier command did not tell it all of it"] : [])
            difference.configuration = .init(
                parts: parts.sorted { $0.rawValue < $1.rawValue }, reason: reasons.joined(separator: "; "))
        }
        for index in difference.hosts.indices where difference.hosts[index].membership == .complete {
            guard let host = seen[difference.hosts[index].host], let mark = host.mark else { continue }
            difference.hosts[index].kubelet = try reason(
                .kubelet, taken: mark.kubelet, before, changes, mark, host, Self.kubeletFiles)
            guard difference.hosts[index].isMaster else { continue }
            difference.hosts[index].controlPlane = try reason(
                .controlPlane, taken: mark.controlPlane, before, changes, mark, host, Self.controlPlaneFiles)
            difference.hosts[index].etcd = try reason(
                .etcd, taken: mark.etcd, before, changes, mark, host, Self.etcdFiles)
        }
    }

    /// What a cluster was told last; nil when nothing says that.
    func configuration(told record: [String: String]) throws -> ConfigurationFields? {
        try record[RecordKey.configuration].map { try ConfigurationFields.decode(from: $0) } ?? earlier(record)
    }

    /// The configuration of a cluster that has no record of it, by the Clusterfile that it has; nil when that tells nothing.
    private func earlier(_ record: [String: String]) throws -> ConfigurationFields? {
        guard let text = record[RecordKey.clusterfile] else { return nil }
        let cluster: Cluster
        // One of an earlier sealer, which this one may read otherwise.
        do { cluster = try Cluster.parse(text).cluster } catch { return nil }
        var settings = settings
        settings.network = cluster.network
        settings.certificateNames = cluster.certificateNames
        settings.kubeadmDocuments = cluster.kubeadmDocuments
        settings.imageDocuments = []
        return try ConfigurationFields(settings)
    }

    private func reason(
        _ part: ConfigurationChange.Part, taken: Digest?, _ before: ConfigurationFields?,
        _ changes: [ConfigurationChange], _ mark: NodeMark, _ host: HostObservation, _ paths: [String]
    ) throws -> String? {
        let wanted = try configuration.digest(of: part)
        // A node that did not note it has what the cluster was told.
        if try (taken ?? before?.digest(of: part) ?? wanted) != wanted {
            let own = changes.filter { $0.part == part }.map(\.words)
            return own.isEmpty ? "it has not taken over what the cluster was told" : own.joined(separator: "; ")
        }
        let changed = paths.filter { path in
            mark.kubernetesFiles?[path].map { $0 != host.files[path] } ?? false
        }
        return changed.isEmpty ? nil : "\(changed.joined(separator: ", ")) is not as kubeadm left it"
    }
}
