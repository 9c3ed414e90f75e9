import ClusterRuntime
import Clusterfile
import ImageStore
import OCI
import Report

/// What a Clusterfile may say and sealer cannot do yet is refused before anything is touched: nothing is passed over silently.
enum ClusterSupport {
    /// Looks at what is wanted.
    static func check(_ cluster: Cluster, image: ClusterImage) throws {
        var problems: [String] = []
        if let runtime = cluster.containerRuntime, runtime != "containerd" {
            problems.append("the container runtime \(runtime) is not installed yet, containerd was expected")
        }
        let known = Set(image.sealer.apps.map(\.name))
        for name in cluster.applications ?? [] where !known.contains(name) {
            let there = known.isEmpty ? "it has none" : "it has \(known.sorted().joined(separator: ", "))"
            problems.append("the image has no application \(name): \(there)")
        }
        guard problems.isEmpty else {
            throw Failure(.invalidInput, problems.joined(separator: "; "), at: cluster.name)
        }
    }

    /// Looks at what is there: kubelets of another version would be replaced under running pods, one minor version after the
    /// other or several at once. That is an upgrade, and needs more than that.
    static func check(_ kubernetes: KubernetesObservation?, settings: ClusterSettings) throws {
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
