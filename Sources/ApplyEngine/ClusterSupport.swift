import ClusterRuntime
import Clusterfile
import ImageStore
import OCI
import Report

/// What a Clusterfile may say and the image or the hosts cannot give is refused before anything is touched: nothing is passed over
/// silently.
enum ClusterSupport {
    /// Looks at what is wanted.
    static func check(_ cluster: Cluster, image: ClusterImage) throws {
        var problems: [String] = []
        let known = Set(image.sealer.apps.map(\.name))
        for (index, name) in (cluster.applications ?? []).enumerated() where !known.contains(name) {
            let there = known.isEmpty ? "it has none" : "it has \(known.sorted().joined(separator: ", "))"
            let place = cluster.origins.words(for: "spec.appNames[\(index)]")
            problems.append("\(place): the image has no application \(name): \(there)")
        }
        guard problems.isEmpty else { throw Failure(.invalidInput, problems.joined(separator: "\n")) }
    }

    /// Looks at what is there, and cannot become what is wanted. All of it is told together.
    ///
    /// - Parameter rootWords: as the engine's.
    static func check(
        _ observation: ClusterObservation, of cluster: Cluster, settings: ClusterSettings, rootWords: String = ""
    ) throws {
        var problems: [String] = []
        for host in observation.hosts {
            if host.mark?.membership == .complete, let isMaster = isMaster(host, observation.kubernetes),
                isMaster != host.member.isMaster
            {
                let (present, wanted) = isMaster ? ("master", "worker") : ("worker", "master")
                problems.append("\(host.host) is a \(present) of the cluster and cannot become a \(wanted) in place")
            }
            // Also when nothing seems to be there: an unpacking may have been cut off.
            let dataRoot = host.mark?.dataRoot ?? Cluster.defaultDataRoot
            if host.mark != nil, dataRoot != cluster.dataRoot {
                problems.append("\(host.host) keeps its data in \(dataRoot), spec.dataRoot says \(cluster.dataRoot)")
            }
        }
        guard problems.isEmpty else {
            throw Failure(
                .conflict, problems.joined(separator: "; "), at: cluster.name,
                remedy:
                    "take the host out first (sealer scale-down), then add it as it shall be; a cluster that was not made yet: "
                    + "sealer delete --name \(cluster.name)\(rootWords)")
        }
        try check(observation.kubernetes, settings: settings)
    }

    /// Whether a member is a master: by what kubeadm left there, not by a label that anybody may set. Where an earlier sealer noted
    /// nothing of that, Kubernetes is asked; nil when it does not say either, or another thing.
    private static func isMaster(_ host: HostObservation, _ kubernetes: KubernetesObservation?) -> Bool? {
        let saysKubernetes = kubernetes?.nodes.first { $0.name == host.nodeName }?.isMaster
        guard let files = host.mark?.kubernetesFiles else { return saysKubernetes }
        if files.keys.contains(where: ClusterBlueprint.controlPlaneFiles.contains) { return true }
        return saysKubernetes == true ? nil : false
    }

    /// Looks at the versions that are there: kubelets of another version would be replaced under running pods, one minor version after the
    /// other or several at once. That is an upgrade, and needs more than that.
    private static func check(_ kubernetes: KubernetesObservation?, settings: ClusterSettings) throws {
        let others = (kubernetes?.nodes ?? []).filter { node in
            !node.version.isEmpty && node.version.prefix { $0 != "+" && $0 != "-" } != settings.version.description
        }
        guard let other = others.first else { return }
        throw Failure(
            .conflict,
            "the node \(other.name) runs Kubernetes \(other.version), the image brings \(settings.version): "
                + "sealer cannot upgrade a cluster yet",
            at: settings.name, remedy: "apply an image with \(other.version)")
    }
}
