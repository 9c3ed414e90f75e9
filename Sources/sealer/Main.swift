import FoundationEssentials
import Glibc
import Remote
import SealerCommands

/// The entry: a synchronous main that parks its thread, since an `async` one would end in `pthread_exit`, which makes a
/// static binary sort all its unwinding tables first.
@main
enum Main {
    static func main() {
        signal(SIGPIPE, SIG_IGN)
        // Under another name it is what ssh asks for passwords.
        let environment = ProcessInfo.processInfo.environment
        if let status = AskPass.runIfInvoked(arguments: CommandLine.arguments, environment: environment) {
            exit(status)
        }
        Task.detached {
            exit(await SealerCommand.execute(CommandLine.arguments, in: .live()))
        }
        while true { pause() }
    }
}
