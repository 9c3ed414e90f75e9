import ApplyEngine
import ArgumentParser
import Clusterfile

struct RunCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Make a cluster out of a ClusterImage, and launch its applications.",
        discussion: """
            Nothing is fetched from outside: all that the cluster needs is in the image.

            Example:
              sealer run shop:1.0 --provider container --masters 1 --nodes 1 --name shop
            """
    )

    @Argument(help: "The ClusterImage.")
    var image: String

    @OptionGroup var flags: ClusterFlags

    @OptionGroup var execution: ExecutionOptions
    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var outputOptions: OutputOptions

    var handlesSignals: Bool { true }

    func run(in context: CommandContext) async throws {
        let cluster = try flags.cluster(image: image)
        for warning in try flags.sshOptions.check(cluster) { context.writeError("warning: \(warning)") }
        var options = Engine.Options()
        options.mustBeNew = true
        options.command = "run"
        options.resume = "sealer apply --name \(cluster.name)\(rootOptions.words)\(execution.words)"
        try await ClusterRun(
            context: context,
            root: rootOptions.root,
            progress: progressOptions.progress,
            output: outputOptions.output,
            execution: execution
        ).run(cluster, options)
    }
}
