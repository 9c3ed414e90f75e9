import ArgumentParser
import NodeAgent
import SystemPackage

struct NodeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node",
        abstract: "What sealer does on a node of a cluster.",
        discussion: """
            Example:
              sealer node agent --store /var/lib/sealer/store
            """,
        subcommands: [NodeAgentCommand.self, BalancerCommand.self]
    )
}

struct NodeAgentCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "agent",
        abstract: "Serve the operator over standard input and output.",
        discussion: """
            sealer starts it on the nodes by itself; it ends when its standard input ends.

            Example:
              sealer node agent --store /var/lib/sealer/store
            """
    )

    @Option(help: ArgumentHelp("The node's image store.", valueName: "folder"))
    var store: String = "/var/lib/sealer/store"

    // It ends when its input does, and ends what it runs then.
    var handlesSignals: Bool { true }

    func run(in context: CommandContext) async throws {
        try await AgentServer.serveStandardStreams(store: FilePath(store))
    }
}
