import Clusterfile
import Infra
import Report

/// Which hosts of a cluster a command is for.
public struct HostSelection: Sendable, Hashable {
    /// Roles, of which a host must have one; empty for all.
    public var roles: [String]
    /// Names or addresses, of which a host must have one; empty for all.
    public var hosts: [String]

    /// Makes a selection: of all hosts, unless something is said.
    public init(roles: [String] = [], hosts: [String] = []) {
        self.roles = roles
        self.hosts = hosts
    }

    /// The hosts that fit, in their order.
    ///
    /// - Throws: `Failure` of kind `notFound` for a role or a host that the cluster does not have, and when nothing fits both.
    public func select(from places: [HostPlace], of cluster: String) throws(Failure) -> [HostPlace] {
        let knownRoles = Set(places.flatMap(\.member.roles))
        if let unknown = roles.first(where: { !knownRoles.contains($0) }) {
            throw Failure(
                .notFound, "no host has the role \(unknown)", at: cluster,
                remedy: "name one of its roles: \(knownRoles.sorted().joined(separator: ", "))")
        }
        if let unknown = hosts.first(where: { name in !places.contains { Self.isNamed($0, name) } }) {
            throw Failure(
                .notFound, "there is no host \(unknown)", at: cluster,
                remedy: "name one of its hosts: \(places.map(\.name).joined(separator: ", "))")
        }
        let selected = places.filter { place in
            (roles.isEmpty || place.member.roles.contains { roles.contains($0) })
                && (hosts.isEmpty || hosts.contains { Self.isNamed(place, $0) })
        }
        guard !selected.isEmpty else {
            throw Failure(
                .notFound, "none of the hosts that were named has one of the roles that were named", at: cluster)
        }
        return selected
    }

    /// Whether a name, or an address in whatever spelling, means the host.
    private static func isNamed(_ place: HostPlace, _ name: String) -> Bool {
        if place.name == name || place.address == name { return true }
        guard let address = IPAddress(name) else { return false }
        return [place.name, place.address].contains { $0.flatMap { IPAddress($0) } == address }
    }
}
