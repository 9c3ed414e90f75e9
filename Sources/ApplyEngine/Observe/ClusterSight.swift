import ClusterRuntime
import Clusterfile
import Infra
import Remote
import Report

/// What was seen of a cluster of which hosts, or the API server, may not answer.
struct ClusterSight: Sendable {
    /// The hosts that were looked at, in the order of the Clusterfile.
    var hosts: [HostObservation] = []
    /// The hosts that do not answer.
    private(set) var silent: Set<String> = []
    /// What Kubernetes says of its nodes; nil when it could not be asked or does not answer.
    var nodes: [NodeStatus]?
    /// What would have to be done on what answers; nil when it cannot be told.
    var drift: [String]?
    /// What could not be looked at and why, a line for each.
    private(set) var problems: [String] = []

    /// Makes one of a cluster that nothing was seen of.
    init() {}

    // MARK: - Problems

    /// Notes what went wrong, once: what a whole failure has told need not be told by each of its parts.
    ///
    /// - Parameter host: the host that it concerns; nil when the failure says it.
    mutating func note(_ error: any Error, of host: String? = nil) {
        var line = Self.line(error)
        if let host, !line.hasPrefix("\(host):") { line = "\(host): \(line)" }
        if !problems.contains(where: { $0.contains(line) }) { problems.append(line) }
    }

    /// Notes that a host does not answer, and why.
    mutating func note(_ error: any Error, fromSilent host: String) {
        silent.insert(host)
        note(error, of: host)
    }

    /// A failure's words in one line, so that each line is a problem of its own.
    private static func line(_ error: any Error) -> String {
        let parts = Failure.words(of: error).split(separator: "\n").map { part in part.drop { $0 == " " } }
        return parts.filter { !$0.isEmpty }.reduce(into: "") { line, part in
            if !line.isEmpty { line += line.hasSuffix(":") ? " " : "; " }
            line.append(contentsOf: part)
        }
    }

    // MARK: - Nodes

    /// What is known of hosts.
    func nodes(at places: [HostPlace]) -> [ClusterStatus.Node] { places.map { node(at: $0) } }

    private func node(at place: HostPlace) -> ClusterStatus.Node {
        let seen = hosts.first { $0.host == place.name }
        let status = self.status(of: place, seen)
        return ClusterStatus.Node(
            host: place.name, name: seen?.nodeName ?? status?.name, roles: place.member.roles, address: place.address,
            state: state(of: place, seen, status), version: status?.version)
    }

    /// What Kubernetes says of a host: by its name, or by its address where nobody could ask it for the name.
    private func status(of place: HostPlace, _ seen: HostObservation?) -> NodeStatus? {
        if let seen { return nodes?.first { $0.name == seen.nodeName } }
        guard let address = place.address else { return nil }
        return nodes?.first { $0.address == address }
    }

    private func state(of place: HostPlace, _ seen: HostObservation?, _ status: NodeStatus?) -> String {
        guard place.transport != nil else { return "not there" }
        let words = status.map { $0.isReady ? "Ready" : "not Ready: \($0.reason)" }
        guard let seen else {
            let state = silent.contains(place.name) ? "does not answer" : "cannot be looked at"
            return words.map { "\(state); in Kubernetes: \($0)" } ?? state
        }
        if let words { return words }
        let isUnknown = nodes == nil && seen.mark?.membership == .complete
        return isUnknown ? "answers; Kubernetes does not tell of it" : "no member"
    }
}
