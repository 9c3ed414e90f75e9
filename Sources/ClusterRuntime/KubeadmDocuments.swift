import FoundationEssentials

/// The documents of a kubeadm configuration file, as far as sealer sets them. Field names are kubeadm's
/// (https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta3/).
///
/// They are written as JSON, which every YAML reader takes: no scalar can then be mistaken for another type.
enum KubeadmDocuments {
    struct InitConfiguration: Encodable {
        var apiVersion: String
        let kind = "InitConfiguration"
        var bootstrapTokens: [Token]
        var localAPIEndpoint: Endpoint
        var nodeRegistration: NodeRegistration
    }

    struct JoinConfiguration: Encodable {
        var apiVersion: String
        let kind = "JoinConfiguration"
        var discovery: Discovery
        var nodeRegistration: NodeRegistration
    }

    struct ClusterConfiguration: Encodable {
        var apiVersion: String
        let kind = "ClusterConfiguration"
        var kubernetesVersion: String
        var clusterName: String
        var controlPlaneEndpoint: String
        var imageRepository: String
        var networking: Networking
        var apiServer: APIServer
        var controllerManager: ControllerManager?
        var etcd: Etcd?
    }

    struct KubeletConfiguration: Encodable {
        let apiVersion = "kubelet.config.k8s.io/v1beta1"
        let kind = "KubeletConfiguration"
        var cgroupDriver: String
        var failSwapOn: Bool
    }

    struct KubeProxyConfiguration: Encodable {
        struct Conntrack: Encodable {
            /// 0 leaves the kernel's limit alone.
            var maxPerCore: Int
            var min: Int
        }
        let apiVersion = "kubeproxy.config.k8s.io/v1alpha1"
        let kind = "KubeProxyConfiguration"
        var mode: String
        var conntrack: Conntrack?
    }

    struct Token: Encodable {
        var token: String
        var ttl: String
        let usages = ["signing", "authentication"]
        let groups = ["system:bootstrappers:kubeadm:default-node-token"]
    }

    struct Endpoint: Encodable {
        var advertiseAddress: String
        var bindPort: Int
    }

    struct NodeRegistration: Encodable {
        var name: String
        var criSocket: String
        /// nil leaves kubeadm's default: masters take no ordinary pods. An empty list takes the taint away.
        var taints: [String]?
        var kubeletExtraArgs: ExtraArguments
    }

    struct Networking: Encodable {
        var podSubnet: String
        var serviceSubnet: String
        var dnsDomain: String
    }

    struct APIServer: Encodable {
        var certSANs: [String]
    }

    struct ControllerManager: Encodable {
        var extraArgs: ExtraArguments
    }

    struct Etcd: Encodable {
        struct Local: Encodable {
            var imageTag: String
        }
        var local: Local
    }

    struct Discovery: Encodable {
        struct BootstrapToken: Encodable {
            var apiServerEndpoint: String
            var token: String
            var caCertHashes: [String]
        }
        var bootstrapToken: BootstrapToken
        var timeout: String?
    }

    /// Arguments of a component: a map up to v1beta3, a list of names and values from v1beta4 on.
    struct ExtraArguments: Encodable {
        struct Argument: Encodable {
            var name: String
            var value: String
        }
        var values: [String: String]
        var api: KubeadmAPI

        func encode(to encoder: any Encoder) throws {
            if api == .v1beta4 {
                let list = values.sorted { $0.key < $1.key }.map { Argument(name: $0.key, value: $0.value) }
                try list.encode(to: encoder)
            } else {
                try values.encode(to: encoder)
            }
        }
    }

    /// Joins documents into one file.
    static func file(_ documents: [any Encodable]) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        var data = Data()
        for document in documents {
            data.append(contentsOf: "---\n".utf8)
            data.append(try encoder.encode(document))
            data.append(contentsOf: "\n".utf8)
        }
        return data
    }
}
