import OCI
import Report
import YAML

extension ClusterReader {
    /// - Returns: whether name and image could be read.
    mutating func readCluster(_ document: YAMLNode) -> Bool {
        guard let fields = FieldReader(document, ClusterfileSchema.cluster.fields, path: "", &findings) else {
            return false
        }
        let name = fields.fields("metadata", &findings)?.text("name", &findings)
        if let name {
            cluster.name = name.value
            note("metadata.name", name.mark)
        }
        guard let spec = fields.fields("spec", &findings) else { return false }
        note("spec", spec.mark)
        let isImageRead = readImage(spec)
        readHosts(spec)
        cluster.ssh = readSSH(spec, "spec.ssh") ?? cluster.ssh
        readNetwork(spec)
        cluster.environment = readEnvironment(spec, "spec.env")
        readCertificates(spec)
        readAliases(spec)
        readRegistry(spec)
        readSettings(spec)
        return name != nil && isImageRead
    }

    private mutating func readImage(_ spec: FieldReader) -> Bool {
        guard let found = spec.text("image", &findings) else { return false }
        do throws(Failure) {
            cluster.image = try Reference(found.value)
            return true
        } catch {
            findings.report(found.mark, error.what)
            return false
        }
    }

    // MARK: - What hosts have too

    mutating func readSSH(_ fields: FieldReader, _ path: String) -> SSHSettings? {
        guard let reader = fields.fields("ssh", &findings) else { return nil }
        for key in ["user", "passwd", "pk", "pkPasswd", "port"] { note("\(path).\(key)", reader.value(key)) }
        var settings = SSHSettings()
        settings.user = nonEmpty(reader.text("user", &findings))
        settings.password = nonEmpty(reader.text("passwd", &findings)).map(SecretReference.init(reading:))
        settings.identityFile = nonEmpty(reader.text("pk", &findings))
        settings.passphrase = nonEmpty(reader.text("pkPasswd", &findings)).map(SecretReference.init(reading:))
        settings.port = reader.port("port", &findings)
        _ = reader.flag("encrypted", &findings)
        return settings
    }

    /// Older files have empty strings for what is not set.
    private func nonEmpty(_ found: Located<String>?) -> String? {
        found.flatMap { $0.value.isEmpty ? nil : $0.value }
    }

    mutating func readEnvironment(_ fields: FieldReader, _ path: String) -> [String: String] {
        if fields.value("env")?.mapping != nil { return readMap(fields, "env", path) }
        var environment: [String: String] = [:]
        for found in fields.texts("env", &findings) ?? [] {
            guard let equals = found.value.firstIndex(of: "=") else {
                findings.report(found.mark, "\"\(Cluster.shown(found.value))\" has no =, NAME=VALUE was expected")
                continue
            }
            let name = String(found.value[..<equals])
            let value = String(found.value[found.value.index(after: equals)...])
            if environment.updateValue(value, forKey: name) != nil {
                findings.report(found.mark, "\(Cluster.shown(name)) stands twice in \(fields.name("env"))")
            } else {
                note("\(path).\(name)", found.mark)
            }
        }
        return environment
    }

    /// A mapping of the user's own keys to strings.
    mutating func readMap(_ fields: FieldReader, _ key: String, _ path: String) -> [String: String] {
        guard let node = fields.value(key) else { return [:] }
        guard let mapping = node.mapping else {
            findings.report(node.mark, "\(fields.name(key)) must be a mapping, here stands \(node.kindInWords)")
            return [:]
        }
        var map: [String: String] = [:]
        for entry in mapping {
            note("\(path).\(entry.key)", entry.keyMark)
            if let found = fields.text(entry.value, key, of: entry.key, &findings) { map[entry.key] = found.value }
        }
        return map
    }

    // MARK: - Networks

    private mutating func readNetwork(_ spec: FieldReader) {
        guard let reader = spec.fields("network", &findings) else { return }
        if let networks = readNetworks(reader, "podCIDR") { cluster.network.pods = networks }
        if let networks = readNetworks(reader, "svcCIDR") { cluster.network.services = networks }
    }

    private mutating func readNetworks(_ reader: FieldReader, _ key: String) -> [IPNetwork]? {
        guard let node = reader.value(key) else { return nil }
        let path = "spec.network.\(key)"
        note(path, node.mark)
        guard let found = reader.text(key, &findings) else {
            incomplete.insert(path)
            return nil
        }
        return networks(found.value, at: found.mark, path)
    }

    private mutating func networks(_ text: String, at mark: YAMLMark, _ path: String) -> [IPNetwork]? {
        do throws(Failure) {
            return try ClusterNetwork.networks(text)
        } catch {
            findings.report(mark, error.what)
            incomplete.insert(path)
            return nil
        }
    }

    /// Networks that only a ClusterConfiguration names, as users of sealer 0.8 and later write them.
    mutating func takeNetworksOfKubeadm() {
        guard let document = cluster.kubeadmDocuments.first(where: { $0.kind == .clusterConfiguration }),
            let networking = document.fields["networking"]
        else { return }
        for (name, key) in [("podSubnet", "podCIDR"), ("serviceSubnet", "svcCIDR")] {
            let path = "spec.network.\(key)"
            guard let node = networking[name], let text = node.string, !isNoted(path) else { continue }
            note(path, node.mark)
            guard let networks = networks(text, at: node.mark, path) else { continue }
            if key == "podCIDR" { cluster.network.pods = networks } else { cluster.network.services = networks }
        }
    }

    // MARK: - Settings of the whole cluster

    private mutating func readCertificates(_ spec: FieldReader) {
        cluster.certificateNames = readTexts(spec, "certSANs", "spec.certSANs") ?? []
        guard let reader = spec.fields("certificates", &findings) else { return }
        for key in ["authorityYears", "leafYears", "folder"] { note("spec.certificates.\(key)", reader.value(key)) }
        if let years = reader.number("authorityYears", &findings) { cluster.certificates.authorityYears = years.value }
        if let years = reader.number("leafYears", &findings) { cluster.certificates.leafYears = years.value }
        cluster.certificates.folder = reader.text("folder", &findings)?.value
    }

    /// The strings of a list, whose places are remembered.
    mutating func readTexts(_ fields: FieldReader, _ key: String, _ path: String) -> [String]? {
        guard let found = fields.texts(key, &findings) else { return nil }
        note(path, fields.value(key))
        for (index, item) in found.enumerated() { note("\(path)[\(index)]", item.mark) }
        return found.map(\.value)
    }

    private mutating func readAliases(_ spec: FieldReader) {
        for (number, item) in (spec.items("hostAliases", &findings) ?? []).enumerated() {
            let fields = ClusterfileSchema.specification.first { $0.name == "hostAliases" }?.type.fields ?? []
            let path = "spec.hostAliases[\(cluster.hostAliases.count)]"
            guard let reader = FieldReader(item, fields, path: "spec.hostAliases[\(number)]", &findings) else {
                continue
            }
            let names = readTexts(reader, "hostnames", "\(path).hostnames")
            guard let address = readAddress(reader, "ip"), let names else { continue }
            note(path, item.mark)
            cluster.hostAliases.append(HostAlias(address: address, names: names))
        }
    }

    private mutating func readAddress(_ fields: FieldReader, _ key: String) -> IPAddress? {
        guard let found = fields.text(key, &findings) else { return nil }
        if let address = IPAddress(found.value) { return address }
        let message = "\"\(Cluster.shown(found.value))\" is not an address, one as 192.168.0.2 or fd00::2 was expected"
        findings.report(found.mark, message)
        return nil
    }

    private mutating func readRegistry(_ spec: FieldReader) {
        guard let reader = spec.fields("registry", &findings)?.fields("localRegistry", &findings) else { return }
        let path = "spec.registry.localRegistry"
        for key in ["domain", "port"] { note("\(path).\(key)", reader.value(key)) }
        if let domain = reader.text("domain", &findings) { cluster.registry.domain = domain.value }
        if let port = reader.port("port", &findings) { cluster.registry.port = port }
        if let flag = reader.flag("ha", &findings) { cluster.registry.onEveryMaster = flag }
        _ = reader.flag("insecure", &findings)
        guard let names = reader.fields("cert", &findings)?.fields("subjectAltName", &findings) else { return }
        for key in ["dnsNames", "ips"] {
            for found in names.texts(key, &findings) ?? [] {
                let isAddress = IPAddress(found.value) != nil
                if key == "ips", !isAddress {
                    findings.report(found.mark, "\"\(Cluster.shown(found.value))\" is not an address")
                } else if key == "dnsNames", isAddress {
                    findings.report(found.mark, "\(found.value) is an address, and belongs to ips")
                } else {
                    note("\(path).cert.subjectAltName[\(cluster.registry.certificateNames.count)]", found.mark)
                    cluster.registry.certificateNames.append(found.value)
                }
            }
        }
    }

    private mutating func readSettings(_ spec: FieldReader) {
        if let runtime = spec.fields("containerRuntime", &findings) {
            note("spec.containerRuntime.type", runtime.value("type"))
            cluster.containerRuntime = runtime.text("type", &findings)?.value
        }
        note("spec.dataRoot", spec.value("dataRoot"))
        cluster.dataRoot = spec.text("dataRoot", &findings)?.value ?? cluster.dataRoot
        cluster.applications = readApplications(spec, "appNames")
        cluster.commands = readTexts(spec, "cmd", "spec.cmd")
        guard let container = spec.fields("container", &findings) else { return }
        note("spec.container.nodeImage", container.value("nodeImage"))
        let image = container.text("nodeImage", &findings)?.value
        cluster.nodeContainers.image = image ?? cluster.nodeContainers.image
        cluster.nodeContainers.egress = container.flag("egress", &findings) ?? cluster.nodeContainers.egress
    }

    /// Names of applications; sealer 0.11 writes one empty name for none.
    mutating func readApplications(_ fields: FieldReader, _ key: String) -> [String]? {
        readTexts(fields, key, "spec.appNames").map { $0 == [""] ? [] : $0 }
    }
}
