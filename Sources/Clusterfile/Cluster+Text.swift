import OCI
import YAML

extension Cluster {
    /// The cluster as a Clusterfile; `parse` reads the same cluster out of it. What has its default value is written too.
    public var text: String { document.text }

    private var document: YAMLNode {
        var specification: YAMLMapping = [
            "image": YAMLNode(image.description),
            "provider": YAMLNode(provider.rawValue),
            "masters": ["count": YAMLNode(masters)],
            "nodes": ["count": YAMLNode(nodes)],
            "network": ["podCIDR": YAMLNode(podNetwork.description), "svcCIDR": YAMLNode(serviceNetwork.description)],
        ]
        if !environment.isEmpty {
            let sorted = environment.sorted { $0.key < $1.key }
            specification["env"] = YAMLNode(sorted.map { "\($0.key)=\($0.value)" })
        }
        if !certificateNames.isEmpty { specification["certSANs"] = YAMLNode(certificateNames) }
        specification["container"] = ["nodeImage": YAMLNode(nodeImage), "egress": YAMLNode(egress)]
        return [
            "apiVersion": YAMLNode(Self.apiVersion),
            "kind": "Cluster",
            "metadata": ["name": YAMLNode(name)],
            "spec": YAMLNode(specification),
        ]
    }
}
