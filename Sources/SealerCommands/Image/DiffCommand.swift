import ArgumentParser
import ImageStore
import ImageTree
import Report
import SystemPackage
import Terminal

struct DiffCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract:
            "Show what a second image adds (+), drops (-) and changes (~): files, contained images, configuration.",
        discussion: """
            Example:
              sealer diff shop:1.0 shop:1.1
            """
    )

    @Argument(help: "The first image, by name or digest.")
    var first: String

    @Argument(help: "The second image, by name or digest.")
    var second: String

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var outputOptions: OutputOptions

    func run(in context: CommandContext) async throws {
        let store = try await context.store(rootOptions.root)
        let session = try await store.session()
        defer { session.end() }
        let before = try await store.clusterImage(store.select(first).descriptor, named: first)
        let after = try await store.clusterImage(store.select(second).descriptor, named: second)
        let difference = try await ImageDifference.between(before, after, in: store)
        try context.print(difference, as: outputOptions.output) { Self.text(difference) }
    }

    private static func text(_ difference: ImageDifference) -> String {
        var lines: [String] = []
        func add(_ title: String, _ changes: [ImageDifference.Change]) {
            guard !changes.isEmpty else { return }
            lines.append("\(title):")
            for change in changes {
                let values = [change.before, change.after].compactMap(\.self).joined(separator: "  →  ")
                lines.append("  \(change.sign) \(change.name)  \(values)")
            }
        }
        add("Files", difference.files)
        add("Contained images", difference.images)
        add("Configuration", difference.config)
        if difference.isEmpty { lines.append("the two bring the same") }
        lines.append("a store that has the first lacks \(ByteCount(difference.newBytes).inWords) of the second")
        return TerminalText.block(lines.joined(separator: "\n"))
    }
}
