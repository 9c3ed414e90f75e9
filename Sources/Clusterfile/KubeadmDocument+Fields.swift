import YAML

extension KubeadmDocument {
    /// What can stand at a field of kubeadm's documents.
    enum Shape {
        case text
        case flag
        case number
        case mapping
        case list
        case texts
        /// Feature gates.
        case flags
        /// A component's arguments: a mapping up to v1beta3, a list of names and values from v1beta4 on. Either is read,
        /// whatever the document's version.
        case arguments
    }

    /// The fields that sealer reads or sets itself. The rest is left to the programs whose documents they are.
    static let knownFields: [Kind: [(path: [String], shape: Shape)]] = [
        .initConfiguration: registration + [
            (["bootstrapTokens"], .list), (["certificateKey"], .text), (["localAPIEndpoint"], .mapping),
            (["localAPIEndpoint", "advertiseAddress"], .text), (["localAPIEndpoint", "bindPort"], .number),
        ],
        .clusterConfiguration: [
            (["kubernetesVersion"], .text), (["clusterName"], .text), (["controlPlaneEndpoint"], .text),
            (["imageRepository"], .text), (["certificatesDir"], .text), (["networking"], .mapping),
            (["networking", "podSubnet"], .text), (["networking", "serviceSubnet"], .text),
            (["networking", "dnsDomain"], .text), (["apiServer"], .mapping), (["apiServer", "extraArgs"], .arguments),
            (["apiServer", "certSANs"], .texts), (["controllerManager"], .mapping),
            (["controllerManager", "extraArgs"], .arguments), (["scheduler"], .mapping),
            (["scheduler", "extraArgs"], .arguments), (["etcd"], .mapping), (["etcd", "local"], .mapping),
            (["etcd", "local", "extraArgs"], .arguments), (["etcd", "local", "imageTag"], .text), (["dns"], .mapping),
            (["featureGates"], .flags),
        ],
        .joinConfiguration: registration + [
            (["controlPlane"], .mapping), (["discovery"], .mapping), (["discovery", "bootstrapToken"], .mapping),
            (["discovery", "file"], .mapping), (["discovery", "tlsBootstrapToken"], .text),
            (["discovery", "timeout"], .text),
        ],
        .kubeletConfiguration: [
            (["cgroupDriver"], .text), (["clusterDNS"], .texts), (["clusterDomain"], .text), (["failSwapOn"], .flag),
            (["failCgroupV1"], .flag), (["featureGates"], .flags), (["healthzBindAddress"], .text),
            (["healthzPort"], .number),
        ],
        .kubeProxyConfiguration: [
            (["mode"], .text), (["clusterCIDR"], .text), (["conntrack"], .mapping), (["conntrack", "min"], .number),
            (["conntrack", "maxPerCore"], .number), (["featureGates"], .flags),
        ],
    ]

    private static let registration: [(path: [String], shape: Shape)] = [
        (["nodeRegistration"], .mapping), (["nodeRegistration", "name"], .text),
        (["nodeRegistration", "criSocket"], .text), (["nodeRegistration", "taints"], .list),
        (["nodeRegistration", "kubeletExtraArgs"], .arguments),
    ]

    /// The folder of certificates on masters, which is kubeadm's default too.
    static let certificatesFolder = "/etc/kubernetes/pki"

    /// The value at the end of a way through mappings.
    func value(_ path: [String]) -> YAMLNode? {
        path.dropFirst().reduce(path.first.flatMap { fields[$0] }) { $0?[$1] }
    }

    /// What is wrong with the fields, each with its way.
    var fieldProblems: [(path: String, message: String)] {
        var problems: [(path: String, message: String)] = []
        for (path, shape) in Self.knownFields[kind] ?? [] {
            // Nothing behind a field takes out what sealer or the image say.
            guard let node = value(path), !node.isNull else { continue }
            problems += Self.problems(of: node, shape, path.joined(separator: "."))
        }
        guard kind == .clusterConfiguration else { return problems }
        if let folder = value(["certificatesDir"])?.string, !folder.isEmpty, folder != Self.certificatesFolder {
            let message =
                "certificatesDir cannot be another folder: sealer keeps the certificates in \(Self.certificatesFolder)"
            problems.append(("certificatesDir", message))
        }
        if let external = value(["etcd", "external"]), !external.isNull {
            let message = "etcd.external is not supported yet: etcd runs on the cluster's masters"
            problems.append(("etcd.external", message))
        }
        return problems
    }

    private static func problems(of node: YAMLNode, _ shape: Shape, _ name: String) -> [(path: String, message: String)]
    {
        switch shape {
        case .text: node.string == nil ? [wrong(node, "a string", name)] : []
        case .flag: node.bool == nil ? [wrong(node, "true or false", name)] : []
        case .number: node.integer == nil ? [wrong(node, "a whole number", name)] : []
        case .mapping: node.mapping == nil ? [wrong(node, "a mapping", name)] : []
        case .list: node.sequence == nil ? [wrong(node, "a list", name)] : []
        case .texts: textProblems(node, name)
        case .flags: flagProblems(node, name)
        case .arguments: argumentProblems(node, name)
        }
    }

    private static func textProblems(_ node: YAMLNode, _ name: String) -> [(path: String, message: String)] {
        guard let items = node.sequence else { return [wrong(node, "a list of strings", name)] }
        return items.enumerated().flatMap { problems(of: $1, .text, "\(name)[\($0)]") }
    }

    private static func flagProblems(_ node: YAMLNode, _ name: String) -> [(path: String, message: String)] {
        guard let mapping = node.mapping else { return [wrong(node, "a mapping", name)] }
        return mapping.flatMap { entry in
            entry.value.isNull ? [] : problems(of: entry.value, .flag, "\(name).\(entry.key)")
        }
    }

    /// Numbers and truth values are read as texts: arguments are nothing else.
    private static func argumentProblems(_ node: YAMLNode, _ name: String) -> [(path: String, message: String)] {
        if let mapping = node.mapping {
            return mapping.filter { $0.value.scalar == nil }.map { entry in
                wrong(entry.value, "a string", "\(name).\(entry.key)")
            }
        }
        guard let items = node.sequence else {
            return [wrong(node, "a mapping, or a list of names and values", name)]
        }
        return items.enumerated().compactMap { number, item in
            let isNamed = item["name"]?.scalar.map { $0.value != .null && !$0.text.isEmpty } ?? false
            if isNamed, item["value"]?.scalar != nil { return nil }
            return ("\(name)[\(number)]", "\(name) must list arguments with name and value")
        }
    }

    /// Without the value, which may be a secret.
    private static func wrong(_ node: YAMLNode, _ expected: String, _ name: String) -> (path: String, message: String) {
        let hint = expected == "a string" && node.scalar != nil ? ": quote it" : ""
        return (name, "\(Cluster.shown(name)) must be \(expected), here stands \(node.kindInWords)\(hint)")
    }
}
