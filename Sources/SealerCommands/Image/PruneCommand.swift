import ArgumentParser
import BuildEngine
import ImageStore
import Report
import SystemPackage
import Terminal

struct PruneCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Delete the content that no image's name leads to, and downloads that were never finished.",
        discussion: """
            Example:
              sealer prune --dry-run
            """
    )

    @Flag(help: "Only say what would be deleted.")
    var dryRun = false

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var outputOptions: OutputOptions

    func run(in context: CommandContext) async throws {
        let store = try await context.store(rootOptions.root)
        let garbage = try await store.collectGarbage(dryRun: dryRun)
        if !dryRun { try await context.layerCache(rootOptions.root).forgetMissing(in: store) }
        try context.print(garbage, as: outputOptions.output) {
            "\(dryRun ? "would delete" : "deleted") \(garbage.inWords)"
        }
    }
}

extension ImageStore.Garbage {
    /// `3 blobs and 1 unfinished one, 12.0 MB`.
    var inWords: String {
        let unfinished = unfinished == 0 ? "" : " and \(unfinished) unfinished"
        return "\(blobs == 1 ? "1 blob" : "\(blobs) blobs")\(unfinished), \(ByteCount(bytes).inWords)"
    }
}
