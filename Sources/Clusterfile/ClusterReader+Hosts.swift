import Report
import YAML

extension ClusterReader {
    mutating func readHosts(_ spec: FieldReader) {
        let before = findings.errors
        let isProviderNamed = spec.value("provider") != nil
        let provider = readProvider(spec)
        if spec.has("hosts") {
            note("spec.hosts", spec.value("hosts")?.mark ?? spec.keyMark("hosts"))
            for key in ["masters", "nodes"] where spec.has(key) {
                let message = "spec.\(key) and spec.hosts exclude each other: put these hosts among spec.hosts"
                findings.report(spec.keyMark(key), message)
            }
            for (number, item) in (spec.items("hosts", &findings) ?? []).enumerated() {
                readGroup(item, number, provider ?? .baremetal)
            }
        } else if isProviderNamed || spec.has("masters") || spec.has("nodes") {
            readShortForm(spec, provider, isProviderNamed: isProviderNamed)
        } else {
            findings.report(spec.mark, "spec.hosts is missing, a list of hosts with ips and roles was expected")
        }
        if findings.errors > before { incomplete.insert("spec.hosts") }
    }

    private mutating func readProvider(_ fields: FieldReader) -> HostGroup.Provider? {
        if let node = fields.value("provider"), let text = node.string,
            ["ALI_CLOUD", "ALICLOUD"].contains(text.uppercased())
        {
            let known = HostGroup.Provider.allCases.map(\.rawValue).joined(separator: ", ")
            findings.report(node.mark, "the provider \(text) is not supported yet, \(known) was expected")
            return nil
        }
        return fields.choice("provider", &findings).flatMap { HostGroup.Provider(rawValue: $0.value) }
    }

    // MARK: - hosts

    private mutating func readGroup(_ item: YAMLNode, _ number: Int, _ provider: HostGroup.Provider) {
        guard
            let fields = FieldReader(
                item, ClusterfileSchema.hostGroup, path: "spec.hosts[\(number)]", &findings)
        else { return }
        // The rules know the groups by their number among those that could be read.
        let path = "spec.hosts[\(cluster.hosts.count)]"
        note(path, item.mark)
        for key in ["provider", "ips", "count", "roles"] { note("\(path).\(key)", fields.value(key)) }
        var group = HostGroup(provider: provider, roles: [])
        let before = findings.errors
        if fields.value("provider") != nil { group.provider = readProvider(fields) ?? provider }
        for found in fields.texts("ips", &findings) ?? [] {
            takeRange(found, into: &group.addresses, "\(path).ips")
        }
        let count = fields.number("count", &findings)?.value
        group.count = count ?? (group.provider == .container ? 1 : group.addresses.count)
        // Without a number of hosts that can be trusted, that there is none is not told as well.
        if findings.errors > before { incomplete.formUnion([path, "\(path).ips", "\(path).count"]) }
        let roles = readTexts(fields, "roles", "\(path).roles") ?? []
        if roles.count < fields.value("roles")?.sequence?.count ?? 1 { incomplete.insert("\(path).roles") }
        group.roles = roles
        group.ssh = readSSH(fields, "\(path).ssh")
        group.environment = readEnvironment(fields, "\(path).env")
        group.labels = readMap(fields, "labels", "\(path).labels")
        for found in fields.texts("taints", &findings) ?? [] {
            do throws(Failure) {
                let taint = try Taint(found.value)
                note("\(path).taints[\(group.taints.count)]", found.mark)
                group.taints.append(taint)
            } catch {
                findings.report(found.mark, error.what)
            }
        }
        cluster.hosts.append(group)
    }

    private mutating func takeRange(_ found: Located<String>, into addresses: inout [IPAddress], _ path: String) {
        do throws(Failure) {
            let range = try AddressRange(found.value)
            // A small file can ask for millions of addresses.
            guard hosts + range.count <= Cluster.mostHosts else {
                findings.report(
                    found.mark,
                    "with \"\(Cluster.shown(found.value))\" there are more than \(Cluster.mostHosts) hosts, the"
                        + " most there"
                        + " may be")
                return
            }
            hosts += range.count
            for address in range.addresses {
                note("\(path)[\(addresses.count)]", found.mark)
                addresses.append(address)
            }
        } catch {
            findings.report(found.mark, error.what)
        }
    }

    // MARK: - masters and nodes

    private mutating func readShortForm(
        _ spec: FieldReader, _ provider: HostGroup.Provider?, isProviderNamed: Bool
    ) {
        let parts = [("masters", HostGroup.master), ("nodes", HostGroup.node)].map { key, role in
            (key: key, role: role, fields: spec.fields(key, &findings))
        }
        var chosen = provider
        if chosen == nil, !isProviderNamed {
            if parts.contains(where: { $0.fields?.value("ipList") != nil }) {
                chosen = .baremetal
            } else {
                let known = HostGroup.Provider.allCases.map(\.rawValue).joined(separator: ", ")
                findings.report(spec.mark, "spec.provider is missing, \(known) was expected")
            }
        }
        guard let chosen else { return }
        note("spec.hosts", spec.value("provider")?.mark ?? spec.mark)
        for (key, role, fields) in parts {
            if spec.value(key) != nil, fields == nil { continue }
            if chosen == .container {
                readContainers(spec, key, role, fields)
            } else if let fields {
                readList(chosen, role, fields)
            }
        }
    }

    private mutating func readContainers(_ spec: FieldReader, _ key: String, _ role: String, _ fields: FieldReader?) {
        // Files of sealer 0.5 have an empty list for what Docker decides.
        if let node = fields?.value("ipList"), node.sequence?.isEmpty != true {
            findings.report(
                node.mark, "containers get their addresses from Docker, count was expected instead of ipList")
        }
        let found = fields?.number("count", &findings)
        guard found != nil || fields?.value("count") == nil else { return }
        let count = found?.value ?? 1
        if let found, count == 0, role == HostGroup.master { note("spec.hosts", found.mark) }
        guard count != 0 else { return }
        let path = "spec.hosts[\(cluster.hosts.count)]"
        if let mark = found?.mark ?? spec.value(key)?.mark {
            note(path, mark)
            note("\(path).count", mark)
            note("\(path).roles", mark)
        }
        cluster.hosts.append(HostGroup(provider: .container, count: count, roles: [role]))
    }

    private mutating func readList(_ provider: HostGroup.Provider, _ role: String, _ fields: FieldReader) {
        var total = 0
        let before = findings.errors
        for found in fields.texts("ipList", &findings) ?? [] {
            let (address, port) = Self.splitPort(found.value)
            let sshPort = port.flatMap { UInt16($0) }
            if port != nil, sshPort ?? 0 == 0 {
                findings.report(
                    found.mark, "\"\(Cluster.shown(found.value))\" does not end in a port, 1 to 65535 was expected")
                continue
            }
            // Hosts with a port of their own are a group of their own.
            var group = cluster.hosts.last ?? HostGroup(roles: [])
            let isNew = total == 0 || group.ssh?.port != sshPort
            if isNew {
                group = HostGroup(
                    provider: provider, roles: [role], ssh: sshPort.map { SSHSettings(port: $0) })
            } else {
                cluster.hosts.removeLast()
            }
            let path = "spec.hosts[\(cluster.hosts.count)]"
            if isNew {
                note(path, found.mark)
                note("\(path).roles", fields.value("ipList"))
            }
            let earlier = group.addresses.count
            takeRange(Located(value: address, mark: found.mark), into: &group.addresses, "\(path).ips")
            total += group.addresses.count - earlier
            group.count = group.addresses.count
            if !group.addresses.isEmpty { cluster.hosts.append(group) }
        }
        let count = fields.number("count", &findings)
        guard findings.errors == before, let count, count.value != total else { return }
        let message =
            total == 0
            ? "hosts of the provider \(provider.rawValue) have addresses: ipList was expected"
            : "\(fields.name("count")) is \(count.value), but ipList has \(total) addresses"
        findings.report(count.mark, message)
    }

    /// Parts `10.0.0.1:22` and `[fd00::1]:22`.
    private static func splitPort(_ text: String) -> (address: String, port: String?) {
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
            let rest = text[text.index(after: end)...]
            // Whatever else stands there makes it no address.
            guard rest.isEmpty || rest.hasPrefix(":") else { return (text, nil) }
            return (
                String(text[text.index(after: text.startIndex)..<end]), rest.isEmpty ? nil : String(rest.dropFirst())
            )
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        return parts.count == 2 ? (String(parts[0]), String(parts[1])) : (text, nil)
    }
}
