import ApplyEngine
import ArgumentParser
import Clusterfile
import Glibc
import LinuxSystem
import Report
import SystemPackage

struct GenCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "gen",
        abstract: "Write a Clusterfile: from the options of 'run', or of a cluster that there is.",
        discussion: """
            With an image it writes what 'sealer run' with the same options would make. With --from it asks a master of a cluster \
            that runs, which sealer need not have made; what cannot be found out is told at the head of the file. Else it \
            writes the Clusterfile that this machine keeps for the cluster --name. Passwords are never written: 'prompt' takes \
            their place.

            The file of a cluster that sealer did not make is for a new one on other hosts: 'apply' refuses that cluster's own \
            hosts, since they are members already.

            Example:
              sealer gen shop:1.0 -m 10.0.0.2 -n 10.0.0.3-5 --name shop > Clusterfile
              sealer gen --name shop
              sealer gen --from 10.0.0.2 --user ann --output-file Clusterfile
            """
    )

    @Argument(help: "The ClusterImage.")
    var image: String?

    @Option(help: ArgumentHelp("The address of a master of a cluster that runs.", valueName: "address"))
    var from: String?

    @OptionGroup var flags: ClusterFlags

    @Option(help: ArgumentHelp("Write into this file, which must not be there yet.", valueName: "path"))
    var outputFile: String?

    @Flag(help: "Replace the file if it is there.")
    var force = false

    @OptionGroup var hostKeyOptions: HostKeyOptions
    @OptionGroup var rootOptions: RootOptions

    func validate() throws {
        if image != nil, from != nil { throw ValidationError("an image and --from exclude each other") }
        if image == nil, from == nil, flags.name == nil {
            throw ValidationError(
                "name an image, with --from a master, or with --name a cluster that this machine made")
        }
        // What would mean nothing is refused.
        let known = from == nil ? [] : ClusterFlags.reaching
        if image == nil, let option = flags.describing.first(where: { !known.contains($0) }) {
            throw ValidationError("\(option) says something of a new cluster, which needs an image")
        }
        if force, outputFile == nil { throw ValidationError("--force is for --output-file") }
    }

    func run(in context: CommandContext) async throws {
        if let from {
            for warning in flags.sshOptions.warnings { context.writeError("warning: \(warning)") }
            let found = try await found(from, in: context)
            for remark in found.unknown { context.writeError("warning: \(remark)") }
            return try await write(found.text, in: context)
        }
        let cluster: Cluster
        if let image {
            cluster = try flags.cluster(image: image)
            for warning in try flags.sshOptions.check(cluster) { context.writeError("warning: \(warning)") }
        } else {
            cluster = try await context.storedCluster(flags.clusterName, root: rootOptions.root)
        }
        try await write(cluster.text, in: context)
    }

    private func found(_ master: String, in context: CommandContext) async throws -> FoundCluster {
        guard let address = IPAddress(master) else {
            throw Failure(.usage, "--from \(master): an address was expected")
        }
        try Cluster.checkName(flags.clusterName)
        let group = HostGroup(
            provider: try HostOptions.provider(flags.provider) ?? .baremetal, addresses: [address],
            roles: [HostGroup.master], ssh: flags.sshOptions.settings)
        guard group.provider != .container else {
            throw Failure(.usage, "--from is for hosts with an address of their own: baremetal or local")
        }
        let engine = try await ClusterEngine.make(
            context: context, root: rootOptions.root, progress: SilentProgress(), hostKeys: hostKeyOptions)
        return try await engine.find(through: group, name: flags.clusterName)
    }

    private func write(_ text: String, in context: CommandContext) async throws {
        guard let outputFile else { return context.write(text.withoutLineEnd) }
        let (path, force) = (FilePath(outputFile), force)
        try await BlockingPool.shared.run {
            guard force || access(path.string, F_OK) != 0 else {
                throw Failure(
                    .conflict, "the file is there already", at: path.string,
                    remedy: "name another one, or replace it with --force")
            }
            try AtomicFile.write(Array(text.utf8), to: path)
        }
    }
}

extension CommandContext {
    /// The Clusterfile that this machine keeps for a cluster.
    ///
    /// - Throws: `Failure` of kind `notFound` when there is no cluster of that name.
    func storedCluster(_ name: String, root: String?) async throws -> Cluster {
        try Cluster.checkName(name)
        let folder = ClusterFolder(state: try self.root(root), cluster: name)
        guard let cluster = try await BlockingPool.shared.run({ try folder.readCluster(folder.clusterfile) }) else {
            throw Failure(
                .notFound, "there is no cluster of that name", at: name,
                remedy: "see what there is with: sealer clusters")
        }
        return cluster
    }
}
