import ApplyEngine
import Terminal

/// A cluster's status for people.
struct StatusText {
    let status: ClusterStatus
    /// The options that name the same cluster to another command.
    let source: String

    /// The lines.
    var text: String {
        let applications = status.applications.isEmpty ? "none" : status.applications.joined(separator: "; ")
        let change = status.change.map { ["being changed: \(TerminalText.line($0.words))"] } ?? []
        let head =
            [
                "cluster:       \(status.name)\(running)",
                "image:         \(status.image)  \(status.imageDigest)",
                "Kubernetes:    \(status.kubernetes)",
                "certificates:  \(certificates)",
                "applications:  \(applications)",
            ] + change
        return (head + [""] + nodes + [""] + problems + drift).joined(separator: "\n")
    }

    private var running: String {
        if status.isRunning { return "" }
        return status.problems.isEmpty ? ", which does not run" : ", which was not seen to run"
    }

    private var certificates: String {
        if let first = status.certificates.first {
            return "the first to end is \(first.host): \(first.name) ends \(first.ends), in \(first.daysLeft) days"
        }
        return status.problems.isEmpty ? "none yet" : "none that can be seen"
    }

    private var nodes: [String] {
        var table = TextTable(header: ["HOST", "NODE", "ROLES", "ADDRESS", "STATE", "KUBELET"])
        for node in status.nodes {
            table.add([
                node.host, node.name ?? "-", node.roles.joined(separator: ","), node.address ?? "-", node.state,
                node.version ?? "-",
            ])
        }
        return table.lines
    }

    private var problems: [String] {
        if status.problems.isEmpty { return [] }
        return ["problems:"] + status.problems.map { "  \(TerminalText.line($0))" } + [""]
    }

    private var drift: [String] {
        guard let drift = status.drift else { return ["drift: what would have to be done cannot be told"] }
        if drift.isEmpty {
            let whole = "drift: none, the cluster is what its Clusterfile says"
            return [status.problems.isEmpty ? whole : "drift: none in what could be looked at"]
        }
        return ["drift, which 'sealer apply \(source)' would mend:"] + drift.map { "  \($0)" }
    }
}
