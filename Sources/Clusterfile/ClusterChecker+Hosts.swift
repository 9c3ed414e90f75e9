import Report

extension ClusterChecker {
    mutating func checkHosts() {
        for (index, group) in cluster.hosts.enumerated() { checkGroup(group, "spec.hosts[\(index)]") }
        checkMasters()
        checkAddresses()
        let total = cluster.hosts.reduce(0) { $0 + max($1.count, 0) }
        if total > Cluster.mostHosts {
            report("spec.hosts", "\(total) hosts were asked for, \(Cluster.mostHosts) are the most there may be")
        }
        let containers = cluster.hosts.indices.filter { cluster.hosts[$0].provider == .container }
        let number = containers.reduce(0) { $0 + max(cluster.hosts[$1].count, 0) }
        if number > Cluster.mostContainers, let last = containers.last {
            report(
                "spec.hosts[\(last)].count",
                "\(number) containers were asked for, \(Cluster.mostContainers) are the most there may be on one"
                    + " machine"
            )
        }
        let locals = cluster.hosts.indices.filter { cluster.hosts[$0].provider == .local }
        for index in locals.dropFirst() {
            report(
                "spec.hosts[\(index)].provider", "a second group of provider local: there is only one such machine",
                related: "spec.hosts[\(locals[0])].provider")
        }
    }

    private mutating func checkGroup(_ group: HostGroup, _ path: String) {
        checkRoles(group.roles, "\(path).roles")
        switch group.provider {
        case .container:
            if !group.addresses.isEmpty {
                report("\(path).ips", "containers get their addresses from Docker, count was expected instead of ips")
            }
            if group.count < 1 {
                report("\(path).count", "1 container or more was expected, \(group.count) were asked for")
            }
        case .baremetal, .local:
            if group.addresses.isEmpty {
                report(path, "no host: ips was expected, with an address or a range")
            } else if group.provider == .local, group.addresses.count > 1 {
                report("\(path).ips", "the provider local is this very machine: one address was expected")
            } else if group.count != group.addresses.count {
                report(
                    "\(path).count", "count is \(group.count), but there are \(group.addresses.count) addresses",
                    related: "\(path).ips")
            }
        }
        if let ssh = group.ssh { checkSSH(ssh, "\(path).ssh") }
        checkEnvironment(group.environment, "\(path).env")
        for (key, value) in group.labels.sorted(by: { $0.key < $1.key }) {
            if let problem = Cluster.labelProblem(key, value) { report("\(path).labels.\(key)", problem) }
        }
        var seen: [String: Int] = [:]
        for (index, taint) in group.taints.enumerated() {
            let place = "\(path).taints[\(index)]"
            if let problem = taint.problem {
                report(place, problem)
            } else if let first = seen.updateValue(index, forKey: "\(taint.key):\(taint.effect.rawValue)") {
                let message = "a taint of key \(taint.key) and effect \(taint.effect.rawValue) stands twice"
                report(place, message, related: "\(path).taints[\(first)]")
            }
        }
    }

    private mutating func checkRoles(_ roles: [String], _ path: String) {
        guard !roles.isEmpty else {
            return report(path, "a host needs a role: master, node or a name of your own was expected")
        }
        var seen: [String: Int] = [:]
        for (index, role) in roles.enumerated() {
            let place = "\(path)[\(index)]"
            if role.isEmpty {
                report(place, "an empty role: master, node or a name of your own was expected")
            } else if !Spelling.isName(role) {
                report(place, "the role \(Cluster.valueProblem(role))")
            } else if role == "control-plane" {
                report(place, "\(role) is kubeadm's own name for masters: the role master was expected instead")
            } else if role == Plugin.firstMaster {
                report(place, "\(role) means the first master, and is no role: another name was expected")
            } else if let first = seen.updateValue(index, forKey: role) {
                report(place, "the role \(role) stands twice", related: "\(path)[\(first)]")
            }
        }
        let ordinary = [HostGroup.master, HostGroup.node]
        guard roles.contains(where: ordinary.contains) else {
            let near = roles.compactMap { NearName.nearest(to: $0, of: ordinary) }.first
            let message =
                "neither master nor node is among the roles, so these hosts become workers"
                + (near.map { ", did you mean \($0)?" } ?? ": write node beside them")
            return report(path, message, .warning)
        }
        for (index, role) in roles.enumerated() where !ordinary.contains(role) && role != Plugin.firstMaster {
            // Names of one's own are short words, too: core is not node.
            guard let near = NearName.nearest(to: role, of: ordinary, lettersPerSlip: 3) else { continue }
            let message = "the role \(Cluster.shown(role)) is a name of your own, did you mean \(near)?"
            report("\(path)[\(index)]", message, .warning)
        }
    }

    private mutating func checkMasters() {
        let groups = cluster.hosts.indices.filter { cluster.hosts[$0].roles.contains(HostGroup.master) }
        let masters = groups.reduce(0) { $0 + max(cluster.hosts[$1].count, 0) }
        guard masters > 0, let last = groups.last else {
            return report("spec.hosts", "a cluster needs a master: a host with the role master was expected")
        }
        if masters > Cluster.mostMasters {
            let message = "\(masters) masters were asked for, \(Cluster.mostMasters) are the most there may be"
            report("spec.hosts[\(last)].roles", message, related: "spec.hosts")
        } else if masters.isMultiple(of: 2) {
            let message = "etcd on \(masters) masters survives no more losses than on \(masters - 1): use an odd number"
            report("spec.hosts[\(last)].roles", message, .warning, related: "spec.hosts")
        }
    }

    /// Ranges can repeat each other by thousands: so many of one sort are told one by one.
    private static let mostAlike = 10

    private mutating func checkAddresses() {
        var places: [IPAddress: String] = [:]
        var alike: [String: Int] = [:]
        var skipped: [(sort: String, place: String)] = []
        let families = cluster.network.pods.map(\.family)
        for (index, group) in cluster.hosts.enumerated() {
            for (number, address) in group.addresses.enumerated() {
                let place = "spec.hosts[\(index)].ips[\(number)]"
                var found: [(sort: String, message: String, related: String?)] = []
                if let first = places[address] {
                    found.append(("stand twice", "the address \(address) stands twice", first))
                } else {
                    places[address] = place
                }
                if let (network, what) = Self.reserved.first(where: { $0.0.contains(address) }) {
                    found.append(("are no host's", "\(address) is in \(network), which is for \(what)", nil))
                }
                for (field, what, networks) in networkFields {
                    if let network = networks.first(where: { $0.contains(address) }) {
                        let message = "the host's address \(address) is in the \(what) network \(network)"
                        found.append(("are in the \(what) network", message, "spec.network.\(field)"))
                    }
                }
                if !families.isEmpty, !families.contains(address.family) {
                    let message = "\(address) is an \(address.family) address, but no network of the pods is one"
                    found.append(("are of a family that the pods' networks lack", message, "spec.network.podCIDR"))
                } else if let first = families.first, first != address.family, group.roles.contains(HostGroup.master) {
                    let message =
                        "\(address) is an \(address.family) address, but the pods' first network is one of \(first)"
                    found.append(("of masters are not of the first family", message, "spec.network.podCIDR"))
                }
                for problem in found {
                    alike[problem.sort, default: 0] += 1
                    if alike[problem.sort, default: 0] <= Self.mostAlike {
                        report(place, problem.message, related: problem.related)
                    } else if alike[problem.sort] == Self.mostAlike + 1 {
                        skipped.append((problem.sort, place))
                    }
                }
            }
        }
        for (sort, place) in skipped {
            report(place, "\((alike[sort] ?? 0) - Self.mostAlike) more addresses \(sort)")
        }
    }
}
