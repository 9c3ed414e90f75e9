import ApplyEngine
import ArgumentParser
import Clusterfile
import Infra
import Remote
import Report
import Terminal

struct ExecCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec",
        abstract: "Run a command on the hosts of a cluster, on all of them at once.",
        discussion: """
            Each line of output begins with the host's name, unless the command is for one host only. A command of one word is \
            given to /bin/bash; one of several words is run as it is. It runs as root in the folder /, and has nothing to read. \
            With --role and --host together, a host must fit both. The exit code is 1 when it fails on a host; which, is told \
            at the end.

            Example:
              sealer exec --name shop -- systemctl is-active kubelet
              sealer exec --name shop --role master -- 'df -h / | tail -1'
            """
    )

    @Option(help: ArgumentHelp("The cluster's name.", valueName: "name"))
    var name: String

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "Only on hosts of this role; may be repeated, or several parted by commas.", valueName: "role"))
    var role: [String] = []

    @Option(
        help: ArgumentHelp("Only on this host, by its name or address; may be repeated.", valueName: "host"))
    var host: [String] = []

    @Option(help: ArgumentHelp("How long it may take on a host: 90s, 10m, 2h.", valueName: "time"))
    var timeout = TimeLimit(.seconds(600))

    @Option(help: ArgumentHelp("On how many hosts at once.", valueName: "count"))
    var concurrency: Int = PlanExecutor.defaultConcurrency

    @OptionGroup var hostKeyOptions: HostKeyOptions
    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var outputOptions: OutputOptions

    @Argument(help: ArgumentHelp("The command, after --.", valueName: "command"))
    var command: [String]

    /// What a command did on a host, for scripts.
    private struct Row: Encodable {
        var host: String
        /// Its exit status; nil when it did not come to that.
        var status: Int32?
        /// The first 4 MiB of standard output.
        var output: String?
        /// The last 64 KiB of standard error.
        var error: String?
        var failure: String?
    }

    func validate() throws {
        if concurrency < 1 { throw ValidationError("--concurrency must be 1 or more") }
        if command.first?.isEmpty ?? true { throw ValidationError("a command was expected") }
    }

    func run(in context: CommandContext) async throws {
        let cluster = try await context.storedCluster(name, root: rootOptions.root)
        let engine = try await ClusterEngine.make(
            context: context, root: rootOptions.root, progress: SilentProgress(), hostKeys: hostKeyOptions)
        let roles = role.flatMap { $0.split(separator: ",").map(String.init) }
        let places = try await HostSelection(roles: roles, hosts: host).select(
            from: engine.places(of: cluster), of: name)
        let words = command.count == 1 ? ["/bin/bash", "-c"] + command : command
        let (limit, format, isAlone) = (timeout.duration, outputOptions.output, places.count == 1)
        let outcomes = try await engine.onEach(places, concurrency: concurrency) { place, host in
            try await host.run(RemoteCommand(words), limit: limit) { line in
                guard format == .text else { return }
                let text = isAlone ? line.text : "\(place.name): \(line.text)"
                if line.stream == .output { context.write(text) } else { context.writeError(text) }
            }
        }
        if format == .json { try context.print(outcomes.map(Self.row), as: .json) { "" } }
        let failures = outcomes.compactMap(Self.failure)
        guard failures.isEmpty else {
            throw Failure(
                .commandFailed, "the command failed on \(failures.count) of \(places.count) hosts", at: name,
                causes: failures)
        }
    }

    private static func row(_ outcome: HostOutcome<CommandResult>) -> Row {
        switch outcome.result {
        case .success(let result):
            Row(host: outcome.host, status: result.status, output: result.outputText, error: result.errorText)
        case .failure(let error): Row(host: outcome.host, failure: Failure.words(of: error))
        }
    }

    private static func failure(_ outcome: HostOutcome<CommandResult>) -> (any Error)? {
        switch outcome.result {
        case .success(let result) where result.status == 0: nil
        case .success(let result):
            Failure(.commandFailed, "it ended with the status \(result.status)", at: outcome.host)
        case .failure(let error): error
        }
    }
}

/// A time on the command line: `90`, `90s`, `10m`, `2h`.
struct TimeLimit: ExpressibleByArgument, CustomStringConvertible {
    let duration: Duration

    /// The longest time: a week.
    private static let most = 7 * 24 * 3600

    init(_ duration: Duration) { self.duration = duration }

    init?(argument: String) {
        let units = ["s": 1, "m": 60, "h": 3600]
        let factor = argument.last.flatMap { units[String($0)] }
        let digits = factor == nil ? Substring(argument) : argument.dropLast()
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(digits), number > 0,
            number <= Self.most
        else { return nil }
        let seconds = number * (factor ?? 1)
        guard seconds <= Self.most else { return nil }
        duration = .seconds(seconds)
    }

    /// The time in the largest unit that it is whole in.
    var description: String {
        let seconds = duration.components.seconds
        if seconds % 3600 == 0 { return "\(seconds / 3600)h" }
        return seconds % 60 == 0 ? "\(seconds / 60)m" : "\(seconds)s"
    }

    var defaultValueDescription: String { description }
}
