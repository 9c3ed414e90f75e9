import YAML

/// A document of kubeadm's own (or of kubelet, or kube-proxy) inside a Clusterfile.
public struct KubeadmDocument: Hashable, Sendable {
    /// What it configures.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// `kubeadm init`.
        case initConfiguration = "InitConfiguration"
        /// The whole cluster.
        case clusterConfiguration = "ClusterConfiguration"
        /// `kubeadm join`.
        case joinConfiguration = "JoinConfiguration"
        /// kubelet on every node.
        case kubeletConfiguration = "KubeletConfiguration"
        /// kube-proxy on every node.
        case kubeProxyConfiguration = "KubeProxyConfiguration"

        /// The API versions that are read, the one that is taken where nobody names one first.
        public var apiVersions: [String] {
            switch self {
            case .initConfiguration, .clusterConfiguration, .joinConfiguration:
                ["kubeadm.k8s.io/v1beta3", "kubeadm.k8s.io/v1beta2", "kubeadm.k8s.io/v1beta4"]
            case .kubeletConfiguration: ["kubelet.config.k8s.io/v1beta1"]
            case .kubeProxyConfiguration: ["kubeproxy.config.k8s.io/v1alpha1"]
            }
        }

        /// The API version that is taken where nobody names one.
        var standardVersion: String { apiVersions.first ?? "" }
    }

    /// What it configures.
    public var kind: Kind
    /// The API version that the fields are written for: `extraArgs` has another form in v1beta4 than before.
    public var apiVersion: String
    /// The fields besides apiVersion and kind; what is there counts as set, `false` and `0` too.
    public var fields: YAMLMapping

    /// Makes a document; without an API version it has the kind's first one.
    public init(kind: Kind, apiVersion: String? = nil, fields: YAMLMapping) {
        self.kind = kind
        self.apiVersion = apiVersion ?? kind.standardVersion
        self.fields = fields
    }

    /// Whether kubelet is to start on hosts whose control groups are of version 1, which it refuses by itself from 1.35
    /// on; nil when the document does not say.
    public var takesControlGroups1: Bool? {
        kind == .kubeletConfiguration ? fields["failCgroupV1"]?.bool.map { !$0 } : nil
    }
}
