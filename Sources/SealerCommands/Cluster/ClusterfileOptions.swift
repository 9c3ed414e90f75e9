import ApplyEngine
import ArgumentParser
import Clusterfile
import LinuxSystem
import Report
import SystemPackage

/// Which cluster is meant: the one of a Clusterfile, or one that this machine made before.
struct ClusterfileOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: ArgumentHelp("The Clusterfile. (default: Clusterfile)", valueName: "path"))
    var file: String?

    @Option(help: ArgumentHelp("Take the Clusterfile that was given for this cluster last.", valueName: "cluster"))
    var name: String?

    func validate() throws {
        if file != nil, name != nil { throw ValidationError("--file and --name exclude each other") }
    }

    /// The words that name the same cluster again, for a command to go on with.
    var words: String {
        name.map { "--name \(shellQuoted($0))" } ?? "--file \(shellQuoted(file ?? Self.defaultFile))"
    }

    private static let defaultFile = "Clusterfile"

    /// Reads the Clusterfile; warnings go to standard error.
    func cluster(in context: CommandContext, root: String?) async throws -> Cluster {
        let path: FilePath
        if let name {
            try Cluster.checkName(name)
            path = ClusterFolder(state: try context.root(root), cluster: name).clusterfile
        } else {
            path = FilePath(file ?? Self.defaultFile)
        }
        let bytes = try await BlockingPool.shared.run { try readFile(path, limit: 1 << 20) }
        let parsed = try Cluster.parse(bytes: bytes, file: path.lastComponent?.string ?? path.string)
        for warning in parsed.warnings { context.writeError(warning.description) }
        return parsed.cluster
    }
}
