import ArgumentParser
import ImageStore
import OCI
import RegistryClient
import Report
import Terminal

struct PullCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull",
        abstract: "Bring an image from a registry into the store.",
        discussion: """
            Example:
              sealer pull registry.example.org/shop:1.0
            """
    )

    @Argument(help: "The image, by tag or digest.")
    var image: String

    @Option(
        help: ArgumentHelp(
            "Only what is for this platform, such as linux/amd64. (default: all platforms)", valueName: "platform"))
    var platform: String?

    @Flag(help: "All platforms, which is the default.")
    var allPlatforms = false

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions

    func run(in context: CommandContext) async throws {
        guard platform == nil || !allPlatforms else {
            throw Failure(.usage, "--platform and --all-platforms do not go together")
        }
        let platform = try platform.map { text in
            guard let platform = Platform(text) else {
                throw Failure(.usage, "\"\(text)\" is not a platform, expected one such as linux/amd64")
            }
            return platform
        }
        let store = try await context.store(rootOptions.root)
        let name = try reference(image)
        let session = try await store.session()
        defer { session.end() }
        let descriptor = try await context.withProgress(progressOptions.progress) { progress in
            try await context.withRegistryClient(progress: progress) { client in
                let pull = WholePull(client: client, store: store, progress: progress)
                guard let platform else { return try await pull.pull(name) }
                return try await pull.pull(name, platform: platform)
            }
        }
        try await store.tag(descriptor, as: name)
        context.write("\(name.familiar)  \(descriptor.digest)")
    }
}
