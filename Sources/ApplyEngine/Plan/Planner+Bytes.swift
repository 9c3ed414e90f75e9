import ClusterRuntime

/// How the image's bytes come to the hosts, and how the hosts find the registry.
extension Planner {
    /// The operator sends to one master, the others get from its registry. Who has a way to images already keeps it until the new
    /// one leads somewhere.
    mutating func addBytes() {
        for host in difference.hosts {
            addPreparation(host)
            if !keepsItsWay(host) { addWays(host) }
        }
        for host in difference.hosts where host.host == difference.source { addSending(host) }
        for host in difference.hosts where keepsItsWay(host) && !host.isMaster { addWays(host) }
        for host in difference.hosts where host.host != difference.source { addFetching(host) }
        for host in difference.hosts where keepsItsWay(host) && host.isMaster { addWays(host) }
    }

    /// What must have ended before images can be had from the registry that the operator sends to.
    var imageSource: [PlanStep.ID] { ["send-image", "registry/\(difference.source)"] }

    /// The steps after which all hosts find the registry where it shall be.
    var ways: [PlanStep.ID] {
        difference.hosts.flatMap { host in
            ["balancer", NodeAspect.Name.names.rawValue, "names", "join"].map { "\($0)/\(host.host)" }
        }
    }

    /// Whether a host is a member whose way to the registry changes only when the registry is there: a master whose own may be
    /// about to come, and every host when one registry serves all.
    private func keepsItsWay(_ host: NodeDifference) -> Bool {
        host.membership == .complete && (host.isMaster || difference.registryHost != nil)
    }

    private mutating func addPreparation(_ host: NodeDifference) {
        if let rename = host.rename {
            step(
                "hostname/\(host.host)", .prepare, .setHostname(rename.name), on: host.host,
                "give the host the name \(rename.name)", rename.reason, limit: 60)
        }
        configure(.registryAccess, host, .prepare)
    }

    private mutating func addWays(_ host: NodeDifference) {
        var registry: [PlanStep.ID] = []
        if keepsItsWay(host) {
            registry = ["fetch/\(host.host)", "registry/\(host.host)"]
            if difference.registryHost != nil || host.host == difference.source { registry += imageSource }
        }
        configure(.balancer, host, .prepare, after: registry)
        if let reason = host.names {
            let isGuest = host.isMaster && host.host != difference.first && host.membership != .complete
            step(
                "names/\(host.host)", .prepare, .writeNames(through: isGuest ? difference.first : nil), on: host.host,
                "name the registry and the API server", reason,
                // The names lead to it.
                after: ["balancer/\(host.host)"] + registry, limit: 60)
        }
        // Afterwards: its service would only add what is lacking.
        configure(.names, host, .prepare, after: ["names/\(host.host)"] + registry)
    }

    private mutating func addSending(_ host: NodeDifference) {
        if let reason = host.rootfsBytes {
            step("send-rootfs", .distribute, .sendRootfs, on: host.host, "send the rootfs", reason, limit: 1800)
        }
        if let reason = host.imageBytes {
            step(
                "send-image", .distribute, .sendImage, on: host.host, "send the container images", reason,
                after: ["send-rootfs"], limit: 7200)
        }
        configure(.registry, host, .distribute, after: ["send-rootfs"])
        addUnpacking(host, after: ["send-rootfs"])
    }

    private mutating func addFetching(_ host: NodeDifference) {
        // The registry serves what has a name: the whole image must have arrived there.
        let source = imageSource + ["names", "registry-access", "balancer"].map { "\($0)/\(host.host)" }
        if host.isMaster, let reason = host.imageBytes {
            step(
                "fetch/\(host.host)", .distribute, .fetchImage, on: host.host, "fetch the image from the registry",
                reason, after: source, limit: 7200)
        } else if let reason = host.rootfsBytes {
            step(
                "fetch/\(host.host)", .distribute, .fetchRootfs, on: host.host, "fetch the rootfs from the registry",
                reason, after: source, limit: 1800)
        }
        configure(.registry, host, .distribute, after: ["fetch/\(host.host)"])
        addUnpacking(host, after: ["fetch/\(host.host)"])
    }

    private mutating func addUnpacking(_ host: NodeDifference, after: [PlanStep.ID]) {
        if let reason = host.rootfs {
            step(
                "unpack/\(host.host)", .distribute, .unpackRootfs, on: host.host, "unpack the rootfs", reason,
                after: after, limit: 900)
        }
        configure(.configuration, host, .install, after: ["unpack/\(host.host)"])
    }

    /// A registry ends only when nobody is led to it any more, by whichever way, and whoever fetched from it has.
    mutating func addRegistryEnds() {
        let others = difference.hosts.flatMap { ["fetch/\($0.host)", "unpack/\($0.host)"] }
        for host in difference.hosts {
            guard let reason = host.registryEnd else { continue }
            step(
                "registry-end/\(host.host)", .clean, .endRegistry, on: host.host,
                "stop the registry of the cluster there, and remove the image that it served", reason,
                after: imageSource + ways + others + membersToReach, limit: 420)
        }
    }
}
