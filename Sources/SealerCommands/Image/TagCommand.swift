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

    @Argument(help: "The image.")
    var source: String

    @Argument(help: "The further name.")
    var target: String

    @OptionGroup var rootOptions: RootOptions

    func run(in context: CommandContext) async throws {
        let store = try await context.store(rootOptions.root)
        let name = try reference(target)
        let source = try reference(source)
        guard let descriptor = try await store.resolve(source) else { throw noSuchImage(source, in: store) }
        let previous = try await store.tag(descriptor, as: name)
        context.write("\(name.familiar)  \(descriptor.digest)")
        if let previous { context.writeError("the name stood for \(previous.digest) before") }
    }
}

struct RemoveImageCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "rmi",
        abstract: "Remove names of images, and the content that no other name needs.",
        discussion: """
            Example:
              sealer rmi shop:1.0
            """
    )

    @Argument(help: "The images.")
    var images: [String]

    @OptionGroup var rootOptions: RootOptions

    func run(in context: CommandContext) async throws {
        let store = try await context.store(rootOptions.root)
        let names = try images.map { try reference($0) }
        for name in names where try await store.resolve(name) == nil { throw noSuchImage(name, in: store) }
        for name in names {
            try await store.untag(name)
            context.write("untagged \(name.familiar)")
        }
        let collected = try await store.collectGarbage()
        context.write("deleted \(collected.blobs) blobs, \(ByteCount(collected.bytes).inWords)")
    }
}

func noSuchImage(_ name: Reference, in store: ImageStore) -> Failure {
    Failure(
        .notFound,
        "there is no image \(name.familiar) in the store",
        at: store.root.string,
        remedy: "see what there is with: sealer images"
    )
}
