import OCI
import YAML

extension Cluster {
    /// The cluster as a Clusterfile, in the form with hosts; `parse` reads the same cluster out of it.
    ///
    /// A secret that a Clusterfile held itself is not written: `prompt` takes its place. Of the names in the registry's
    /// certificate, host names come before addresses. Addresses that follow one another become ranges.
    public var text: String { YAMLNode.text(of: documents) }

    private var documents: [YAMLNode] {
        let head: YAMLNode = [
            "apiVersion": YAMLNode(Self.apiVersion),
            "kind": "Cluster",
            "metadata": ["name": YAMLNode(name)],
            "spec": YAMLNode(specification),
        ]
        return [head] + configs.map(\.document) + plugins.map(\.document) + kubeadmDocuments.map(\.document)
    }

    private var specification: YAMLMapping {
        var fields: YAMLMapping = [
            "image": YAMLNode(image.description),
            "hosts": YAMLNode(hosts.map(\.node)),
        ]
        if ssh != SSHSettings() { fields["ssh"] = ssh.node }
        fields["network"] = [
            "podCIDR": YAMLNode(network.pods.map(\.description).joined(separator: ",")),
            "svcCIDR": YAMLNode(network.services.map(\.description).joined(separator: ",")),
        ]
        if !environment.isEmpty { fields["env"] = Self.node(environment: environment) }
        if !certificateNames.isEmpty { fields["certSANs"] = YAMLNode(certificateNames) }
        if certificates != CertificateSettings() { fields["certificates"] = certificates.node }
        if !hostAliases.isEmpty {
            fields["hostAliases"] = YAMLNode(
                hostAliases.map { ["ip": YAMLNode($0.address.description), "hostnames": YAMLNode($0.names)] })
        }
        if registry != RegistrySettings() { fields["registry"] = ["localRegistry": registry.node] }
        if let containerRuntime { fields["containerRuntime"] = ["type": YAMLNode(containerRuntime)] }
        if dataRoot != Self.defaultDataRoot { fields["dataRoot"] = YAMLNode(dataRoot) }
        if let applications { fields["appNames"] = YAMLNode(applications) }
        if let commands { fields["cmd"] = YAMLNode(commands) }
        if nodeContainers != NodeContainerSettings() {
            fields["container"] = [
                "nodeImage": YAMLNode(nodeContainers.image), "egress": YAMLNode(nodeContainers.egress),
            ]
        }
        return fields
    }

    fileprivate static func node(environment: [String: String]) -> YAMLNode {
        YAMLNode(environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })
    }
}

extension HostGroup {
    fileprivate var node: YAMLNode {
        var fields: YAMLMapping = ["provider": YAMLNode(provider.rawValue)]
        if !addresses.isEmpty { fields["ips"] = YAMLNode(Self.ranges(addresses)) }
        if provider == .container { fields["count"] = YAMLNode(count) }
        fields["roles"] = YAMLNode(roles)
        if let ssh { fields["ssh"] = ssh.node }
        if !environment.isEmpty { fields["env"] = Cluster.node(environment: environment) }
        if !labels.isEmpty {
            fields["labels"] = YAMLNode(
                YAMLMapping(labels.sorted { $0.key < $1.key }.map { ($0.key, YAMLNode($0.value)) }))
        }
        if !taints.isEmpty { fields["taints"] = YAMLNode(taints.map(\.description)) }
        return YAMLNode(fields)
    }

    /// Three addresses or more that follow one another become a range.
    private static func ranges(_ addresses: [IPAddress]) -> [String] {
        var ranges: [String] = []
        var start = 0
        while start < addresses.count {
            var end = start
            while end + 1 < addresses.count, addresses[end].advanced(by: 1) == addresses[end + 1],
                end + 1 - start < AddressRange.mostAddresses
            {
                end += 1
            }
            if end - start < 2 { end = start }
            ranges.append(start == end ? addresses[start].description : "\(addresses[start])-\(addresses[end])")
            start = end + 1
        }
        return ranges
    }
}

extension SSHSettings {
    fileprivate var node: YAMLNode {
        var fields = YAMLMapping()
        if let user { fields["user"] = YAMLNode(user) }
        if let password { fields["passwd"] = YAMLNode(password.text) }
        if let identityFile { fields["pk"] = YAMLNode(identityFile) }
        if let passphrase { fields["pkPasswd"] = YAMLNode(passphrase.text) }
        if let port { fields["port"] = YAMLNode(Int(port)) }
        return YAMLNode(fields)
    }
}

extension CertificateSettings {
    fileprivate var node: YAMLNode {
        var fields: YAMLMapping = ["authorityYears": YAMLNode(authorityYears), "leafYears": YAMLNode(leafYears)]
        if let folder { fields["folder"] = YAMLNode(folder) }
        return YAMLNode(fields)
    }
}

extension RegistrySettings {
    fileprivate var node: YAMLNode {
        var fields: YAMLMapping = [
            "domain": YAMLNode(domain), "port": YAMLNode(Int(port)), "ha": YAMLNode(onEveryMaster),
        ]
        guard !certificateNames.isEmpty else { return YAMLNode(fields) }
        var names = YAMLMapping()
        for (key, part) in [
            ("dnsNames", certificateNames.filter { IPAddress($0) == nil }),
            ("ips", certificateNames.filter { IPAddress($0) != nil }),
        ] where !part.isEmpty {
            names[key] = YAMLNode(part)
        }
        fields["cert"] = ["subjectAltName": YAMLNode(names)]
        return YAMLNode(fields)
    }
}

extension ConfigOverlay {
    fileprivate var document: YAMLNode {
        [
            "apiVersion": "sealer.io/v1",
            "kind": "Config",
            "metadata": ["name": YAMLNode(name)],
            "spec": [
                "path": YAMLNode(path), "strategy": YAMLNode(strategy.rawValue), "data": YAMLNode(data),
            ],
        ]
    }
}

extension Plugin {
    fileprivate var document: YAMLNode {
        var fields: YAMLMapping = [
            "type": YAMLNode(kind.rawValue),
            "action": YAMLNode(phases.map(\.rawValue).joined(separator: "|")),
        ]
        if !scope.isEmpty { fields["scope"] = YAMLNode(scope.joined(separator: "|")) }
        if timeout != Self.defaultTimeout { fields["timeout"] = YAMLNode(timeout) }
        fields["data"] = YAMLNode(data)
        return [
            "apiVersion": "sealer.io/v1",
            "kind": "Plugin",
            "metadata": ["name": YAMLNode(name)],
            "spec": YAMLNode(fields),
        ]
    }
}

extension KubeadmDocument {
    fileprivate var document: YAMLNode {
        var whole: YAMLMapping = ["apiVersion": YAMLNode(apiVersion), "kind": YAMLNode(kind.rawValue)]
        for entry in fields { whole.append(entry) }
        return YAMLNode(whole)
    }
}
