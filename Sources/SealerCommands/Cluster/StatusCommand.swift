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

            Hosts that do not answer are named with the reason, and with what Kubernetes says of them; everything else is \
            shown all the same. What would have to be done can only be told when all masters and the API server answer. The \
            command fails when no host can be reached, or the Clusterfile or its image cannot be read.

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
            StatusText(status: status, source: source.words + rootOptions.words).text
        }
    }
}
