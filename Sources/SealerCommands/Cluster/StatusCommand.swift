import ApplyEngine
import ArgumentParser
import Report
import Terminal

struct StatusCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show how a cluster is: nodes, versions, image, and where it has drifted from its Clusterfile.",
        discussion: """
            On hosts that it looks at it places its agent, which is sealer's own executable, below /var/lib/sealer/bin, and \
            changes nothing else there.

            Example:
              sealer status --name shop
            """
    )

    @OptionGroup var source: ClusterfileOptions
    @OptionGroup var hostKeyOptions: HostKeyOptions
    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var outputOptions: OutputOptions

    func run(in context: CommandContext) async throws {
        let cluster = try await source.cluster(in: context, root: rootOptions.root)
        let status = try await context.withProgress(progressOptions.progress) { progress in
            try await ClusterEngine.make(
                context: context, root: rootOptions.root, progress: progress, hostKeys: hostKeyOptions
            ).status(cluster)
        }
        try context.print(status, as: outputOptions.output) {
            var table = TextTable(header: ["HOST", "NODE", "ROLES", "ADDRESS", "STATE", "KUBELET"])
            for node in status.nodes {
                table.add([
                    node.host, node.name ?? "-", node.roles.joined(separator: ","), node.address ?? "-", node.state,
                    node.version ?? "-",
                ])
            }
            let first = status.certificates.first.map {
                "\($0.host): \($0.name) ends \($0.ends), in \($0.daysLeft) days"
            }
            let change = status.change.map { ["being changed: \(TerminalText.line($0.words))"] } ?? []
            let drift =
                status.drift.isEmpty
                ? ["drift: none, the cluster is what its Clusterfile says"]
                : ["drift, which 'sealer apply \(source.words)' would mend:"] + status.drift.map { "  \($0)" }
            return
                ([
                    "cluster:       \(status.name)\(status.isRunning ? "" : ", which does not run")",
                    "image:         \(status.image)  \(status.imageDigest)",
                    "Kubernetes:    \(status.kubernetes)",
                    "certificates:  \(first.map { "the first to end is \($0)" } ?? "none yet")",
                    "applications:  \(status.applications.isEmpty ? "none" : status.applications.joined(separator: "; "))",
                ] + change + [""] + table.lines + [""] + drift).joined(separator: "\n")
        }
    }
}
