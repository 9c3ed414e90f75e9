import ApplyEngine
import ArgumentParser
import Clusterfile
import FoundationEssentials
import LinuxSystem
import OCI
import Report
import SystemPackage
import Terminal

struct RunCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Make a cluster out of a ClusterImage, and launch its applications.",
        discussion: """
            Nothing is fetched from outside: all that the cluster needs is in the image.

            Example:
              sealer run shop:1.0 --provider container --masters 1 --nodes 1 --name shop
            """
    )

    @Argument(help: "The ClusterImage.")
    var image: String

    @Option(help: "Where hosts come from: container (nodes are Docker containers on this machine).")
    var provider: String = "container"

    @Option(name: .shortAndLong, help: ArgumentHelp("How many masters.", valueName: "count"))
    var masters: Int = 1

    @Option(name: .shortAndLong, help: ArgumentHelp("How many worker nodes.", valueName: "count"))
    var nodes: Int = 1

    @Option(help: ArgumentHelp("The cluster's name.", valueName: "name"))
    var name: String = "my-cluster"

    @Option(
        name: [.short, .customLong("env")],
        help: ArgumentHelp("Environment for scripts and launch commands; may be repeated.", valueName: "name=value")
    )
    var environment: [String] = []

    @Option(name: .customLong("pod-cidr"), help: ArgumentHelp("The pods' network.", valueName: "cidr"))
    var podNetwork: String?

    @Option(name: .customLong("service-cidr"), help: ArgumentHelp("The services' network.", valueName: "cidr"))
    var serviceNetwork: String?

    @Option(help: ArgumentHelp("The image of the node containers.", valueName: "image"))
    var nodeImage: String?

    @Flag(help: "Let the node containers reach the world outside their network.")
    var egress = false

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var outputOptions: OutputOptions

    func run(in context: CommandContext) async throws {
        let cluster = try cluster()
        for warning in try cluster.check() { context.writeError("warning: \(warning)") }
        try await ClusterRun(
            context: context,
            root: rootOptions.root,
            progress: progressOptions.progress,
            output: outputOptions.output
        ).run(cluster)
    }
}

extension RunCommand {
    /// The cluster that the options describe.
    private func cluster() throws -> Cluster {
        guard let provider = Cluster.Provider(rawValue: provider) else {
            let known = Cluster.Provider.allCases.map(\.rawValue).joined(separator: ", ")
            throw Failure(.usage, "--provider \(provider) is not supported yet, expected one of: \(known)")
        }
        var cluster = Cluster(
            name: name,
            image: try reference(image),
            provider: provider,
            masters: masters,
            nodes: nodes,
            environment: try parseAssignments(environment, of: "--env"),
            egress: egress
        )
        if let podNetwork { cluster.podNetwork = try IPv4Network(podNetwork) }
        if let serviceNetwork { cluster.serviceNetwork = try IPv4Network(serviceNetwork) }
        if let nodeImage { cluster.nodeImage = nodeImage }
        return cluster
    }
}

struct ApplyCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Make the cluster that a Clusterfile describes.",
        discussion: """
            Example:
              sealer apply --file Clusterfile
            """
    )

    @Option(name: .shortAndLong, help: ArgumentHelp("The Clusterfile.", valueName: "path"))
    var file: String = "Clusterfile"

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var outputOptions: OutputOptions

    func run(in context: CommandContext) async throws {
        let path = FilePath(file)
        let bytes = try await BlockingPool.shared.run { try readFile(path, limit: 1 << 20) }
        let parsed = try Cluster.parse(String(decoding: bytes, as: UTF8.self), file: path.lastComponent?.string ?? file)
        for warning in parsed.warnings { context.writeError(warning.description) }
        try await ClusterRun(
            context: context,
            root: rootOptions.root,
            progress: progressOptions.progress,
            output: outputOptions.output
        ).run(parsed.cluster)
    }
}

/// What `run` and `apply` do alike.
struct ClusterRun {
    let context: CommandContext
    let root: String?
    let progress: ProgressMode
    let output: OutputFormat

    private struct Report: Encodable {
        struct Node: Encodable {
            var name: String
            var address: String
        }
        struct Stage: Encodable {
            var title: String
            var host: String?
            var seconds: Double
        }
        var name: String
        var kubeconfig: String
        var nodes: [Node]
        var stages: [Stage]
    }

    func run(_ cluster: Cluster) async throws {
        let recorded = RecordedProgress()
        let running = try await context.withProgress(progress) { display in
            let sink = CombinedProgress([display, recorded])
            let engine = try await ClusterEngine.make(context: context, root: root, progress: sink)
            return try await engine.run(cluster)
        }
        let report = Report(
            name: running.name,
            kubeconfig: running.kubeconfig.string,
            nodes: running.addresses.map { .init(name: $0.name, address: $0.address) },
            stages: recorded.times.stages.map {
                .init(title: $0.title, host: $0.host, seconds: $0.duration / .seconds(1))
            }
        )
        try context.print(report, as: output) {
            let addresses = report.nodes.map { "\($0.name) \($0.address)" }.joined(separator: ", ")
            return
                (recorded.times.table.lines + [
                    "",
                    "cluster \(report.name) runs: \(addresses)",
                    "use it:    export KUBECONFIG=\(report.kubeconfig)",
                    "remove it: sealer delete --name \(report.name)",
                ]).joined(separator: "\n")
        }
    }
}
