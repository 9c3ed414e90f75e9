import ArgumentParser
import ImageStore
import RegistryClient
import Report
import SystemPackage
import Terminal

struct FsckCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "fsck",
        abstract: "Read every blob of the store, and name what is missing, cut off or changed.",
        discussion: """
            Ends with 76 when something is wrong (left). With --repair, damaged blobs are fetched again from the registries \
            that the images' names say.

            Example:
              sealer fsck --repair
            """
    )

    @Flag(help: "Fetch damaged and missing blobs again from where they came.")
    var repair = false

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var outputOptions: OutputOptions

    func run(in context: CommandContext) async throws {
        let store = try await context.store(rootOptions.root)
        let report = try await context.withProgress(progressOptions.progress) { progress in
            let check = try await progress.step("read the store") { step in
                try await store.check { step.advance($0, of: $1) }
            }
            guard repair, !check.isClean else { return StoreRepairReport(left: check) }
            return try await context.withRegistryClient(progress: progress) { client in
                try await client.repair(check, of: store, progress: progress)
            }
        }
        try context.print(report, as: outputOptions.output) { Self.text(report) }
        guard report.left.isClean else {
            throw Failure(
                .integrity,
                "the store has \(report.left.damages.count == 1 ? "1 fault" : "\(report.left.damages.count) faults")",
                at: store.root.string,
                remedy: repair
                    ? "build or pull the images again that are named above, or remove them: sealer rmi"
                    : "fetch what is damaged again: sealer fsck --repair"
            )
        }
    }

    private static func text(_ report: StoreRepairReport) -> String {
        let check = report.left
        var lines = report.fetched.map { "fetched \($0)" } + report.deleted.map { "deleted \($0), no image needs it" }
        lines += report.failures.map { "not repaired: \($0)" }
        for damage in check.damages {
            let needed = damage.images.isEmpty ? "" : ", needed by \(damage.images.joined(separator: ", "))"
            lines.append("\(damage.path): \(damage.kind.rawValue): \(damage.detail)\(needed)")
        }
        lines.append(
            "\(check.blobs) blobs, \(ByteCount(check.bytes).inWords), \(check.images) images: "
                + (check.isClean ? "all good" : "\(check.damages.count) wrong")
                + (check.unfinished > 0 ? "; \(check.unfinished) unfinished blobs, sealer prune removes them" : "")
        )
        return TerminalText.block(lines.joined(separator: "\n"))
    }
}
