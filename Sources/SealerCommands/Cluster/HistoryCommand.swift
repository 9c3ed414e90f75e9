import ApplyEngine
import ArgumentParser
import Clusterfile
import LinuxSystem
import Report
import Terminal

struct HistoryCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "history",
        abstract: "Tell what was done to a cluster, and how it ended.",
        discussion: """
            Example:
              sealer history --name shop
            """
    )

    @Option(help: ArgumentHelp("The cluster's name.", valueName: "name"))
    var name: String

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var outputOptions: OutputOptions

    func run(in context: CommandContext) async throws {
        try Cluster.checkName(name)
        let folder = ClusterFolder(state: try context.root(rootOptions.root), cluster: name)
        let history = try await BlockingPool.shared.run {
            guard folder.exists else {
                throw Failure(
                    .notFound, "there is no cluster of that name", at: name,
                    remedy: "see what there is with: sealer clusters")
            }
            return try History.read(folder.journal)
        }
        try context.print(history.runs, as: outputOptions.output) {
            var table = TextTable(header: ["BEGAN", "COMMAND", "STEPS", "END", "WHY"])
            for run in history.runs {
                let end =
                    switch run.end {
                    case .done: "done"
                    case .failed: "failed"
                    case .unknown: "killed, or running still"
                    }
                let troubles = run.troubles.map { trouble in
                    let place = trouble.host.map { "\($0): " } ?? ""
                    return "\(place)\(trouble.title)\(trouble.message == nil ? " (nothing tells how it ended)" : "")"
                }
                table.add([
                    run.began, run.command, "\(run.done) of \(run.planned)", end, troubles.joined(separator: "; "),
                ])
            }
            return table.lines.joined(separator: "\n")
        }
    }
}
