import OCI
import Remote
import Report

/// Starts the applications of a ClusterImage: its launch commands, in order, on the first master, in the rootfs.
struct ApplicationLaunch {
    /// How long one command may take.
    static let limit = Duration.seconds(600)

    /// One command, ready to run.
    struct Command: Hashable {
        /// What it is, for people.
        var title: String
        var command: RemoteCommand
    }

    private let image: ClusterImageConfig
    private let rootfs: String
    private let environment: [String: String]
    private let launches: [ClusterImageConfig.Launch]

    /// - Parameters:
    ///   - environment: the cluster's, which has precedence over the image's.
    ///   - applications: what the Clusterfile launches instead of the image's own list.
    ///   - commands: the Clusterfile's commands, which take the place of everything else.
    init(
        _ image: ClusterImageConfig, rootfs: String, environment: [String: String], applications: [String]? = nil,
        commands: [String]? = nil
    ) {
        launches =
            commands.map { $0.map { .shell($0) } } ?? applications.map { $0.map { .app($0) } } ?? image.launch
        self.image = image
        self.rootfs = rootfs
        self.environment = environment
    }

    /// The commands of the image's launch list.
    ///
    /// - Throws: `Failure` of kind `integrity` when the list names an application that the image does not have.
    func commands() throws -> [Command] {
        try launches.map { launch in
            switch launch {
            case .shell(let text):
                return Command(title: text, command: shell(text, application: nil))
            case .app(let name):
                guard let app = image.apps.first(where: { $0.name == name }) else {
                    throw Failure(.integrity, "the image launches the application \(name), but has none of that name")
                }
                return Command(title: "application \(name)", command: shell(script(of: app), application: app))
            }
        }
    }

    private func shell(_ text: String, application: ClusterImageConfig.App?) -> RemoteCommand {
        var variables = image.env
        if let application { variables.merge(application.env) { _, own in own } }
        variables.merge(environment) { _, cluster in cluster }
        variables["KUBECONFIG"] = "/etc/kubernetes/admin.conf"
        // The rootfs' own programs first: they are of the image's versions.
        variables["PATH"] = "\(rootfs)/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return RemoteCommand(
            ["/bin/bash", "-euo", "pipefail", "-c", text], environment: variables, workingDirectory: rootfs)
    }

    /// What starts an application that brings no commands of its own. Repeating it does no harm.
    private func script(of app: ClusterImageConfig.App) -> String {
        guard app.commands.isEmpty else { return app.commands.joined(separator: "\n") }
        let path = shellQuoted(app.path)
        return switch app.type {
        case .helm: "helm upgrade --install \(shellQuoted(app.name)) \(path)"
        case .kube: "kubectl apply --recursive --filename \(path)"
        case .shell: "cd \(path)\nfor script in *.sh; do bash \"$script\"; done"
        }
    }

    /// Runs the commands.
    ///
    /// - Throws: `Failure` of kind `commandFailed` that names the command and shows its last output.
    func run(on host: any Host, step: Step) async throws {
        let commands = try commands()
        for (number, command) in commands.enumerated() {
            step.advance(Int64(number), of: Int64(commands.count), unit: .items)
            step.note("+ \(command.title)")
            try await host.check(
                command.command,
                purpose: "launch command \(number + 1) of \(commands.count), \(command.title),",
                limit: Self.limit,
                output: { step.note($0.text) }
            )
        }
    }
}
