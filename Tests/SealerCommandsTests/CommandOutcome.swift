import SealerCommands
import SystemPackage
import Terminal

/// What a command said and how it ended.
struct CommandOutcome {
    var code: Int32
    var output: String
    var error: String
}

/// Runs a command in process, with an environment and outputs of its own.
///
/// - Parameters:
///   - executable: what becomes the agent on hosts.
///   - agentFolder: the agent's folder on hosts.
func command(
    _ arguments: [String], root: FilePath?, environment: [String: String] = [:],
    executable: FilePath = "/proc/self/exe", agentFolder: FilePath = "/nowhere"
) async -> CommandOutcome {
    let output = CapturedOutput()
    let error = CapturedOutput()
    var variables = environment
    variables["SEALER_ROOT"] = root?.string
    var context = CommandContext(
        environment: variables,
        home: root,
        executable: executable,
        write: { output.line($0) },
        writeError: { error.line($0) },
        makeProgress: { _ in ProgressMode.none.display(environment: [:]) }
    )
    context.agentFolder = agentFolder
    let code = await SealerCommand.execute(["sealer"] + arguments, in: context)
    return CommandOutcome(code: code, output: output.text, error: error.text)
}
