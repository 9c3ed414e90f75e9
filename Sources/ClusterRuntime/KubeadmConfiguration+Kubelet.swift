import YAML

extension KubeadmConfiguration {
    /// Which of kubeadm's commands made a node a member.
    enum Origin: Hashable, Sendable {
        case initialised
        case joined
    }

    /// kubelet's flags of a node: sealer's and those of the documents that were laid over.
    ///
    /// - Throws: `Failure` of kind `invalidInput` for a document that cannot be laid over, or for a flag that comes several
    ///   times where kubeadm could not tell it.
    func kubeletArguments(of node: KubeadmNode, _ origin: Origin) throws -> [(name: String, values: [String])] {
        let token = BootstrapToken()
        let document: any KubeadmDocuments.Document
        switch origin {
        case .initialised:
            guard let first = try initDocuments(for: node, token: token, isAlone: false).first else { return [] }
            document = first
        case .joined:
            document = try joinDocument(for: node, asMaster: false, token: token, authorityHash: "", isAlone: false)
        }
        let kind = type(of: document).kind
        var notes: [String] = []
        let fields = try laidOver(document.fields, of: kind, notes: &notes)
        // Fails for what could not be written into a file either.
        _ = try KubeadmArguments.formed(fields, of: kind, for: settings.version.kubeadmAPI)
        let arguments = fields[path: ["nodeRegistration", "kubeletExtraArgs"]]?.mapping ?? [:]
        return arguments.entries.map { entry in
            (entry.key, (entry.value.sequence ?? [entry.value]).compactMap(\.scalar?.text))
        }
    }

    /// What kubelet's flags of a node say of its container runtime, where the version wants flags for that.
    func runtimeFlags(of node: KubeadmNode) -> [(String, String)] {
        var flags: [(String, String)] = []
        // kubelet before 1.24 knows Docker, and takes it unless told otherwise.
        if settings.version < KubernetesVersion(1, 24) { flags.append(("container-runtime", "remote")) }
        // From 1.34 on kubeadm says it in kubelet's configuration: its gate NodeLocalCRISocket is on by itself.
        if settings.version < KubernetesVersion(1, 34) {
            let usesURL = settings.version >= KubernetesVersion(1, 24)
            let socket = usesURL ? "unix://\(node.runtime.socket)" : node.runtime.socket
            flags.append(("container-runtime-endpoint", socket))
        }
        return flags
    }
}
