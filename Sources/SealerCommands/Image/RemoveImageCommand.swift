import ArgumentParser
import ImageStore
import OCI
import Report
import SystemPackage
import Terminal

struct RemoveImageCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "rmi",
        abstract: "Remove images, and the content that no other image needs.",
        discussion: """
            An image that is named by its digest, or the beginning of it, must have one name only, or --force.

            Example:
              sealer rmi shop:1.0 5f2b
            """
    )

    @Argument(help: "The images, by name, digest or unambiguous beginning of a digest.")
    var images: [String]

    @Flag(name: .shortAndLong, help: "Remove an image that is named by its digest although it has several names.")
    var force = false

    @OptionGroup var rootOptions: RootOptions

    func run(in context: CommandContext) async throws {
        let store = try await context.store(rootOptions.root)
        // All are found before the first is removed: a mistake changes nothing.
        var names: [(name: Reference, digest: Digest)] = []
        for text in images {
            let image = try await store.select(text)
            guard image.asked != nil || image.names.count == 1 || force else {
                throw Failure(
                    .conflict,
                    "the image has several names: \(image.names.map(\.familiar).joined(separator: ", "))",
                    at: text,
                    remedy: "remove one of them by name, or all with --force"
                )
            }
            for name in image.asked.map({ [$0] }) ?? image.names where !names.contains(where: { $0.name == name }) {
                names.append((name, image.descriptor.digest))
            }
        }
        for (name, digest) in names {
            // A name that has moved since is another image now.
            if try await store.untag(name, ifStandsFor: digest) != nil {
                context.write("untagged \(name.familiar)")
            } else {
                context.writeError("\(name.familiar) stands for another image now; it was left alone")
            }
        }
        do {
            context.write("deleted \(try await store.collectGarbage().inWords)")
        } catch let failure as Failure where failure.kind == .conflict {
            // The names are gone, and that is what was asked for; what is in use now is for a later prune.
            context.writeError("\(failure.what); nothing was deleted yet, sealer prune does it later")
        }
    }
}
