import ApplyEngine
import ArgumentParser
import Clusterfile
import Report
import Terminal

struct PlanCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Say what would be done to make a cluster what its Clusterfile says, and do none of it.",
        discussion: """
            On hosts that it looks at it places its agent, which is sealer's own executable, below /var/lib/sealer/bin, and \
            changes nothing else there. A worker that does not answer is named, for what it needs is not known. \
            All masters must answer.

            With --output json the result is a file that 'sealer apply --plan' executes. With --detailed-exitcode the exit \
            code is 0 when there is nothing to do, 2 when there is something, and 1 after any error, whatever its code is \
            without it.

            Example:
              sealer plan --file Clusterfile
              sealer plan --output json > shop.plan && sealer apply --plan shop.plan
            """
    )

    @OptionGroup var source: ClusterfileOptions

    @Flag(help: "Exit with 2 when there is something to do, 0 when there is nothing, 1 after any error.")
    var detailedExitcode = false

    @OptionGroup var hostKeyOptions: HostKeyOptions
    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var outputOptions: OutputOptions

    func run(in context: CommandContext) async throws {
        let cluster = try await source.cluster(in: context, root: rootOptions.root)
        let plan = try await context.withProgress(progressOptions.progress) { progress in
            try await ClusterEngine.make(
                context: context, root: rootOptions.root, progress: progress, hostKeys: hostKeyOptions
            ).plan(cluster)
        }
        try context.print(plan, as: outputOptions.output) { PlanText(plan: plan).text }
        if detailedExitcode, !plan.isEmpty { throw ExitCode(2) }
    }

    func exitCode(of error: any Error) -> Int32 {
        detailedExitcode ? Self.detailedErrorCode : SealerCommand.exitCode(of: error)
    }

    /// What every error ends with under `--detailed-exitcode`, so that scripts need to know three codes only.
    static let detailedErrorCode: Int32 = 1

    /// Whether a command line, the program's name first, asks for it: one that is wrong elsewhere is no command to ask.
    static func hasDetailedExitCode(_ arguments: [String]) -> Bool {
        let words = arguments.dropFirst()
        return words.first == configuration.commandName && words.contains("--detailed-exitcode")
    }
}
