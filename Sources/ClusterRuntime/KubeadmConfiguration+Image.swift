import Clusterfile
import YAML

/// What an image's documents do not decide: they were written before there was a cluster.
extension KubeadmConfiguration {
    /// Fields that depend on the cluster or its hosts: networks, names, secrets, what kubelet must know of its host.
    private static let foreign: [KubeadmDocument.Kind: [[String]]] = [
        // A token that everybody who has the image knows lets everybody in.
        .initConfiguration: [["bootstrapTokens"]],
        .clusterConfiguration: [
            ["imageRepository"], ["networking", "dnsDomain"], ["networking", "podSubnet"],
            ["networking", "serviceSubnet"],
        ],
        .kubeletConfiguration: [["cgroupDriver"], ["clusterDNS"], ["clusterDomain"], ["failSwapOn"]],
        .kubeProxyConfiguration: [["clusterCIDR"]],
    ]

    /// Fields that are sealer's only where it sets them.
    private static let foreignWhereSet: [KubeadmDocument.Kind: [[String]]] = [
        .kubeProxyConfiguration: [["conntrack", "maxPerCore"], ["conntrack", "min"]]
    ]

    /// Takes out of an image's document what it does not decide, with a note where it says something else.
    static func leaveOut(
        _ upper: inout YAMLMapping, over lower: YAMLMapping, _ kind: KubeadmDocument.Kind, _ notes: inout [String]
    ) {
        let paths = (foreign[kind] ?? []) + (foreignWhereSet[kind] ?? []).filter { lower[path: $0] != nil }
        for path in paths {
            guard let stated = upper[path: path] else { continue }
            upper[path: path] = nil
            // An empty value says nothing.
            guard stated != lower[path: path], !stated.isNull, stated != "" else { continue }
            notes.append(
                "\(kind.rawValue).\(path.joined(separator: ".")) of the image is left out: it depends on the cluster")
        }
    }
}
