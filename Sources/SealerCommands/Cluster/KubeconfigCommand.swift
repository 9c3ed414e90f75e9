import ApplyEngine
import ArgumentParser
import ClusterRuntime
import Clusterfile
import FoundationEssentials
import LinuxSystem
import Report
import SystemPackage

struct KubeconfigCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "kubeconfig",
        abstract: "Print the path of a cluster's administrator kubeconfig, or merge it into yours.",
        discussion: """
            With --merge the cluster comes into your own kubeconfig: the file --into, else the first one of KUBECONFIG, else \
            ~/.kube/config. Cluster and context get the cluster's name, the user is NAME-admin; entries of these names are \
            replaced, all others stay as they are. Comments in the file are lost; what it was before this merge is kept beside it \
            as FILE.before-sealer.

            Example:
              export KUBECONFIG=$(sealer kubeconfig --name shop)
              sealer kubeconfig --name shop --merge && kubectl --context shop get nodes
            """
    )

    @Option(help: ArgumentHelp("The cluster's name.", valueName: "name"))
    var name: String

    @Flag(help: "Merge it into your kubeconfig.")
    var merge = false

    @Option(help: ArgumentHelp("The kubeconfig to merge it into.", valueName: "path"))
    var into: String?

    @Flag(help: "Leave the context that kubectl uses as it is.")
    var keepContext = false

    @OptionGroup var rootOptions: RootOptions

    func validate() throws {
        if !merge, into != nil { throw ValidationError("--into is for --merge") }
        if !merge, keepContext { throw ValidationError("--keep-context is for --merge") }
    }

    func run(in context: CommandContext) async throws {
        try Cluster.checkName(name)
        let state = try context.root(rootOptions.root)
        let folder = ClusterFolder(state: state, cluster: name)
        let bytes: Data
        do {
            bytes = try await BlockingPool.shared.run { try readFile(folder.kubeconfig) }
        } catch let failure as Failure where failure.kind == .notFound {
            throw Failure(
                .notFound,
                "there is no kubeconfig of a cluster of that name",
                at: folder.kubeconfig.string,
                remedy: "see what there is with: sealer clusters"
            )
        }
        guard merge else { return context.write(folder.kubeconfig.string) }
        let addition = try KubeconfigMerge(
            String(decoding: bytes, as: UTF8.self), file: folder.kubeconfig.string, name: name)
        let (target, setsCurrent) = (try target(in: context), !keepContext)
        let (file, hasChanged) = try await BlockingPool.shared.run {
            let file = KubeconfigFile(target)
            try Self.check(file, isNotIn: state)
            return (file, try file.add(addition, setsCurrent: setsCurrent))
        }
        context.write(
            hasChanged
                ? "merged the cluster \(name) into \(file.path)"
                : "the cluster \(name) is in \(file.path) already")
    }

    /// The file to merge into.
    private func target(in context: CommandContext) throws -> FilePath {
        if let into { return FilePath(into) }
        let listed = context.environment["KUBECONFIG"]?.split(separator: ":").first
        if let listed { return FilePath(String(listed)) }
        guard let home = context.home, !home.isEmpty else {
            throw Failure(.usage, "there is no HOME with a kubeconfig", remedy: "name a file with --into")
        }
        return home.appending(".kube").appending("config")
    }

    /// The kubeconfig of a cluster is sealer's own: KUBECONFIG often names one.
    private static func check(_ file: KubeconfigFile, isNotIn state: FilePath) throws {
        let names = try ClusterFolder.clusters(in: state)
        for name in names where KubeconfigFile(ClusterFolder(state: state, cluster: name).kubeconfig).path == file.path
        {
            throw Failure(
                .usage, "this is the own kubeconfig of the cluster \(name), others are not merged into it",
                at: file.path.string, remedy: "name your own with --into ~/.kube/config, or unset KUBECONFIG")
        }
    }
}
