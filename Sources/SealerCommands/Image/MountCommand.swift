import ArgumentParser
import ImageStore
import ImageTree
import OCI
import Report
import SystemPackage
import Terminal

struct MountCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "mount",
        abstract: "Show an image's files as a folder, or list what is mounted.",
        discussion: """
            What is written there is thrown away by umount; the image does not change. Without root, or where overlays are \
            not to be had, the files are unpacked.

            Example:
              sealer mount shop:1.0 /mnt
            """
    )

    @Argument(help: "The image, by name or digest; without one, what is mounted is listed.")
    var image: String?

    @Argument(help: "An empty folder, or one to be made. (default: one below the root folder)")
    var folder: String?

    @Flag(help: "Unpack files of its own, without an overlay.")
    var plain = false

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var outputOptions: OutputOptions

    func run(in context: CommandContext) async throws {
        let store = try await context.store(rootOptions.root)
        let mounts = ImageMounts(try context.mounts(rootOptions.root), store: store)
        guard let image else {
            let all = try await mounts.all()
            return try context.print(all, as: outputOptions.output) {
                TextTable.text(
                    header: ["IMAGE", "FOLDER", "KIND"],
                    rows: all.map { [$0.image, $0.folder, $0.kind.rawValue] }
                )
            }
        }
        let session = try await store.session()
        defer { session.end() }
        let descriptor = try await store.select(image).descriptor
        let content = try await store.clusterImage(descriptor, named: image)
        let total = content.manifest.layers.reduce(0) { $0 + $1.size }
        let mount = try await context.withProgress(progressOptions.progress) { progress in
            try await progress.step("mount \(image)") { step in
                try await mounts.mount(content, named: image, at: folder.map { FilePath($0) }, plain: plain) {
                    // More is written than the packed layers have; how much more is not known before.
                    step.advance($0, of: $0 > total ? nil : total)
                }
            }
        }
        try context.print(mount, as: outputOptions.output) { mount.folder }
    }
}

struct UnmountCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "umount",
        abstract: "End what mount began, and throw away what was written there.",
        discussion: """
            Example:
              sealer umount /mnt
            """
    )

    @Argument(help: "The folders.")
    var folders: [String] = []

    @Flag(name: .shortAndLong, help: "All images that are mounted.")
    var all = false

    @OptionGroup var rootOptions: RootOptions

    func run(in context: CommandContext) async throws {
        guard all != !folders.isEmpty else { throw Failure(.usage, "umount wants either folders or --all") }
        let store = try await context.store(rootOptions.root)
        let mounts = ImageMounts(try context.mounts(rootOptions.root), store: store)
        for folder in all ? try await mounts.all().map(\.folder) : folders {
            guard let mount = try await mounts.unmount(FilePath(folder)) else {
                throw Failure(
                    .notFound, "no image is mounted there", at: folder, remedy: "see what is mounted: sealer mount")
            }
            context.write("unmounted \(mount.image) from \(mount.folder)")
        }
    }
}
