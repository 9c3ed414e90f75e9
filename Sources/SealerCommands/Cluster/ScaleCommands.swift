import ApplyEngine
import ArgumentParser
import Clusterfile
import Report

struct JoinCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "join",
        abstract: "Add hosts to a cluster.",
        discussion: """
            Containers are counted: --nodes 2 adds two. It is 'sealer apply' with the Clusterfile that has these hosts too.

            Node containers that were stopped are started first. A worker that does not answer is left out, and the command then \
            fails and names it.

            Example:
              sealer join --name shop --nodes 10.0.0.7-9
            """,
        aliases: ["scale-up"]
    )

    @OptionGroup var target: ScaleTarget
    @OptionGroup var sshOptions: SSHOptions
    @OptionGroup var execution: ExecutionOptions
    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var outputOptions: OutputOptions

    var handlesSignals: Bool { true }

    func run(in context: CommandContext) async throws {
        var cluster = try await context.storedCluster(target.name, root: rootOptions.root)
        let ssh = sshOptions.settings
        for (text, role, option) in target.hosts.changes {
            cluster.hosts = try HostGroups(groups: cluster.hosts).adding(text, role: role, option: option, ssh: ssh)
        }
        for warning in try sshOptions.check(cluster) { context.writeError("warning: \(warning)") }
        var options = Engine.Options()
        options.command = "join"
        options.resume = "sealer apply --name \(target.name)\(rootOptions.words)\(execution.words)"
        try await ClusterRun(
            context: context, root: rootOptions.root, progress: progressOptions.progress, output: outputOptions.output,
            execution: execution
        ).run(cluster, options)
    }
}

struct ScaleDownCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "scale-down",
        abstract: "Take hosts out of a cluster, and all that sealer brought off them.",
        discussion: """
            The pods of a host move elsewhere first: each gets the time to end that it asks for, all together ten minutes, unless \
            --drain-grace-period and --drain-timeout say otherwise. A master leaves etcd before it goes, and never so that etcd \
            would lose its quorum. Of containers those with the highest numbers go: --nodes 2 takes two away.

            Node containers that were stopped are started first. A worker that stays and does not answer is left out, and the \
            command then fails and names it. Until it answers, what sealer brought stays on a master that left: that worker may \
            still be led there.

            Example:
              sealer scale-down --name shop --nodes 10.0.0.7 --yes
              sealer scale-down --name shop --nodes 1 --yes --drain-grace-period 30
            """
    )

    @OptionGroup var target: ScaleTarget
    @OptionGroup var execution: ExecutionOptions
    @OptionGroup var drain: DrainOptions
    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var outputOptions: OutputOptions

    var handlesSignals: Bool { true }

    func run(in context: CommandContext) async throws {
        try await HostRemoval(
            command: "scale-down", name: target.name, hosts: target.hosts, drain: drain,
            run: ClusterRun(
                context: context, root: rootOptions.root, progress: progressOptions.progress,
                output: outputOptions.output, execution: execution)
        ).perform()
    }
}

/// Takes hosts out of a cluster: what `scale-down` does, and `delete` when hosts are named.
struct HostRemoval {
    /// The command, for the journal.
    let command: String
    /// The cluster's name.
    let name: String
    let hosts: ScaledHosts
    let drain: DrainOptions
    let run: ClusterRun

    func perform() async throws {
        var cluster = try await run.context.storedCluster(name, root: run.root)
        for (text, role, option) in hosts.changes {
            cluster.hosts = try HostGroups(groups: cluster.hosts).removing(text, role: role, option: option)
        }
        for warning in try cluster.check() { run.context.writeError("warning: \(warning)") }
        var options = Engine.Options()
        options.command = command
        options.drain = drain.policy
        options.resume = "sealer apply --name \(name)\(RootOptions.words(run.root)) --yes\(drain.words)"
        try await run.run(cluster, options)
    }
}

/// A cluster and the hosts that come or go.
struct ScaleTarget: ParsableArguments {
    @Option(help: ArgumentHelp("The cluster's name.", valueName: "cluster"))
    var name: String

    @OptionGroup var hosts: ScaledHosts

    func validate() throws {
        if hosts.isEmpty { throw ValidationError("name the hosts: --masters, --nodes") }
    }
}

/// The hosts that come or go.
struct ScaledHosts: ParsableArguments {
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Masters: how many containers, or addresses and ranges.", valueName: "count|addresses"))
    var masters: String?

    @Option(name: .shortAndLong, help: ArgumentHelp("Worker nodes, as the masters.", valueName: "count|addresses"))
    var nodes: String?

    /// Whether none is named.
    var isEmpty: Bool { masters == nil && nodes == nil }

    /// What changes: the text, the role and the option.
    var changes: [(text: String, role: String, option: String)] {
        [(masters, HostGroup.master, "--masters"), (nodes, HostGroup.node, "--nodes")].compactMap {
            text, role, option in
            text.map { ($0, role, option) }
        }
    }
}

/// The hosts of a cluster, and what a command line adds to them or takes away. Values in, values out.
struct HostGroups {
    let groups: [HostGroup]

    /// The groups with more hosts.
    ///
    /// - Throws: `Failure` of kind `usage`.
    func adding(_ text: String, role: String, option: String, ssh: SSHSettings) throws -> [HostGroup] {
        if let count = Int(text) {
            guard count > 0 else { throw Failure(.usage, "\(option) \(text): a number from 1 on was expected") }
            var changed = groups
            if let index = groups.lastIndex(where: { $0.provider == .container && $0.roles.contains(role) }) {
                changed[index].count += count
            } else {
                changed.append(HostGroup(provider: .container, count: count, roles: [role]))
            }
            return changed
        }
        let addresses = try addresses(text, option)
        let known = Set(groups.flatMap(\.addresses))
        if let double = addresses.first(where: known.contains) {
            throw Failure(.usage, "\(option): \(double) is a host of the cluster already")
        }
        let own = ssh == SSHSettings() ? nil : ssh
        return groups + [HostGroup(addresses: addresses, roles: [role], ssh: own)]
    }

    /// The groups without some hosts.
    ///
    /// - Throws: `Failure` of kind `usage` when they are not there.
    func removing(_ text: String, role: String, option: String) throws -> [HostGroup] {
        var changed = groups
        if let count = Int(text) {
            guard count > 0 else { throw Failure(.usage, "\(option) \(text): a number from 1 on was expected") }
            var left = count
            for index in changed.indices.reversed() where changed[index].provider == .container {
                guard changed[index].roles.contains(role) else { continue }
                let taken = min(left, changed[index].count)
                changed[index].count -= taken
                left -= taken
            }
            guard left == 0 else {
                throw Failure(.usage, "\(option) \(text): the cluster has only \(count - left) such containers")
            }
        } else {
            for address in try addresses(text, option) {
                guard
                    let index = changed.firstIndex(where: { $0.roles.contains(role) && $0.addresses.contains(address) })
                else { throw Failure(.usage, "\(option): \(address) is no \(role) of the cluster") }
                changed[index].addresses.removeAll { $0 == address }
                changed[index].count = changed[index].addresses.count
            }
        }
        return changed.filter { $0.count > 0 }
    }

    private func addresses(_ text: String, _ option: String) throws -> [IPAddress] {
        do throws(Failure) {
            return try [IPAddress](ranges: text)
        } catch {
            throw Failure(.usage, "\(option): \(error.what)")
        }
    }
}
