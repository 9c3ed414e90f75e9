import ApplyEngine
import ArgumentParser
import Clusterfile
import FoundationEssentials
import LinuxSystem
import Report
import SystemPackage
import Terminal

struct ApplyCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Make a cluster what its Clusterfile says, whatever state it is in.",
        discussion: """
            Looks at all hosts and the cluster, and does only what is missing. After a failure, or when it was interrupted, run it \
            again: it goes on from there. Ctrl-C ends it between steps, a second Ctrl-C at once.

            Node containers that were stopped are started first. A worker that does not answer is left out, and the command then \
            fails and names it; while it is no member yet, nothing is launched either. When any master does not answer, nothing \
            is done.

            Steps that end or delete something are done only with --yes. A plan that --plan names is executed without it, such \
            steps included: who gives a plan has seen it.

            Example:
              sealer apply --file Clusterfile
              sealer apply --name shop
            """
    )

    @OptionGroup var source: ClusterfileOptions

    @Option(
        help: ArgumentHelp(
            "Execute exactly this plan of 'sealer plan --output json', its destructive steps too, or refuse.",
            valueName: "path"))
    var plan: String?

    @OptionGroup var execution: ExecutionOptions
    @OptionGroup var drain: DrainOptions
    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var outputOptions: OutputOptions

    var handlesSignals: Bool { true }

    func run(in context: CommandContext) async throws {
        let cluster = try await source.cluster(in: context, root: rootOptions.root)
        var options = Engine.Options()
        options.command = "apply"
        options.drain = drain.policy
        options.resume = "sealer apply \(source.words)\(rootOptions.words)\(execution.words)\(drain.words)"
        if let plan {
            let path = FilePath(plan)
            let bytes = try await BlockingPool.shared.run { try readFile(path, limit: 64 << 20) }
            options.expected = try Plan(file: .init(bytes), name: plan)
        }
        try await ClusterRun(
            context: context,
            root: rootOptions.root,
            progress: progressOptions.progress,
            output: outputOptions.output,
            execution: execution
        ).run(cluster, options)
    }
}
