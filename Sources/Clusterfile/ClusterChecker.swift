import OCI
import Report
import YAML

/// The rules that a cluster keeps, whether a file says it or code.
///
/// Paths are those of the canonical file. A rule about what is there at all (a master, a host with a role) names
/// `spec.hosts`, so that a reader who could not read every host can leave it out.
struct ClusterChecker {
    let cluster: Cluster
    private(set) var problems: [Cluster.Problem] = []

    init(cluster: Cluster) { self.cluster = cluster }

    mutating func run() {
        if let problem = Cluster.nameProblem(cluster.name) { report("metadata.name", problem) }
        checkHosts()
        checkNetworks()
        checkSSH(cluster.ssh, "spec.ssh")
        checkEnvironment(cluster.environment, "spec.env")
        checkCertificates()
        checkAliases()
        checkRegistry()
        checkSettings()
        checkKubeadmDocuments()
        checkConfigs()
        checkPlugins()
    }

    mutating func report(
        _ path: String, _ message: String, _ severity: Diagnostic.Severity = .error, related: String? = nil,
        inner: YAMLMark? = nil
    ) {
        problems.append(
            Cluster.Problem(path: path, related: related, inner: inner, severity: severity, message: message))
    }

    // MARK: - Settings of the whole cluster

    mutating func checkSSH(_ settings: SSHSettings, _ path: String) {
        if let user = settings.user,
            user.isEmpty || user.hasPrefix("-") || Spelling.hasControls(user) || user.contains(" ")
        {
            report("\(path).user", "\"\(Cluster.shown(user))\" is not a user's name, one as root was expected")
        }
        if let file = settings.identityFile, file.isEmpty || file.hasPrefix("-") || Spelling.hasControls(file) {
            report("\(path).pk", "\"\(Cluster.shown(file))\" is not a file's path, one as ~/.ssh/id_rsa was expected")
        }
        if settings.port == 0 { report("\(path).port", "0 is not a port, 1 to 65535 was expected") }
        checkSecret(settings.password, "\(path).passwd", "password")
        checkSecret(settings.passphrase, "\(path).pkPasswd", "passphrase")
    }

    /// What is found at a secret is never shown: it may be the secret itself.
    private mutating func checkSecret(_ secret: SecretReference?, _ path: String, _ what: String) {
        switch secret {
        case .environment(let name) where !Spelling.isVariable(name):
            report(path, "the name of a variable was expected behind env: (letters, digits and _, no digit first)")
        case .file(let file) where file.isEmpty || Spelling.hasControls(file):
            report(path, "the path of a file was expected behind file:")
        case .literal:
            let message =
                "the \(what) itself stands here: env:NAME, file:PATH or prompt keeps it out of the file;"
                + " sealer never writes it anywhere"
            report(path, message, .warning)
        default: break
        }
    }

    mutating func checkEnvironment(_ environment: [String: String], _ path: String) {
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) {
            let place = "\(path).\(name)"
            if !Spelling.isVariable(name) {
                report(place, Cluster.variableProblem(name))
            } else if value.utf8.contains(0) {
                report(place, "the value of \(name) has a zero byte in it, which no program can be given")
            } else if let field = Self.fieldsForVariables[name] {
                report(place, "the variable \(name) sets nothing but itself: \(field) is what sealer reads", .warning)
            }
        }
    }

    /// Variables by which users of sealer 0.8 to 0.11 set what has a field here.
    private static let fieldsForVariables = [
        "PodCIDR": "spec.network.podCIDR", "SvcCIDR": "spec.network.svcCIDR", "CertSANs": "spec.certSANs",
        "RegistryDomain": "spec.registry.localRegistry.domain", "RegistryPort": "spec.registry.localRegistry.port",
        "ContainerRuntime": "spec.containerRuntime.type",
    ]

    private mutating func checkCertificates() {
        for (index, name) in cluster.certificateNames.enumerated() where !Spelling.isCertificateName(name) {
            report("spec.certSANs[\(index)]", "\"\(Cluster.shown(name))\" is neither a host name nor an address")
        }
        let settings = cluster.certificates
        let range = Cluster.certificateYears
        for (field, years) in [("authorityYears", settings.authorityYears), ("leafYears", settings.leafYears)]
        where !range.contains(years) {
            report(
                "spec.certificates.\(field)",
                "\(range.lowerBound) to \(range.upperBound) years were expected, \(years) were asked for")
        }
        if settings.leafYears > settings.authorityYears {
            let message =
                "certificates cannot be valid for \(settings.leafYears) years when their authority is for"
                + " \(settings.authorityYears)"
            report("spec.certificates.leafYears", message, related: "spec.certificates.authorityYears")
        }
        if let folder = settings.folder, folder.isEmpty || Spelling.hasControls(folder) {
            report("spec.certificates.folder", "\"\(Cluster.shown(folder))\" is not a folder's path")
        }
    }

    private mutating func checkAliases() {
        let own = [Self.apiServer, cluster.registry.domain.lowercased()]
        var places: [String: String] = [:]
        for (index, alias) in cluster.hostAliases.enumerated() {
            let path = "spec.hostAliases[\(index)]"
            if alias.names.isEmpty {
                report("\(path).hostnames", "\(alias.address) has no name here, one or more were expected")
            }
            for (number, name) in alias.names.enumerated() {
                let place = "\(path).hostnames[\(number)]"
                if !Spelling.isHostName(name) {
                    report(place, "\"\(Cluster.shown(name))\" is not a host name")
                } else if own.contains(name.lowercased()) {
                    report(place, "\(name) is a name of the cluster's own, another one was expected")
                } else if name.lowercased() == Self.localhost {
                    report(place, "\(name) is every machine's name for itself, another one was expected")
                }
                // A name may have an address of each family. Capital letters make no other name of it.
                let key = "\(name.lowercased()) \(alias.address.family)"
                if let first = places[key] {
                    report(place, "the name \(Cluster.shown(name)) stands twice", related: first)
                } else {
                    places[key] = place
                }
            }
        }
    }

    /// The name by which nodes know the API server.
    private static let apiServer = "apiserver.cluster.local"
    private static let localhost = "localhost"

    /// Ports of nodes that the cluster's own components listen at.
    private static let portOwners: [UInt16: String] = [
        2379: "etcd", 2380: "etcd", 2381: "etcd", 6443: "the API server", 10248: "kubelet", 10249: "kube-proxy",
        10250: "kubelet", 10251: "kube-scheduler", 10252: "kube-controller-manager", 10256: "kube-proxy",
        10257: "kube-controller-manager", 10259: "kube-scheduler",
    ]

    private mutating func checkRegistry() {
        let (registry, path) = (cluster.registry, "spec.registry.localRegistry")
        if !Spelling.isHostName(registry.domain) {
            report(
                "\(path).domain",
                "\"\(Cluster.shown(registry.domain))\" is not a host name, one as sea.hub was expected")
        }
        let domain = registry.domain.lowercased()
        if domain == Self.apiServer {
            report("\(path).domain", "\(registry.domain) is the API server's name, another one was expected")
        } else if domain == Self.localhost {
            let message = "\(registry.domain) is every machine's name for itself, another one was expected"
            report("\(path).domain", message)
        }
        if registry.port == 0 {
            report("\(path).port", "0 is not a port, 1 to 65535 was expected")
        } else if let owner = Self.portOwners[registry.port] {
            report("\(path).port", "\(registry.port) is a port of \(owner), another one was expected")
        }
        for (index, name) in registry.certificateNames.enumerated() where !Spelling.isCertificateName(name) {
            report(
                "\(path).cert.subjectAltName[\(index)]",
                "\"\(Cluster.shown(name))\" is neither a host name nor an address")
        }
    }

    /// Folders that no rootfs may be unpacked into: they are the system's, kubeadm's, or gone after a start. The longer ones first,
    /// for the messages.
    private static let foreignFolders = [
        "/etc/kubernetes", "/var/lib/kubelet", "/var/lib/etcd", "/var/run", "/etc", "/usr", "/bin", "/sbin", "/lib",
        "/lib64", "/boot", "/proc", "/sys", "/dev", "/run", "/tmp",
    ]

    private mutating func checkSettings() {
        if let runtime = cluster.containerRuntime, runtime != "containerd" {
            let message =
                Spelling.isName(runtime)
                ? "the container runtime \(runtime) is not installed yet, containerd was expected"
                : "\"\(Cluster.shown(runtime))\" is not a container runtime, containerd was expected"
            report("spec.containerRuntime.type", message)
        }
        if !cluster.dataRoot.hasPrefix("/") || !Spelling.isInnerPath(String(cluster.dataRoot.dropFirst())) {
            report(
                "spec.dataRoot",
                "\"\(Cluster.shown(cluster.dataRoot))\" is not a folder's path, one as \(Cluster.defaultDataRoot) was"
                    + " expected")
        } else if let folder = Self.foreignFolders.first(where: { "\(cluster.dataRoot)/".hasPrefix("\($0)/") }) {
            let message =
                "\"\(Cluster.shown(cluster.dataRoot))\" is in \(folder), which others fill and clear: one as"
                + " \(Cluster.defaultDataRoot) was expected"
            report("spec.dataRoot", message)
        }
        var seen: [String: Int] = [:]
        for (index, name) in (cluster.applications ?? []).enumerated() {
            if !Spelling.isInnerPath(name) || name.contains("/") {
                report("spec.appNames[\(index)]", "\"\(Cluster.shown(name))\" is not an application's name")
            } else if let first = seen.updateValue(index, forKey: name) {
                let related = "spec.appNames[\(first)]"
                report("spec.appNames[\(index)]", "the application \(name) stands twice", related: related)
            }
        }
        for (index, command) in (cluster.commands ?? []).enumerated()
        where command.utf8.contains(0) || command.allSatisfy(\.isWhitespace) {
            report("spec.cmd[\(index)]", "a command was expected, here stands none")
        }
        if cluster.commands != nil, cluster.applications != nil {
            let message = "cmd and appNames exclude each other: cmd takes the place of every application's own commands"
            report("spec.cmd", message, related: "spec.appNames")
        }
        do throws(Failure) {
            _ = try Reference(cluster.nodeContainers.image)
        } catch {
            report("spec.container.nodeImage", error.what)
        }
    }
}
