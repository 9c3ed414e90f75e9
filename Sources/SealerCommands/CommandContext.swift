import BuildEngine
import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import RegistryClient
import Report
import Synchronization
import SystemPackage
import Terminal

/// Every outside thing that a command touches: environment, output, folders. Tests make one of their own.
public struct CommandContext: Sendable {
    /// The environment's variables.
    public var environment: [String: String]
    /// The user's home folder.
    public var home: FilePath?
    /// Takes the text of results, without the line's end.
    public var write: @Sendable (String) -> Void
    /// Takes the text of messages, without the line's end.
    public var writeError: @Sendable (String) -> Void
    /// Shows progress as asked.
    public var makeProgress: @Sendable (ProgressMode) -> any ProgressDisplay
    /// The path of this very program, which becomes the agent on nodes.
    public var executable: FilePath
    /// The folder on nodes, this machine included, that the agent and its store lie in.
    public var agentFolder: FilePath = "/var/lib/sealer"

    /// Makes a context.
    public init(
        environment: [String: String], home: FilePath?, executable: FilePath,
        write: @escaping @Sendable (String) -> Void, writeError: @escaping @Sendable (String) -> Void,
        makeProgress: @escaping @Sendable (ProgressMode) -> any ProgressDisplay
    ) {
        self.environment = environment
        self.home = home
        self.executable = executable
        self.write = write
        self.writeError = writeError
        self.makeProgress = makeProgress
    }

    /// The context of a real run.
    public static func live() -> CommandContext {
        let environment = ProcessInfo.processInfo.environment
        return CommandContext(
            environment: environment,
            home: environment["HOME"].map { FilePath($0) },
            executable: "/proc/self/exe",
            write: { DescriptorOutput.standardOutput.line($0) },
            writeError: { DescriptorOutput.standardError.line($0) },
            makeProgress: { $0.display(environment: environment) }
        )
    }

    /// Where the store and the clusters are: `--root`, `SEALER_ROOT`, else by who runs it.
    func root(_ option: String?) throws -> FilePath {
        if let path = option ?? environment["SEALER_ROOT"], !path.isEmpty { return FilePath(path) }
        if getuid() == 0 { return "/var/lib/sealer" }
        if let data = environment["XDG_DATA_HOME"], data.hasPrefix("/") { return FilePath(data).appending("sealer") }
        guard let home, home.isAbsolute else {
            throw Failure(
                .usage,
                "there is no HOME to keep images in",
                remedy: "name a folder with --root or SEALER_ROOT"
            )
        }
        return home.appending(".local/share/sealer")
    }

    func store(_ option: String?) async throws -> ImageStore {
        try await ImageStore.open(root(option).appending("store"))
    }

    /// What builds remember of their layers.
    func layerCache(_ option: String?) throws -> LayerCache {
        LayerCache(try root(option).appending("cache").appending("layers"))
    }

    /// Where mounted images are kept.
    func mounts(_ option: String?) throws -> FilePath {
        try root(option).appending("mounts")
    }

    /// Runs `body` with a client for registries, whose connections are closed whatever way it ends.
    func withRegistryClient<Result>(
        progress: any ProgressSink,
        _ body: (RegistryClient) async throws -> Result
    ) async throws -> Result {
        let configuration = try await RegistryConfiguration.load(environment: environment, home: home)
        let client = RegistryClient(configuration: configuration, progress: progress)
        do {
            let result = try await body(client)
            await client.close()
            return result
        } catch {
            await client.close()
            throw error
        }
    }

    /// Runs `body` with a progress display, which is finished, and the screen left clean, whatever way it ends.
    func withProgress<Result>(
        _ mode: ProgressMode,
        _ body: (any ProgressSink) async throws -> Result
    ) async throws -> Result {
        let display = makeProgress(mode)
        do {
            let result = try await body(display)
            display.finish()
            return result
        } catch {
            display.finish()
            throw error
        }
    }
}
