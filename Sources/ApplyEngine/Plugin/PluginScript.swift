import Clusterfile
import FoundationEssentials
import Remote
import Report
import Synchronization

/// Runs the script of a `SHELL` plugin on a host.
struct PluginScript {
    let plugin: Plugin
    let phase: Plugin.Phase
    /// What the script finds in its environment.
    let environment: [String: String]
    /// Where it runs; nil for `/`, when the host has no rootfs any more.
    let folder: String?

    /// - Parameters:
    ///   - environment: the node's, as the scripts of the rootfs get it.
    ///   - isGone: whether the host was taken back, so that it has no rootfs any more.
    init(
        _ plugin: Plugin, at phase: Plugin.Phase, _ environment: [String: String], rootfs: String, isMaster: Bool,
        isGone: Bool
    ) {
        self.plugin = plugin
        self.phase = phase
        folder = isGone ? nil : rootfs
        var environment = environment
        environment["PATH"] = "\(rootfs)/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        if isMaster { environment["KUBECONFIG"] = "/etc/kubernetes/admin.conf" }
        self.environment = environment
    }

    /// The most of what it prints that is kept, in bytes.
    private static let keptOutput = 1 << 20

    /// The command. bash reads the whole script before it begins, so that what the script runs cannot read from it; and it stands in no
    /// argument list, for it may hold secrets. It ends at the first command that fails.
    var command: RemoteCommand {
        RemoteCommand(
            ["/bin/bash", "-eo", "pipefail", "-c", #"script=$(cat; echo .) && eval "${script%.}""#],
            environment: environment, workingDirectory: folder, input: Data(plugin.data.utf8))
    }

    /// Runs it.
    ///
    /// - Parameter keep: is given all that it printed, how ever it ended.
    /// - Throws: `Failure` of kind `commandFailed` with its last output, of kind `timeout` when the plugin's time is over.
    func run(on host: any Host, step: Step, keep: @escaping @Sendable (Data) async throws -> Void) async throws {
        let output = Mutex(Data())
        let outcome: Result<CommandResult, any Error>
        do {
            outcome = .success(
                try await host.check(
                    command, purpose: "the plugin \(plugin.name) at \(phase.rawValue)",
                    limit: .seconds(plugin.timeout),
                    output: { line in
                        step.note(line.text)
                        output.withLock { kept in
                            if kept.count < Self.keptOutput { kept += Data("\(line.text)\n".utf8) }
                        }
                    }))
        } catch {
            outcome = .failure(error)
        }
        let kept = output.withLock { $0 }
        do {
            // In a task of its own: this one may be cancelled, and what was printed tells why.
            try await Task { try await keep(kept) }.value
        } catch {
            guard case .failure(let first) = outcome else { throw error }
            throw Failure.several("the plugin failed, and what it printed could not be kept", [first, error])
        }
        _ = try outcome.get()
    }
}
