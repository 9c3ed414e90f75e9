import ArgumentParser
import ImageCopy
import ImageStore
import OCI
import Report
import SystemPackage
import Terminal

struct CopyCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "copy",
        abstract: "Copy an image, all of it and with the same digests, from one place to another.",
        discussion: """
            A place is docker://NAME (a registry), oci:FOLDER[:NAME], oci-archive:FILE[:NAME], or the name of an image of the \
            store.

            Example:
              sealer copy docker://registry.example.org/shop:1.0 oci-archive:shop.tar
            """
    )

    @Argument(help: "Where the image is.")
    var source: String

    @Argument(help: "Where it shall be.")
    var destination: String

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions

    func run(in context: CommandContext) async throws {
        let (source, destination) = (try ImagePlace(source), try ImagePlace(destination))
        let store = try await context.store(rootOptions.root)
        let staging = try context.root(rootOptions.root).appending("cache").appending("copy")
        let descriptor = try await context.withProgress(progressOptions.progress) { progress in
            try await context.withRegistryClient(progress: progress) { client in
                try await ImageCopier(store: store, staging: staging, client: client, progress: progress)
                    .copy(source, to: destination)
            }
        }
        context.write("\(self.destination)  \(descriptor.digest)")
    }
}
