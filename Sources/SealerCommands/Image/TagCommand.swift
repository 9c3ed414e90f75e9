import ArgumentParser
import ImageStore
import OCI
import Report
import SystemPackage
import Terminal

struct TagCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "tag",
        abstract: "Give an image a further name.",
        discussion: """
            Example:
              sealer tag shop:1.0 registry.example.org/shop:1.0
            """
    )

    @Argument(help: "The image, by name or digest.")
    var source: String

    @Argument(help: "The further name.")
    var target: String

    @OptionGroup var rootOptions: RootOptions

    func run(in context: CommandContext) async throws {
        let store = try await context.store(rootOptions.root)
        let name = try reference(target)
        // Nobody deletes the content between the look at it and its new name.
        let session = try await store.session()
        defer { session.end() }
        let descriptor = try await store.select(source).descriptor
        let previous = try await store.tag(descriptor, as: name)
        context.write("\(name.familiar)  \(descriptor.digest)")
        if let previous { context.writeError("the name stood for \(previous.digest) before") }
    }
}
