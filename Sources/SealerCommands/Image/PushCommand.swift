import ArgumentParser
import ImageStore
import OCI
import RegistryClient
import Report
import Terminal

struct PushCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "push",
        abstract: "Bring an image of the store into a registry; what the registry has is not sent.",
        discussion: """
            Example:
              sealer push shop:1.0 registry.example.org/shop:1.0
            """
    )

    @Argument(help: "The image, by name or digest.")
    var image: String

    @Argument(help: "The name it gets in the registry. (default: its own)")
    var target: String?

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var outputOptions: OutputOptions

    private struct Report: Encodable {
        var name: String
        var digest: Digest
        var sentBytes: Int64
        var presentBytes: Int64
        var mountedBytes: Int64
    }

    func run(in context: CommandContext) async throws {
        let store = try await context.store(rootOptions.root)
        let session = try await store.session()
        defer { session.end() }
        let found = try await store.select(image)
        let name: Reference
        if let target {
            name = try reference(target)
        } else {
            guard let own = found.asked ?? (found.names.count == 1 ? found.names.first : nil) else {
                throw Failure(.usage, "\(image) has several names: say which one it gets, as the second argument")
            }
            name = own
        }
        let pushed = try await context.withProgress(progressOptions.progress) { progress in
            try await context.withRegistryClient(progress: progress) { client in
                try await ImagePusher(client: client, store: store, progress: progress)
                    .push(found.descriptor, to: name, sources: found.names.filter { $0 != name })
            }
        }
        let report = Report(
            name: name.description, digest: pushed.descriptor.digest, sentBytes: pushed.sentBytes,
            presentBytes: pushed.presentBytes, mountedBytes: pushed.mountedBytes)
        try context.print(report, as: outputOptions.output) {
            "\(name.familiar)  \(report.digest)  sent \(ByteCount(report.sentBytes))"
                + ", had \(ByteCount(report.presentBytes + report.mountedBytes))"
        }
    }
}
