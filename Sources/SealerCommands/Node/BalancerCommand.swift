import ArgumentParser
import NodeBalancer
import SystemPackage
import Terminal

struct BalancerCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "lb",
        abstract: "Lead this node's connections to masters of the cluster that live.",
        discussion: """
            A systemd service runs it on the workers; docs/balancer.md tells what the file holds.

            Example:
              sealer node lb --config /etc/sealer/balancer.json
            """
    )

    @Option(help: ArgumentHelp("The configuration, JSON; it is read again when it changes.", valueName: "file"))
    var config: String

    // systemd ends it by SIGTERM: that is an orderly end, not a failure.
    var handlesSignals: Bool { true }

    func run(in context: CommandContext) async throws {
        let file = FilePath(config)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                do {
                    try await NodeBalancer.run(configuration: file) { context.writeError(TerminalText.line($0)) }
                } catch is CancellationError {
                    // The signal did it.
                }
            }
            group.addTask { await Interruption.wait() }
            try await group.next()
            group.cancelAll()
            try await group.waitForAll()
        }
    }
}
