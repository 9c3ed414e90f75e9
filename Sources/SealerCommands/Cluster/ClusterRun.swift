import ApplyEngine
import ArgumentParser
import ClusterRuntime
import Clusterfile
import Glibc
import LinuxSystem
import Report
import SystemPackage
import Terminal

/// How plans are executed.
struct ExecutionOptions: ParsableArguments {
    @Option(help: ArgumentHelp("How many steps may run at once.", valueName: "count"))
    var concurrency: Int = PlanExecutor.defaultConcurrency

    @Flag(name: .shortAndLong, help: "Do what is destructive too, without asking.")
    var yes = false

    @Flag(help: "Say what would be done, and do none of it; only sealer's agent comes to the hosts, as with 'plan'.")
    var dryRun = false

    @OptionGroup var hostKeys: HostKeyOptions

    /// What a command to go on with repeats of them, with a blank before it: it ends or deletes what this one was to.
    var words: String { yes ? " --yes" : "" }

    func validate() throws {
        if concurrency < 1 { throw ValidationError("--concurrency must be 1 or more") }
    }
}

/// How the pods of hosts that leave are ended.
struct DrainOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "How long each pod of a host that leaves may take to end, 0 for no time at all; what it says itself without this.",
            valueName: "seconds"))
    var drainGracePeriod: Int?

    @Option(
        help: ArgumentHelp(
            "How long all pods of a host that leaves may take, waiting for disruption budgets included.",
            valueName: "seconds"))
    var drainTimeout: Int = DrainPolicy.defaultTimeout

    /// The options that say the same, for a command to go on with.
    var words: String {
        (drainGracePeriod.map { " --drain-grace-period \($0)" } ?? "")
            + (drainTimeout == DrainPolicy.defaultTimeout ? "" : " --drain-timeout \(drainTimeout)")
    }

    var policy: DrainPolicy { DrainPolicy(gracePeriod: drainGracePeriod, timeout: drainTimeout) }

    /// The most that may be waited, in seconds: a day.
    private static let longest = 86_400

    func validate() throws {
        if let drainGracePeriod, !(0...Self.longest ~= drainGracePeriod) {
            throw ValidationError("--drain-grace-period must be 0 to \(Self.longest) seconds")
        }
        if !(1...Self.longest ~= drainTimeout) {
            throw ValidationError("--drain-timeout must be 1 to \(Self.longest) seconds")
        }
    }
}

/// What `run`, `apply` and the like do alike: plan, show, execute, report.
struct ClusterRun {
    let context: CommandContext
    let root: String?
    let progress: ProgressMode
    let output: OutputFormat
    let execution: ExecutionOptions

    private struct Report: Encodable {
        struct Node: Encodable {
            var name: String
            var address: String
        }
        struct Stage: Encodable {
            var title: String
            var host: String?
            var seconds: Double
        }
        var name: String
        var kubeconfig: String
        var steps: Int
        var nodes: [Node]
        var stages: [Stage]
    }

    func run(_ cluster: Cluster, _ options: Engine.Options) async throws {
        if execution.dryRun {
            let plan = try await context.withProgress(progress) { display in
                try await ClusterEngine.make(
                    context: context, root: root, progress: display, hostKeys: execution.hostKeys
                ).plan(cluster)
            }
            return try context.print(plan, as: output) { PlanText(plan: plan).text }
        }
        let applied = try await apply(cluster, options)
        let (running, recorded) = (applied.cluster, applied.progress)
        let report = Report(
            name: running.name,
            kubeconfig: running.kubeconfig.string,
            steps: running.plan.steps.count,
            nodes: running.addresses.map { .init(name: $0.name, address: $0.address) },
            stages: recorded.times.stages.map {
                .init(title: $0.title, host: $0.host, seconds: $0.duration / .seconds(1))
            }
        )
        try context.print(report, as: output) {
            guard !running.plan.isEmpty else { return PlanText(plan: running.plan).text }
            let addresses = report.nodes.map { "\($0.name) \($0.address)" }.joined(separator: ", ")
            return
                (recorded.times.table.lines + [
                    "",
                    "cluster \(report.name) runs: \(addresses)",
                    "use it:    export KUBECONFIG=\(report.kubeconfig)",
                    "remove it: sealer delete --name \(report.name)\(RootOptions.words(root))",
                ]).joined(separator: "\n")
        }
    }

    private func apply(_ cluster: Cluster, _ options: Engine.Options) async throws
        -> (cluster: Engine.AppliedCluster, progress: RecordedProgress)
    {
        var options = options
        options.concurrency = execution.concurrency
        let settled = options
        let recorded = RecordedProgress()
        let running = try await Interruption.pausing(settled.pause, tell: context.writeError) {
            try await context.withProgress(progress) { display in
                let sink = CombinedProgress([display, recorded])
                let engine = try await ClusterEngine.make(
                    context: context, root: root, progress: sink, hostKeys: execution.hostKeys)
                return try await engine.apply(cluster, settled) { plan in try approve(plan, expected: settled.expected)
                }
            }
        }
        return (running, recorded)
    }

    /// What is destructive is done only when the user has seen it.
    private func approve(_ plan: Plan, expected: Plan?) throws {
        let destructive = plan.steps.filter(\.isDestructive)
        // Who gives a plan has seen it.
        guard !destructive.isEmpty, !execution.yes, expected == nil else { return }
        throw Failure(
            .usage,
            "the plan has steps that end or delete something:\n" + destructive.map(\.summary).joined(separator: "\n"),
            at: plan.cluster, remedy: "if that is meant, run it again with --yes; see all of it with: sealer plan")
    }
}
