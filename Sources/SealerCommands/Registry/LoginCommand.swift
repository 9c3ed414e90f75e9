import ArgumentParser
import FoundationEssentials
import Glibc
import LinuxSystem
import RegistryClient
import Report
import SystemPackage
import Terminal

struct LoginCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "login",
        abstract: "Check a name and a password at a registry, and keep them where docker and podman look.",
        discussion: """
            The password is asked for, or read from standard input with --password-stdin.

            Example:
              pass show registry | sealer login registry.example.org --username ann --password-stdin
            """
    )

    @Argument(help: "The registry, HOST[:PORT].")
    var registry: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The name.", valueName: "name"))
    var username: String

    @Flag(help: "Read the password from standard input.")
    var passwordStdin = false

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "The password. Everybody on this machine can see it in the list of processes.", valueName: "password"))
    var password: String?

    @OptionGroup var progressOptions: ProgressOptions

    func run(in context: CommandContext) async throws {
        let host = try CredentialStore.host(registry)
        let keeper = try await CredentialStore.usual(environment: context.environment, home: context.home)
        let credential = Credential.password(user: username, password: try await secret(context))
        let check = try await context.withProgress(progressOptions.progress) { progress in
            try await context.withRegistryClient(progress: progress) { try await $0.checkLogin(credential, at: host) }
        }
        let place =
            switch try await keeper.save(credential, for: host) {
            case .file(let path): path.string
            case .helper(let name): "docker-credential-\(name)"
            }
        context.write("logged in to \(host) as \(TerminalText.line(username)), kept in \(place)")
        if check == .notNeeded {
            context.writeError("warning: the registry answers everybody; the login was not tested")
        }
    }

    private func secret(_ context: CommandContext) async throws -> String {
        if let password {
            guard !passwordStdin else { throw Failure(.usage, "--password and --password-stdin do not go together") }
            context.writeError("warning: a password in the command line is seen by everybody; use --password-stdin")
            return password
        }
        let isTyped = !passwordStdin
        guard !isTyped || isatty(STDIN_FILENO) == 1 else {
            throw Failure(.usage, "there is no terminal to ask for the password", remedy: "use --password-stdin")
        }
        if isTyped { context.writeError("password for \(TerminalText.line(username)):") }
        let text = try await BlockingPool.shared.run { try SecretLine.read(isHidden: isTyped, $0) }
        guard !text.isEmpty else { throw Failure(.usage, "the password is empty") }
        return text
    }
}

struct LogoutCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "logout",
        abstract: "Forget the login of a registry.",
        discussion: """
            Example:
              sealer logout registry.example.org
            """
    )

    @Argument(help: "The registry, HOST[:PORT].")
    var registry: String

    func run(in context: CommandContext) async throws {
        let host = try CredentialStore.host(registry)
        let keeper = try await CredentialStore.usual(environment: context.environment, home: context.home)
        guard try await keeper.remove(host) else {
            throw Failure(.notFound, "there is no login to forget", at: host)
        }
        context.write("forgot the login of \(host)")
    }
}
