import ApplyEngine
import ArgumentParser
import Clusterfile
import LinuxSystem
import Report
import SystemPackage
import Terminal

struct DeleteCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract:
            "Take a cluster off its hosts, and remove the containers, networks and volumes that were made for it.",
        discussion: """
            Example:
              sealer delete --name shop
            """
    )

    @Option(help: ArgumentHelp("The cluster's name.", valueName: "name"))
    var name: String

    @Flag(help: "Leave out the plugins of the Clusterfile that run before and after hosts leave.")
    var skipPlugins = false

    @OptionGroup var hostKeyOptions: HostKeyOptions
    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions

    func run(in context: CommandContext) async throws {
        try Cluster.checkName(name)
        let removed = try await context.withProgress(progressOptions.progress) { progress in
            try await ClusterEngine.make(
                context: context, root: rootOptions.root, progress: progress, hostKeys: hostKeyOptions
            ).delete(name, skipsPlugins: skipPlugins)
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
