import ApplyEngine
import ArgumentParser
import ClusterRuntime
import Clusterfile
import LinuxSystem
import Report
import SystemPackage
import Terminal

struct DeleteCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Take a cluster off its hosts, or some hosts out of it, and remove what was made for it.",
        discussion: """
            Without --masters and --nodes all of the cluster goes, at once and without asking: what it brought to hosts, and the \
            containers, networks and volumes that were made for it. With them only those hosts go, as with 'sealer scale-down': \
            their pods move elsewhere first, and it is done only with --yes.

            Example:
              sealer delete --name shop
              sealer delete --name shop --nodes 10.0.0.7 --yes
            """
    )

    @Option(help: ArgumentHelp("The cluster's name.", valueName: "name"))
    var name: String

    @OptionGroup var hosts: ScaledHosts

    @Flag(help: "Leave out the plugins of the Clusterfile that run before and after hosts leave; for whole clusters.")
    var skipPlugins = false

    @Flag(help: "Leave hosts that do not answer as they are, and name them; for whole clusters.")
    var skipUnreachable = false

    @OptionGroup var execution: ExecutionOptions
    @OptionGroup var drain: DrainOptions
    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var outputOptions: OutputOptions

    /// A whole cluster goes with the first signal; hosts go by a plan, which can end between steps.
    var handlesSignals: Bool { !hosts.isEmpty }

    /// What would mean nothing is refused: nobody shall lose a cluster by an option that was passed over.
    func validate() throws {
        guard hosts.isEmpty else {
            for (option, isSet) in [("--skip-plugins", skipPlugins), ("--skip-unreachable", skipUnreachable)]
            where isSet {
                throw ValidationError("\(option) is for whole clusters, not for some hosts")
            }
            return
        }
        let meaningless: [(String, Bool)] = [
            ("--dry-run", execution.dryRun),
            ("--concurrency", execution.concurrency != PlanExecutor.defaultConcurrency),
            ("--output", outputOptions.output != .text),
            ("--drain-grace-period", drain.drainGracePeriod != nil),
            ("--drain-timeout", drain.drainTimeout != DrainPolicy.defaultTimeout),
        ]
        if let option = meaningless.first(where: \.1)?.0 {
            throw ValidationError("\(option) is for the removal of hosts: name them with --masters or --nodes")
        }
    }

    func run(in context: CommandContext) async throws {
        guard hosts.isEmpty else {
            return try await HostRemoval(
                command: "delete", name: name, hosts: hosts, drain: drain,
                run: ClusterRun(
                    context: context, root: rootOptions.root, progress: progressOptions.progress,
                    output: outputOptions.output, execution: execution)
            ).perform()
        }
        try Cluster.checkName(name)
        let removed = try await context.withProgress(progressOptions.progress) { progress in
            try await ClusterEngine.make(
                context: context, root: rootOptions.root, progress: progress, hostKeys: execution.hostKeys
            ).delete(name, skipsPlugins: skipPlugins, givesUpSilent: skipUnreachable)
        }
        for thing in removed { context.write("removed \(thing)") }
    }
}

struct ClustersCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "clusters",
        abstract: "List the clusters that this machine made.",
        discussion: """
            Example:
              sealer clusters --output json
            """
    )

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var outputOptions: OutputOptions

    private struct Row: Encodable {
        var name: String
        var folder: String
    }

    func run(in context: CommandContext) async throws {
        let state = try context.root(rootOptions.root)
        let names = try await BlockingPool.shared.run { try ClusterFolder.clusters(in: state) }
        let rows = names.map { Row(name: $0, folder: ClusterFolder(state: state, cluster: $0).path.string) }
        try context.print(rows, as: outputOptions.output) {
            TextTable.text(header: ["NAME", "FOLDER"], rows: rows.map { [$0.name, $0.folder] })
        }
    }
}
