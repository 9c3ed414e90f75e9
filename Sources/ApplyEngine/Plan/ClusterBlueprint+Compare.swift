import ClusterRuntime
import Clusterfile
import OCI
import Remote
import Report
import SystemPackage

extension ClusterBlueprint {
    /// What there is lacks of the blueprint.
    ///
    /// - Parameters:
    ///   - leaving: hosts that were of the cluster and are not in its Clusterfile any more.
    ///   - leavingNames: names and addresses of all that leave, also of those that cannot be reached.
    public func difference(
        from observation: ClusterObservation, leaving: [HostObservation] = [], leavingNames: Set<String> = []
    ) throws -> ClusterDifference {
        let kubernetes = observation.kubernetes
        try checkAuthorities(observation.hosts)
        try checkMasters(observation, leaving)
        let first = kubernetes?.through ?? nodes.first { $0.isMaster }?.host ?? ""
        let seen = Dictionary(observation.hosts.map { ($0.host, $0) }) { first, _ in first }
        let throughAddress = nodes.first { $0.host == first }?.address ?? ""
        var difference = ClusterDifference(
            hosts: nodes.compactMap { node in
                seen[node.host].map {
                    self.difference(node, $0, kubernetes, isFirst: node.host == first, through: throughAddress)
                }
            },
            first: first,
            registryHost: registryHost,
            isInitialised: kubernetes != nil,
            needsLaunchForNetwork: settings.podNetworking == .fromApplications,
            launch: launchReason(kubernetes?.record),
            pods: podsReason(kubernetes?.record),
            record: try recordReason(kubernetes?.record),
            leaving: leavingNodes(kubernetes, leaving, leavingNames),
            unreached: observation.unreached.map { host in
                .init(host: host.host, isMember: kubernetes?.nodes.contains(where: host.isNode) ?? false)
            }
        )
        if let kubernetes { try addConfiguration(to: &difference, kubernetes, seen) }
        return difference
    }

    /// A file that differs was changed by somebody, and is mended. Where both halves of a pair differ, the cluster is another one
    /// than this machine knows, and would break with this one's.
    private func checkAuthorities(_ hosts: [HostObservation]) throws(Failure) {
        for node in nodes {
            guard let seen = hosts.first(where: { $0.host == node.host }), seen.mark?.membership == .complete,
                let files = node.aspects.first(where: { $0.name == .authorities })?.files
            else { continue }
            let others = files.filter { file in
                seen.files[file.path.string].map { $0.digest != file.state?.digest } ?? false
            }
            // `ca.crt` and `ca.key`, `sa.pub` and `sa.key`.
            let pairs = Dictionary(grouping: others) { $0.path.removingLastComponent().appending($0.path.stem ?? "") }
            guard pairs.values.contains(where: { $0.count > 1 }) else { continue }
            throw Failure(
                .conflict,
                "the master has other authorities than this machine knows: the cluster was made anew from elsewhere",
                at: node.host,
                remedy: "to take it over as it is, move the folder away that this machine keeps of it, then apply its "
                    + "Clusterfile: clusters/\(cluster.name) below sealer's root")
        }
    }

    /// Looks whether what is there can be gone on with: the only master that runs a cluster is never begun anew, and no second cluster
    /// beside one that is there.
    private func checkMasters(_ observation: ClusterObservation, _ leaving: [HostObservation]) throws(Failure) {
        if let kubernetes = observation.kubernetes {
            guard let asked = observation.hosts.first(where: { $0.host == kubernetes.through }),
                !kubernetes.nodes.contains(where: { $0.name == asked.nodeName })
            else { return }
            throw Failure(
                .conflict,
                "the master runs the cluster, and the cluster has no node \(asked.nodeName): somebody has deleted it",
                at: asked.host,
                remedy: "on that host 'systemctl restart kubelet' makes the node again, 'kubeadm init phase "
                    + "mark-control-plane' a master of it"
                    + (nodes.first { $0.host == asked.host }?.podNetwork?.split(separator: ",").first.map {
                        ", 'kubectl patch node \(asked.nodeName) --patch {\"spec\":{\"podCIDR\":\"\($0)\"}}' gives it its pod network"
                    } ?? "") + "; then run sealer apply again")
        }
        let masters = leaving.filter { $0.member.isMaster && $0.mark?.membership == .complete }.map(\.host)
        guard masters.isEmpty else {
            throw Failure(
                .conflict,
                "the Clusterfile does not name \(masters.joined(separator: ", ")) any more, which \(masters.count == 1 ? "runs" : "run") the cluster, and none of the masters that it names is a member: the cluster would be lost, and an empty one made",
                at: cluster.name,
                remedy:
                    "name the former masters beside the new ones and apply that; when the new ones are members, take the "
                    + "former ones out and apply again")
        }
    }

    private func launchReason(_ record: [String: String]?) -> String? {
        guard let before = record?[RecordKey.launch] else { return "nothing was launched yet" }
        return before == launch.description ? nil : "the image's applications or their environment have changed"
    }

    /// What was launched and not seen to be well is looked at again: a launch is noted before that.
    private func podsReason(_ record: [String: String]?) -> String? {
        guard let record, record[RecordKey.launch] == launch.description else { return nil }
        // Earlier builds noted nothing of it: what they brought to its end was well.
        let seen = record[RecordKey.pods] ?? record[RecordKey.image].map { _ in launch.description }
        return seen == launch.description ? nil : "they were not seen to be well since the launch"
    }

    private func recordReason(_ record: [String: String]?) throws -> String? {
        guard let record else { return "the cluster has no record yet" }
        let wanted = try self.record
        let changed = [(RecordKey.image, "image"), (RecordKey.clusterfile, "Clusterfile")]
            .filter { record[$0.0] != wanted[$0.0] }.map(\.1)
        return changed.isEmpty ? nil : "it has another \(changed.joined(separator: " and "))"
    }

    private func difference(
        _ node: NodeBlueprint, _ seen: HostObservation, _ kubernetes: KubernetesObservation?, isFirst: Bool,
        through: String
    ) -> NodeDifference {
        let status = kubernetes?.nodes.first { $0.name == node.name }
        var membership = seen.mark?.membership ?? .none
        // A member that the cluster does not know any more must join anew; so must a host that is new, when the cluster still
        // knows one of its name, which is gone.
        if kubernetes != nil, (membership == .complete) != (status != nil) { membership = .begun }
        // So must a worker whose cluster has lost all its masters.
        if kubernetes == nil, membership == .complete { membership = .begun }
        var difference = NodeDifference(host: node.host, isMaster: node.isMaster, membership: membership)
        difference.wasMember = seen.mark?.membership == .complete && membership == .begun
        let isGuest = node.isMaster && !isFirst && membership != .complete
        let names = isGuest ? node.names(through: through) : node.names
        if seen.facts.hostname != node.name {
            difference.rename = .init(
                name: node.name,
                reason: "its name is \(seen.facts.hostname), "
                    + (node.namedBy.map { "the plugin \($0) says another" } ?? "it is a member as \(node.name)"))
        }
        if HostsFile.text(seen.hostsFile, with: names) != seen.hostsFile {
            difference.names = "/etc/hosts has other names"
        }
        for aspect in node.aspects {
            let found = aspect.differences(files: seen.files, services: seen.services)
            if !found.isEmpty { difference.aspects[aspect.name] = found.joined(separator: "; ") }
        }
        if let reason = rootfsReason(node, seen) {
            difference.rootfs = reason
            if node.configuration != nil {
                // They may look right now.
                difference.aspects[.configuration] =
                    difference.aspects[.configuration] ?? "the rootfs is unpacked anew"
            }
            if seen.missingRootfsBlobs > 0 {
                difference.rootfsBytes = "\(seen.missingRootfsBlobs) of its blobs are missing"
            }
        }
        if node.servesImages, seen.missingImageBlobs > 0 {
            difference.imageBytes = "\(seen.missingImageBlobs) blobs of the image are missing"
        } else if node.servesImages, seen.mark?.image != image {
            difference.imageBytes = "the image has no name there yet"
        }
        if node.isWithoutRegistry {
            var remains = RegistryService.remains(files: seen.files, services: seen.services)
            if seen.mark?.image != nil { remains.append("it keeps the whole image") }
            if !remains.isEmpty {
                difference.registryEnd = "the registry is on another master only: \(remains.joined(separator: ", "))"
            }
        }
        difference.runtime = runtimeReason(node, seen)
        if membership == .begun {
            // What is cleaned away takes these with it.
            let reason = "what is there of kubeadm's goes away first"
            difference.runtime = difference.runtime ?? reason
            for aspect in node.aspects where aspect.name == .podNetwork || aspect.name == .authorities {
                difference.aspects[aspect.name] = difference.aspects[aspect.name] ?? reason
            }
        }
        // A node that is to be replaced goes with all that it has.
        if let status, membership == .complete {
            difference.label = Self.labelReason(node, status, seen.mark)
            if !status.isReady {
                difference.unready = "it is not Ready: \(status.reason)"
            } else if status.isStale(since: seen.kubeletStart) {
                difference.unready = "its kubelet was started and has not reported since"
            } else if kubernetes?.silentMasters.contains(node.host) == true {
                difference.unready = "its API server does not answer"
            }
        } else if !node.labels.isEmpty || !node.taints.isEmpty {
            difference.label = "it becomes a member"
        }
        return difference
    }

    private func rootfsReason(_ node: NodeBlueprint, _ seen: HostObservation) -> String? {
        guard seen.mark?.rootfs == rootfs else {
            return seen.mark?.rootfs.map { "the rootfs \($0.short) is there, \(rootfs.short) is wanted" }
                ?? "it is not there"
        }
        let configured = Set(node.configuration?.files.map(\.path.string) ?? [])
        let left = (seen.mark?.overlaid ?? []).filter { !configured.contains($0) }.map { path in
            path.hasPrefix("\(settings.rootfs)/") ? String(path.dropFirst(settings.rootfs.count + 1)) : path
        }
        return left.isEmpty ? nil : "the Config for \(left.joined(separator: ", ")) is gone"
    }

    private func runtimeReason(_ node: NodeBlueprint, _ seen: HostObservation) -> String? {
        guard let mark = seen.mark, let runtime = mark.runtime else { return "it was not installed yet" }
        guard runtime == node.runtime, mark.rootfs == rootfs else {
            return "the rootfs or the environment of its scripts has changed"
        }
        let changed = mark.runtimeFiles.filter { seen.files[$0.key] != $0.value }.keys.sorted()
        return changed.isEmpty ? nil : "\(changed.joined(separator: ", ")) is not as the scripts left it"
    }

    private static func labelReason(_ node: NodeBlueprint, _ status: NodeStatus, _ mark: NodeMark?) -> String? {
        let labels = node.labels.filter { status.labels[$0.key] != $0.value }.map { "\($0.key)=\($0.value)" }.sorted()
        let taints = node.taints.filter { !status.taints.contains($0) }
        let lacking = labels + taints
        let reasons =
            (lacking.isEmpty ? [] : ["it lacks \(lacking.joined(separator: ", "))"])
            + (mark?.isDrained == true ? ["no pods come to it, for it was to leave"] : [])
            + [node.former.present(on: status).words].compactMap { $0 }
        if !reasons.isEmpty { return reasons.joined(separator: "; ") }
        // Noted otherwise after an interruption, or because somebody else took away what is not named any more.
        let isNoted =
            (mark?.labels ?? [:]).allSatisfy { node.labels[$0.key] == $0.value }
            && (mark?.taints ?? []).allSatisfy(node.taints.contains)
        return isNoted ? nil : "what it was given is noted otherwise"
    }

    private func leavingNodes(
        _ kubernetes: KubernetesObservation?, _ leaving: [HostObservation], _ leavingNames: Set<String>
    ) -> [LeavingNode] {
        let wanted = Set(nodes.map(\.name))
        let registered = (kubernetes?.nodes ?? []).filter { !wanted.contains($0.name) }
        let known = leaving.map { host in
            LeavingNode(
                host: host.host, node: host.nodeName, isMaster: host.member.isMaster,
                isRegistered: registered.contains { $0.name == host.nodeName })
        }
        let names = Set(known.map(\.node))
        let gone = registered.filter { !names.contains($0.name) }.compactMap { node -> LeavingNode? in
            let successor = nodes.first { $0.address == node.address }
            // A node that was never given to sealer is nobody's to remove.
            guard
                successor != nil || leavingNames.contains(node.name)
                    || node.address.map(leavingNames.contains) == true
            else { return nil }
            return LeavingNode(
                host: nil, node: node.name, isMaster: node.isMaster, isRegistered: true, successor: successor?.host)
        }
        return known + gone
    }
}
