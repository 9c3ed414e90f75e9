import ArgumentParser
import Clusterfile
import Report

/// A cluster that options describe: `run` makes it, `gen` writes it down.
struct ClusterFlags: ParsableArguments {
    @Option(
        help: """
            Where hosts come from: container (Docker containers on this machine), baremetal (machines that are reached by SSH), \
            local (this very machine). Default: baremetal when addresses are given, else container.
            """)
    var provider: String?

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "The masters: how many containers, or addresses and ranges, 10.0.0.2,10.0.0.4-6. (default: 1)",
            valueName: "count|addresses"))
    var masters: String?

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "The worker nodes, as the masters. (default: 1 container)", valueName: "count|addresses"))
    var nodes: String?

    @OptionGroup var sshOptions: SSHOptions

    @Option(help: ArgumentHelp("The cluster's name. (default: \(defaultName))", valueName: "name"))
    var name: String?

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

    static let defaultName = "my-cluster"

    /// The name that was given, or the usual one.
    var clusterName: String { name ?? Self.defaultName }

    /// The options that say how hosts are reached.
    static let reaching: Set = ["--provider", "--user", "--password", "--identity-file", "--passphrase", "--port"]

    /// The options that were given, the cluster's name aside.
    var describing: [String] {
        let given: [(String, Bool)] = [
            ("--provider", provider != nil), ("--masters", masters != nil), ("--nodes", nodes != nil),
            ("--user", sshOptions.user != nil), ("--password", sshOptions.password != nil),
            ("--identity-file", sshOptions.identityFile != nil), ("--passphrase", sshOptions.passphrase != nil),
            ("--port", sshOptions.port != nil), ("--env", !environment.isEmpty), ("--pod-cidr", podNetwork != nil),
            ("--service-cidr", serviceNetwork != nil), ("--node-image", nodeImage != nil), ("--egress", egress),
        ]
        return given.filter(\.1).map(\.0)
    }

    /// The cluster that the options describe.
    ///
    /// - Throws: `Failure` of kind `usage`.
    func cluster(image: String) throws -> Cluster {
        var cluster = Cluster(
            name: clusterName,
            image: try reference(image),
            hosts: try HostOptions(provider: provider, masters: masters, nodes: nodes).groups(),
            ssh: sshOptions.settings,
            environment: try parseAssignments(environment, of: "--env"),
            nodeContainers: NodeContainerSettings(
                image: nodeImage ?? NodeContainerSettings.defaultImage, egress: egress)
        )
        if let podNetwork { cluster.network.pods = try networks(podNetwork, of: "--pod-cidr") }
        if let serviceNetwork { cluster.network.services = try networks(serviceNetwork, of: "--service-cidr") }
        return cluster
    }

    /// One network, or one of each family parted by a comma.
    private func networks(_ text: String, of option: String) throws -> [IPNetwork] {
        try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
            do throws(Failure) {
                return try IPNetwork(String(part))
            } catch {
                throw Failure(.usage, "\(option): \(error.what)")
            }
        }
    }
}
