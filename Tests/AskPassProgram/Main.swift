import FoundationEssentials
import Glibc
import Remote

/// What ssh asks for passwords in tests, as sealer's own executable does it elsewhere.
@main
enum Main {
    static func main() {
        let environment = ProcessInfo.processInfo.environment
        exit(AskPass.runIfInvoked(arguments: CommandLine.arguments, environment: environment) ?? 64)
    }
}
