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

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions

    func run(in context: CommandContext) async throws {
        let store = try await context.store(rootOptions.root)
        let name = try reference(image)
        let session = try await store.session()
        defer { session.end() }
        let descriptor = try await context.withProgress(progressOptions.progress) { progress in
            let client = try await context.registryClient(progress: progress)
            let puller = ImagePuller(client: client, store: store, progress: progress)
            let descriptor = try await puller.pullAll(name).descriptor
            await client.close()
            return descriptor
        }
        try await store.tag(descriptor, as: name)
        context.write("\(name.familiar)  \(descriptor.digest)")
    }
}
