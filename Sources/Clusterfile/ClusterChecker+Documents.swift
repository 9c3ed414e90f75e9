import Report
import YAML

extension ClusterChecker {
    mutating func checkKubeadmDocuments() {
        var seen: [KubeadmDocument.Kind: Int] = [:]
        for (index, document) in cluster.kubeadmDocuments.enumerated() {
            let path = "kubeadm[\(index)]"
            let versions = document.kind.apiVersions
            if !versions.contains(document.apiVersion) {
                let expected = versions.sorted().joined(separator: " or ")
                let shown = Cluster.shown(document.apiVersion)
                report(
                    "\(path).apiVersion",
                    "\"\(shown)\" is not an API version of \(document.kind.rawValue), \(expected) was expected")
            }
            if let first = seen.updateValue(index, forKey: document.kind) {
                let message = "a second document of kind \(document.kind.rawValue)"
                report(path, message, related: "kubeadm[\(first)]")
            }
            for problem in document.fieldProblems { report("\(path).\(problem.path)", problem.message) }
            guard document.kind == .clusterConfiguration else { continue }
            let networking = document.fields["networking"]
            let fields = [("podSubnet", "podCIDR"), ("serviceSubnet", "svcCIDR")]
            for ((name, field), (_, what, networks)) in zip(fields, networkFields) {
                // What is no text is told already.
                guard let text = networking?[name]?.string else { continue }
                let own = networks.map(\.description).joined(separator: ",")
                do throws(Failure) {
                    if try ClusterNetwork.networks(text) == networks { continue }
                } catch {
                    report("\(path).networking.\(name)", error.what, related: "spec.network.\(field)")
                    continue
                }
                report(
                    "\(path).networking.\(name)",
                    "networking.\(name) differs from the \(what) network \(own): set spec.network.\(field), and"
                        + " leave this"
                        + " out", related: "spec.network.\(field)")
            }
        }
    }

    private mutating func checkDocumentName(_ name: String, _ path: String, _ seen: inout [String: String]) {
        if !Spelling.isName(name) {
            report("\(path).name", "the name \(Cluster.valueProblem(name))")
        } else if let first = seen[name] {
            report("\(path).name", "the name \(name) stands twice", related: first)
        } else {
            seen[name] = "\(path).name"
        }
    }

    mutating func checkConfigs() {
        var names: [String: String] = [:]
        for (index, config) in cluster.configs.enumerated() {
            let path = "configs[\(index)]"
            checkDocumentName(config.name, path, &names)
            if !Spelling.isInnerPath(config.path) {
                let shown = Cluster.shown(config.path)
                report(
                    "\(path).path",
                    "\"\(shown)\" is not a path in the rootfs, one as etc/kubeadm.yml was expected, without .."
                        + " and without /"
                        + " in front")
            }
            if config.strategy == .merge { checkMergedData(config.data, "\(path).data") }
        }
    }

    private mutating func checkMergedData(_ data: String, _ path: String) {
        var limits = YAMLLimits.standard
        limits.bytes = 1 << 20
        do throws(InvalidText) {
            let documents = try YAMLDocuments.parse(data, file: "data", limits: limits)
            if documents.isEmpty { report(path, "there is nothing to merge, a YAML mapping was expected") }
            for document in documents where document.mapping == nil {
                report(path, "a YAML mapping was expected, here stands \(document.kindInWords)", inner: document.mark)
            }
        } catch {
            for diagnostic in error.diagnostics {
                let place = YAMLMark(line: diagnostic.line, column: diagnostic.column)
                report(path, diagnostic.message, inner: place)
            }
        }
    }

    mutating func checkPlugins() {
        var names: [String: String] = [:]
        let addresses = Set(cluster.hosts.flatMap(\.addresses))
        let roles = Set(cluster.hosts.flatMap(\.roles))
        for (index, plugin) in cluster.plugins.enumerated() {
            let path = "plugins[\(index)]"
            checkDocumentName(plugin.name, path, &names)
            if plugin.phases.isEmpty { report("\(path).action", "a phase was expected, here stands none") }
            for phase in plugin.phases where !plugin.kind.phases.contains(phase) {
                let expected = plugin.kind.phases.map(\.rawValue).joined(separator: ", ")
                report(
                    "\(path).action",
                    "a plugin of type \(plugin.kind.rawValue) has nothing to do at \(phase.rawValue), one of \(expected) was"
                        + " expected")
            }
            let seconds = Cluster.pluginSeconds
            if !seconds.contains(plugin.timeout) {
                let expected = "\(seconds.lowerBound) to \(seconds.upperBound) seconds were expected"
                report("\(path).timeout", "\(expected), \(plugin.timeout) were asked for")
            }
            if plugin.scope.count > Cluster.mostHosts {
                report("\(path).scope", "more than \(Cluster.mostHosts) words are in the scope, the most there may be")
                continue
            }
            for (number, word) in plugin.scope.enumerated() {
                checkScope(word, "\(path).scope[\(number)]", addresses, roles)
            }
            if plugin.data.allSatisfy(\.isWhitespace) {
                report("\(path).data", "there is nothing to do in data")
            }
            let (assignments, mistakes) = plugin.readAssignments()
            for mistake in mistakes {
                let place = YAMLMark(line: mistake.line, column: mistake.column)
                report("\(path).data", mistake.message, inner: place)
            }
            for assignment in assignments where !addresses.contains(assignment.host) {
                let place = YAMLMark(line: assignment.line, column: 1)
                let message = "no host of the cluster has the address \(assignment.host)"
                report("\(path).data", message, related: "spec.hosts", inner: place)
            }
        }
    }

    private mutating func checkScope(_ word: String, _ path: String, _ hosts: Set<IPAddress>, _ roles: Set<String>) {
        if word == Plugin.firstMaster || word == Plugin.everyHost { return }
        if let selector = Plugin.LabelSelector(word) {
            if let problem = selector.problem {
                report(path, problem)
            } else if !cluster.hosts.contains(where: { selector.selects(roles: $0.roles, labels: $0.labels) }) {
                report(path, "no host of the cluster has the label \(Cluster.shown(word))", related: "spec.hosts")
            }
        } else if let address = IPAddress(word) {
            if !hosts.contains(address) {
                report(path, "no host of the cluster has the address \(address)", related: "spec.hosts")
            }
        } else if !roles.contains(word) {
            // Names enough for a hint.
            let known = roles.sorted().prefix(40) + [Plugin.firstMaster, Plugin.everyHost]
            let hint = NearName.hint(for: word, of: Array(known))
            let isOrdinary = word == HostGroup.master || word == HostGroup.node
            // Plugins are carried from cluster to cluster: one for all hosts is right where there is no worker.
            let message =
                "no host has the role \"\(Cluster.shown(word))\""
                + (isOrdinary ? "" : ", one of \(known.joined(separator: ", ")) or an address was expected\(hint)")
            report(path, message, isOrdinary ? .warning : .error, related: "spec.hosts")
        }
    }
}
