import ArgumentParser
import BuildEngine
import FoundationEssentials
import ImageStore
import OCI
import RegistryClient
import Report
import SystemPackage
import Terminal

struct BuildCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "build",
        abstract: "Build a ClusterImage from a Kubefile.",
        discussion: """
            Finds every container image that the image's manifests, charts and lists name, and carries them inside.

            Example:
              sealer build --tag shop:1.0 --build-arg VERSION=1.0 .
            """
    )

    @Option(name: .shortAndLong, help: ArgumentHelp("The name of the image.", valueName: "name"))
    var tag: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The Kubefile. (default: CONTEXT/Kubefile)", valueName: "path"))
    var file: String?

    @Option(
        name: .customLong("build-arg"),
        help: ArgumentHelp("A value for an ARG; may be repeated.", valueName: "name=value"))
    var buildArguments: [String] = []

    @Option(
        help: ArgumentHelp(
            "What the image is for, such as linux/amd64. (default: this machine's)", valueName: "platform"))
    var platform: String?

    @Flag(help: "Make every layer anew, also of files that did not change.")
    var noCache = false

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var outputOptions: OutputOptions

    @Argument(help: "The folder that COPY and APP take files from.")
    var context: String = "."

    func run(in commandContext: CommandContext) async throws {
        let folder = FilePath(context)
        var request = BuildRequest(
            kubefile: file.map { FilePath($0) } ?? folder.appending("Kubefile"),
            context: folder,
            name: try reference(tag),
            arguments: try parseAssignments(buildArguments, of: "--build-arg")
        )
        if let platform {
            guard let parsed = Platform(platform) else {
                throw Failure(.usage, "\"\(platform)\" is not a platform, expected one such as linux/amd64")
            }
            request.platform = parsed
        }
        if let epoch = commandContext.environment["SOURCE_DATE_EPOCH"] {
            guard let seconds = Int64(epoch), seconds >= 0 else {
                throw Failure(.usage, "SOURCE_DATE_EPOCH is \"\(epoch)\", a number of seconds was expected")
            }
            request.created = seconds
        }
        if !noCache { request.cache = try commandContext.layerCache(rootOptions.root) }
        let store = try await commandContext.store(rootOptions.root)
        let result = try await commandContext.withProgress(progressOptions.progress) { progress in
            try await commandContext.withRegistryClient(progress: progress) { [request] client in
                let source = RegistryImageSource(client: client, store: store, progress: progress)
                return try await LiteBuilder(store: store, source: source, progress: progress).build(request)
            }
        }
        let report = Report(
            name: request.name.description,
            digest: result.descriptor.digest,
            size: result.size,
            images: result.images
        )
        try commandContext.print(report, as: outputOptions.output) {
            let size = ByteCount(result.size).inWords
            let images = result.images.count == 1 ? "1 container image" : "\(result.images.count) container images"
            return "\(request.name.familiar)  \(result.descriptor.digest)  \(size), \(images)"
        }
    }

    private struct Report: Encodable {
        var name: String
        var digest: Digest
        var size: Int64
        var images: [ClusterImageConfig.ContainedImage]
    }
}

/// A registry as the build engine's source of images.
struct RegistryImageSource: ImageSource {
    private let puller: ImagePuller
    private let whole: WholePull

    init(client: RegistryClient, store: ImageStore, progress: any ProgressSink) {
        puller = ImagePuller(client: client, store: store, progress: progress)
        whole = WholePull(client: client, store: store, progress: progress)
    }

    func pull(_ reference: Reference, platform: Platform) async throws -> PulledImageRecord {
        let pulled = try await puller.pull(reference, platform: platform)
        return PulledImageRecord(manifest: pulled.manifest.descriptor, upstreamIndex: pulled.upstreamIndex?.descriptor)
    }

    func pullClusterImage(_ reference: Reference) async throws -> Descriptor {
        try await whole.pull(reference)
    }
}
