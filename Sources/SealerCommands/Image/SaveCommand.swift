import Archive
import ArgumentParser
import FoundationEssentials
import Glibc
import ImageArchive
import ImageStore
import OCI
import Report
import SystemPackage
import Terminal

struct SaveCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "save",
        abstract: "Write images into an archive that sealer, skopeo, podman and, where it can, docker read.",
        discussion: """
            With --since only what the other side lacks is written; it is named by an image of this store, an archive that was \
            loaded there, or a file of digests. With --split the archive comes in parts.

            Example:
              sealer save --output shop-1.1.tar --since shop:1.0 shop:1.1
            """
    )

    @Argument(help: "The images, by name or digest.")
    var images: [String]

    @Option(
        name: [.customShort("o"), .customLong("output")],
        help: ArgumentHelp("The file. (default: standard output)", valueName: "path"))
    var file: String?

    @Option(help: ArgumentHelp("What the other side has: it is left out.", valueName: "image|path"))
    var since: String?

    @Option(help: ArgumentHelp("Write parts of at most this size: 4G, 700M.", valueName: "size"))
    var split: String?

    @Flag(help: "Pack the whole by zstd; layers are packed already.")
    var compress = false

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions

    func run(in context: CommandContext) async throws {
        let target = try target()
        let store = try await context.store(rootOptions.root)
        let session = try await store.session()
        defer { session.end() }
        var chosen: [ArchivedImage] = []
        for image in images { chosen.append(ArchivedImage(try await store.select(image))) }
        var options = ArchiveOptions(compression: compress ? .zstd : .none)
        if let since { options.base = try await ArchiveBase.find(since, in: store) }
        let archive = try await context.withProgress(progressOptions.progress) { [chosen, options] progress in
            try await progress.step("save \(images.joined(separator: ", "))") { step in
                try await ArchiveWriter(store: store).save(chosen, to: target, options: options, step: step)
            }
        }
        let left = archive.omitted == 0 ? "" : "; left out \(archive.omitted), \(ByteCount(archive.omittedSize))"
        let words = "\(ByteCount(archive.size)), \(archive.blobs) blobs\(left)"
        if archive.files.isEmpty {
            // Standard output carries the archive.
            context.writeError("wrote \(words)")
        } else {
            context.write(archive.files.map(\.string).joined(separator: "\n"))
            context.writeError("wrote \(words)")
        }
    }

    private func target() throws -> ArchiveTarget {
        if let split {
            guard let file, file != "-" else { throw Failure(.usage, "--split needs --output, the name of the parts") }
            return .parts(FilePath(file), size: try Self.bytes(split))
        }
        if let file, file != "-" { return .file(FilePath(file)) }
        guard isatty(STDOUT_FILENO) == 0 else {
            throw Failure(.usage, "an archive is nothing for a terminal", remedy: "name a file with --output")
        }
        return .descriptor(.standardOutput, name: "standard output")
    }

    /// Reads `4G`, `700M`, `1000000`; the letters count in thousands, as disks do.
    static func bytes(_ text: String) throws -> Int64 {
        let factors: [Character: Int64] = ["k": 1000, "M": 1_000_000, "G": 1_000_000_000, "T": 1_000_000_000_000]
        var digits = Substring(text)
        if digits.last == "B" { digits = digits.dropLast() }
        let factor = digits.last.flatMap { factors[$0 == "K" ? "k" : $0] }
        if factor != nil { digits = digits.dropLast() }
        let (size, isTooLarge) = (Int64(digits) ?? 0).multipliedReportingOverflow(by: factor ?? 1)
        guard size > 0, !isTooLarge else {
            throw Failure(.usage, "--split \(text): a size was expected, such as 4G or 700M")
        }
        return size
    }
}
