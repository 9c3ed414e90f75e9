import ArgumentParser
import ImageArchive
import ImageStore
import OCI
import OlderImages
import Report
import SystemPackage
import Terminal

struct LoadCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Read images out of an archive that sealer, docker, podman or skopeo wrote.",
        discussion: """
            Everything is verified while it is read. Nothing gets a name before all of it is there.

            Example:
              sealer load --input shop-1.1.tar
              sealer load shop.tar.part*
            """
    )

    @Argument(help: "The archive, or all parts of one. (default: standard input)")
    var files: [String] = []

    @Option(name: .shortAndLong, help: ArgumentHelp("The archive, as docker load has it.", valueName: "path"))
    var input: String?

    @Option(help: ArgumentHelp("The image's name, where the archive tells none or another.", valueName: "name"))
    var name: String?

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var outputOptions: OutputOptions

    private struct Row: Encodable {
        var names: [String]
        var digest: Digest
    }

    func run(in context: CommandContext) async throws {
        let paths = files + [input].compactMap(\.self)
        let source: ArchiveInput =
            paths.isEmpty || paths == ["-"]
            ? .descriptor(.standardInput, name: "standard input") : try ArchiveInput(paths.map { FilePath($0) })
        let store = try await context.store(rootOptions.root)
        let loaded = try await context.withProgress(progressOptions.progress) { progress in
            try await progress.step("load \(paths.first ?? "standard input")") { step in
                let older = OlderImages(store, progress: progress)
                return try await ArchiveLoader(store: store).load(source, name: name, step: step) { image in
                    try await older.adopt(
                        image.descriptor, named: image.names.first?.familiar ?? image.descriptor.digest.description)
                }
            }
        }
        for replaced in loaded.replaced {
            context.writeError("\(replaced.name.familiar) stood for \(replaced.previous.digest) before")
        }
        let rows = loaded.images.map { Row(names: $0.names.map(\.description), digest: $0.descriptor.digest) }
        try context.print(rows, as: outputOptions.output) {
            let lines = loaded.images.flatMap { image in
                image.names.map { "\($0.familiar)  \(image.descriptor.digest)" }
            }
            return TerminalText.block(
                (lines + ["\(loaded.added) blobs are new, \(loaded.present) were there"]).joined(separator: "\n"))
        }
    }
}
