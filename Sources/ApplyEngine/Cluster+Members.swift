import Clusterfile

extension Cluster {
    /// This cluster without the hosts at some addresses. Containers have none, so they stay.
    func without(_ gone: Set<String>) -> Cluster {
        var rest = self
        rest.hosts = hosts.compactMap { group in
            guard group.provider != .container else { return group }
            var group = group
            group.addresses.removeAll { gone.contains($0.description) }
            group.count = group.addresses.count
            return group.addresses.isEmpty ? nil : group
        }
        return rest
    }

    /// This cluster with the hosts of another one that it does not have itself.
    func joined(with other: Cluster) -> Cluster {
        var all = self
        let known = Set(hosts.flatMap(\.addresses))
        for group in other.hosts {
            if group.provider == .container {
                // Containers of a role are numbered: the larger number holds all.
                let isMaster = group.roles.contains(HostGroup.master)
                func isAlike(_ candidate: HostGroup) -> Bool {
                    candidate.provider == .container && candidate.roles.contains(HostGroup.master) == isMaster
                }
                let mine = hosts.filter(isAlike).reduce(0) { $0 + $1.count }
                let theirs = other.hosts.filter(isAlike).reduce(0) { $0 + $1.count }
                let already = all.hosts.filter(isAlike).reduce(0) { $0 + $1.count }
                guard theirs > mine, already < theirs else { continue }
                var rest = group
                rest.count = theirs - already
                all.hosts.append(rest)
            } else {
                var rest = group
                rest.addresses = group.addresses.filter { !known.contains($0) }
                rest.count = rest.addresses.count
                if !rest.addresses.isEmpty { all.hosts.append(rest) }
            }
        }
        return all
    }
}
