import Clusterfile
import YAML

/// The documents of a kubeadm configuration file, as far as sealer sets them. Field names are kubeadm's
/// (https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/); components' arguments are maps here, and get
/// their form by version later (`KubeadmArguments`).
enum KubeadmDocuments {
    /// A document: its kind, and the fields that are set.
    protocol Document {
        static var kind: KubeadmDocument.Kind { get }
        var fields: YAMLMapping { get }
    }

    struct InitConfiguration: Document {
        static let kind = KubeadmDocument.Kind.initConfiguration
        var bootstrapToken: Token
        var localAPIEndpoint: Endpoint
        var nodeRegistration: NodeRegistration

        var fields: YAMLMapping {
            [
                "bootstrapTokens": [YAMLNode(bootstrapToken.fields)],
                "localAPIEndpoint": YAMLNode(localAPIEndpoint.fields),
                "nodeRegistration": YAMLNode(nodeRegistration.fields),
            ]
        }
    }

    struct JoinConfiguration: Document {
        static let kind = KubeadmDocument.Kind.joinConfiguration
        var discovery: Discovery
        var nodeRegistration: NodeRegistration
        /// Only for masters.
        var localAPIEndpoint: Endpoint?

        var fields: YAMLMapping {
            var fields: YAMLMapping = [:]
            if let localAPIEndpoint {
                fields["controlPlane"] = ["localAPIEndpoint": YAMLNode(localAPIEndpoint.fields)]
            }
            fields["discovery"] = YAMLNode(discovery.fields)
            fields["nodeRegistration"] = YAMLNode(nodeRegistration.fields)
            return fields
        }
    }

    struct ClusterConfiguration: Document {
        static let kind = KubeadmDocument.Kind.clusterConfiguration
        var kubernetesVersion: String
        var clusterName: String
        var controlPlaneEndpoint: String
        var imageRepository: String
        var networking: Networking
        var certSANs: [String]
        /// nil where kubeadm cannot be told how long its certificates shall live.
        var certificates: CertificateSettings?
        var controllerManagerArguments: [(String, String)]
        var etcdTag: String?
        var featureGates: [(String, Bool)]

        var fields: YAMLMapping {
            var fields: YAMLMapping = [
                "apiServer": ["certSANs": YAMLNode(certSANs)],
                "clusterName": YAMLNode(clusterName),
                "controlPlaneEndpoint": YAMLNode(controlPlaneEndpoint),
            ]
            if !controllerManagerArguments.isEmpty {
                fields["controllerManager"] = ["extraArgs": arguments(controllerManagerArguments)]
            }
            if let etcdTag { fields["etcd"] = ["local": ["imageTag": YAMLNode(etcdTag)]] }
            if !featureGates.isEmpty {
                fields["featureGates"] = YAMLNode(YAMLMapping(featureGates.map { ($0.0, YAMLNode($0.1)) }))
            }
            if let certificates {
                fields["caCertificateValidityPeriod"] = period(years: certificates.authorityYears)
                fields["certificateValidityPeriod"] = period(years: certificates.leafYears)
            }
            fields["imageRepository"] = YAMLNode(imageRepository)
            fields["kubernetesVersion"] = YAMLNode(kubernetesVersion)
            fields["networking"] = YAMLNode(networking.fields)
            return fields
        }
    }

    struct KubeletConfiguration: Document {
        static let kind = KubeadmDocument.Kind.kubeletConfiguration
        var cgroupDriver: String
        var failSwapOn: Bool

        var fields: YAMLMapping { ["cgroupDriver": YAMLNode(cgroupDriver), "failSwapOn": YAMLNode(failSwapOn)] }
    }

    struct KubeProxyConfiguration: Document {
        static let kind = KubeadmDocument.Kind.kubeProxyConfiguration
        var mode: String
        /// Whether the kernel's limits of connection tracking are left alone.
        var leavesConntrackAlone: Bool

        var fields: YAMLMapping {
            var fields: YAMLMapping = [:]
            if leavesConntrackAlone { fields["conntrack"] = ["maxPerCore": 0, "min": 0] }
            fields["mode"] = YAMLNode(mode)
            return fields
        }
    }

    struct Token {
        var token: String
        var ttl: String

        var fields: YAMLMapping {
            [
                "groups": ["system:bootstrappers:kubeadm:default-node-token"], "token": YAMLNode(token),
                "ttl": YAMLNode(ttl), "usages": ["signing", "authentication"],
            ]
        }
    }

    struct Endpoint {
        var advertiseAddress: String
        var bindPort: Int

        var fields: YAMLMapping { ["advertiseAddress": YAMLNode(advertiseAddress), "bindPort": YAMLNode(bindPort)] }
    }

    struct NodeRegistration {
        var name: String
        var criSocket: String
        /// nil leaves kubeadm's default: masters take no ordinary pods. An empty list takes the taint away.
        var taints: [YAMLNode]?
        var kubeletArguments: [(String, String)]

        var fields: YAMLMapping {
            var fields: YAMLMapping = [
                "criSocket": YAMLNode(criSocket), "kubeletExtraArgs": arguments(kubeletArguments),
                "name": YAMLNode(name),
            ]
            if let taints { fields["taints"] = YAMLNode(taints) }
            return fields
        }
    }

    struct Networking {
        var podSubnets: [String]
        var serviceSubnets: [String]
        var dnsDomain: String

        var fields: YAMLMapping {
            [
                "dnsDomain": YAMLNode(dnsDomain), "podSubnet": YAMLNode(podSubnets.joined(separator: ",")),
                "serviceSubnet": YAMLNode(serviceSubnets.joined(separator: ",")),
            ]
        }
    }

    struct Discovery {
        var apiServerEndpoint: String
        var token: String
        var caCertHashes: [String]
        var timeout: String

        var fields: YAMLMapping {
            [
                "bootstrapToken": [
                    "apiServerEndpoint": YAMLNode(apiServerEndpoint), "caCertHashes": YAMLNode(caCertHashes),
                    "token": YAMLNode(token),
                ],
                "timeout": YAMLNode(timeout),
            ]
        }
    }

    /// Years of 365 days, as Go writes a duration.
    private static func period(years: Int) -> YAMLNode { YAMLNode("\(years * 365 * 24)h0m0s") }

    private static func arguments(_ pairs: [(String, String)]) -> YAMLNode {
        YAMLNode(YAMLMapping(pairs.map { ($0.0, YAMLNode($0.1)) }))
    }
}

extension KubeadmDocument.Kind {
    /// The API version of documents of the kind.
    func apiVersion(_ api: KubeadmAPI) -> String {
        switch self {
        case .initConfiguration, .clusterConfiguration, .joinConfiguration: api.rawValue
        case .kubeletConfiguration: "kubelet.config.k8s.io/v1beta1"
        case .kubeProxyConfiguration: "kubeproxy.config.k8s.io/v1alpha1"
        }
    }
}
