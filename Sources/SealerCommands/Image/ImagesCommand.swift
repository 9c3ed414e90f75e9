import ArgumentParser
import ImageStore
import OCI
import Report
import Terminal

struct ImagesCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "images",
        abstract: "List the images of the store.",
        discussion: """
            Example:
              sealer images --output json
            """
    )

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var outputOptions: OutputOptions

    private struct Row: Encodable {
        var name: String
        var digest: Digest
        var size: Int64
        var created: String?
    }

    func run(in context: CommandContext) async throws {
        let store = try await context.store(rootOptions.root)
        var rows: [Row] = []
        for (reference, descriptor) in try await store.names() {
            rows.append(
                Row(
                    name: reference.familiar,
                    digest: descriptor.digest,
                    size: try await store.closure(of: descriptor).reduce(0) { $0 + $1.size },
                    created: descriptor.annotations?[AnnotationKey.storedAt]
                )
            )
        }
        try context.print(rows, as: outputOptions.output) {
            TextTable.text(
                header: ["NAME", "DIGEST", "SIZE", "STORED"],
                rows: rows.map { [$0.name, $0.digest.short, ByteCount($0.size).inWords, $0.created ?? ""] }
            )
        }
    }
}
