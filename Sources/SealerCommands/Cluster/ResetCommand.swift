import ApplyEngine
import ArgumentParser
import Clusterfile
import Report

struct ResetCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "reset",
        abstract: "Take off a host all that sealer brought, also when its cluster is gone.",
        discussion: """
            The cluster is not asked: a member of a living cluster is better taken out with 'sealer scale-down'. What was on the \
            host before stays. Keys that --accept-new-host-keys trusts go to your own file of them, ~/.ssh/known_hosts or what \
            your OpenSSH configuration names: there is no cluster's folder to keep them in.

            Example:
              sealer reset 10.0.0.7 --user ops --yes
            """
    )

    @Argument(help: "The host's address.")
    var host: String

    @Flag(help: "It is this very machine.")
    var local = false

    @Flag(name: .shortAndLong, help: "Do it without asking.")
    var yes = false

    @OptionGroup var sshOptions: SSHOptions
    @OptionGroup var hostKeyOptions: HostKeyOptions
    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions

    func run(in context: CommandContext) async throws {
        guard let address = IPAddress(host) else {
            throw Failure(.usage, "\"\(host)\" is not an address", remedy: "name the host by its address: 10.0.0.7")
        }
        guard yes else {
            throw Failure(
                .usage, "this ends whatever runs there of the cluster, and deletes its data", at: host,
                remedy: "if that is meant, run it again with --yes")
        }
        for warning in sshOptions.warnings { context.writeError("warning: \(warning)") }
        let member = ClusterMember(
            provider: local ? .local : .baremetal, address: address, index: 0, roles: [HostGroup.node],
            ssh: sshOptions.settings, environment: [:], labels: [:], taints: [])
        let cluster = try await context.withProgress(progressOptions.progress) { progress in
            try await ClusterEngine.make(
                context: context, root: rootOptions.root, progress: progress, hostKeys: hostKeyOptions
            ).reset(member)
        }
        context.write(
            cluster.map { "what the cluster \($0) had brought to \(host) is gone" }
                ?? "nothing of sealer's was written down on \(host); what there may have been is gone")
    }
}
