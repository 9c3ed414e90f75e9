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
func command(_ arguments: [String], root: FilePath?, environment: [String: String] = [:]) async -> CommandOutcome {
    let output = CapturedOutput()
    let error = CapturedOutput()
    var variables = environment
    variables["SEALER_ROOT"] = root?.string
    let context = CommandContext(
        environment: variables,
        home: root,
        executable: "/proc/self/exe",
        write: { output.line($0) },
        writeError: { error.line($0) },
        makeProgress: { _ in ProgressMode.none.display(environment: [:]) }
    )
    let code = await SealerCommand.execute(["sealer"] + arguments, in: context)
    return CommandOutcome(code: code, output: output.text, error: error.text)
}
