import ArgumentParser
import Report
import Terminal

/// The root of the command line.
public struct SealerCommand: AsyncParsableCommand {
    /// The version of this build.
    public static let version = "0.1.0"

    /// How the command line looks.
    public static let configuration = CommandConfiguration(
        commandName: "sealer",
        abstract: "Packs a whole Kubernetes cluster into one image, and runs it anywhere, offline.",
        discussion: """
            A ClusterImage holds Kubernetes, the applications, and every container image they need.

            Example:
              sealer build --tag shop:1.0 .
              sealer run shop:1.0 --provider container --masters 1 --nodes 1 --name shop

            Exit codes: 0 done; 1 a command on a host failed, or any error of 'plan --detailed-exitcode'; 2 the same found \
            something to do; 64 wrong usage; 65 wrong input (Kubefile, Clusterfile, manifest); 66 not found; 68 unreachable; \
            69 a tool or service is missing; 70 a fault of sealer; 71 the system refused; 73 what is there does not allow it; 75 timed \
            out; 76 wrong bytes or protocol; 77 permission denied; 130 interrupted.
            """,
        version: version,
        groupedSubcommands: [
            CommandGroup(
                name: "Images",
                subcommands: [
                    BuildCommand.self, ImagesCommand.self, InspectCommand.self, PullCommand.self, PushCommand.self,
                    SaveCommand.self, LoadCommand.self, CopyCommand.self, TagCommand.self,
                    RemoveImageCommand.self, PruneCommand.self, FsckCommand.self,
                    DiffCommand.self, MountCommand.self, UnmountCommand.self,
                ]
            ),
            CommandGroup(
                name: "Clusters",
                subcommands: [
                    RunCommand.self, PlanCommand.self, ApplyCommand.self, JoinCommand.self, ScaleDownCommand.self,
                    StatusCommand.self, HistoryCommand.self, ClustersCommand.self, ExecCommand.self, CpCommand.self,
                    KubeconfigCommand.self, DeleteCommand.self, ResetCommand.self,
                    GenCommand.self, ExplainCommand.self, SchemaCommand.self,
                ]
            ),
            CommandGroup(
                name: "Services",
                subcommands: [LoginCommand.self, LogoutCommand.self, RegistryCommand.self, NodeCommand.self]),
        ]
    )

    /// Makes the command; ArgumentParser needs it.
    public init() {}

    /// Runs a command line.
    ///
    /// - Parameter arguments: the program's name first.
    /// - Returns: the exit code, documented in `--help`.
    public static func execute(_ arguments: [String], in context: CommandContext) async -> Int32 {
        let command: any ParsableCommand
        do {
            command = try parseAsRoot(Array(arguments.dropFirst()))
        } catch {
            let code = report(parsing: error, in: context)
            return code != 0 && PlanCommand.hasDetailedExitCode(arguments) ? PlanCommand.detailedErrorCode : code
        }
        guard let command = command as? any ContextCommand else {
            // Help, version, completions and commands that are only groups: ArgumentParser's own.
            var command = command
            do {
                try command.run()
                return 0
            } catch {
                return report(parsing: error, in: context)
            }
        }
        do {
            if command.handlesSignals {
                try await command.run(in: context)
            } else {
                try await Interruption.cancelling { [command] in try await command.run(in: context) }
            }
            return 0
        } catch let code as ExitCode {
            // The command has said all there is to say.
            return code.rawValue
        } catch {
            // Names in it may come from strangers' archives. Diagnostics keep the form FILE:LINE:COLUMN from the first on.
            let text = TerminalText.block(Failure.words(of: error))
            context.writeError(error is InvalidText ? text : "sealer: \(text)")
            return command.exitCode(of: error)
        }
    }

    private static func report(parsing error: any Error, in context: CommandContext) -> Int32 {
        let code = exitCode(for: error).rawValue
        let text = fullMessage(for: error)
        if code == 0 { context.write(text) } else if !text.isEmpty { context.writeError(text) }
        return code
    }

    static func exitCode(of error: any Error) -> Int32 {
        switch error {
        case let failure as Failure: failure.kind.exitCode
        case is InvalidText: Failure.Kind.invalidInput.exitCode
        case is CancellationError: Failure.Kind.cancelled.exitCode
        default: Failure.Kind.software.exitCode
        }
    }
}

/// A command that does its work within a context, so that tests run it in process.
protocol ContextCommand: AsyncParsableCommand, Sendable {
    /// Whether the command itself sees to Ctrl-C and SIGTERM; others are cancelled by the first of them.
    var handlesSignals: Bool { get }

    /// The exit code that an error ends the command with.
    func exitCode(of error: any Error) -> Int32

    func run(in context: CommandContext) async throws
}

extension ContextCommand {
    var handlesSignals: Bool { false }

    func exitCode(of error: any Error) -> Int32 { SealerCommand.exitCode(of: error) }

    func run() async throws {
        try await run(in: .live())
    }
}
