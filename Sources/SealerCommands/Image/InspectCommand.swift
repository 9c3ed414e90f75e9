import ArgumentParser
import ImageStore
import OCI
import Report
import SystemPackage
import Terminal

struct InspectCommand: ContextCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Show what a ClusterImage brings: layers, contained images and where each was found, what starts.",
        discussion: """
            Example:
              sealer inspect shop:1.0 --output json
            """
    )

    @Argument(help: "The image.")
    var image: String

    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var outputOptions: OutputOptions

    private struct Layer: Encodable {
        var digest: Digest
        var size: Int64
        var createdBy: String?
    }

    private struct Contained: Encodable {
        var name: String
        var digest: Digest
        var size: Int64
        var foundIn: [String]
    }

    private struct Report: Encodable {
        var name: String
        var digest: Digest
        var size: Int64
        var platform: Platform
        var labels: [String: String]
        var layers: [Layer]
        var images: [Contained]
        var sealer: ClusterImageConfig
    }

    func run(in context: CommandContext) async throws {
        let store = try await context.store(rootOptions.root)
        let reference = try reference(image)
        let report = try await report(on: store.clusterImage(reference), named: reference, in: store)
        try context.print(report, as: outputOptions.output) { Self.text(report) }
    }

    private func report(on image: ClusterImage, named name: Reference, in store: ImageStore) async throws -> Report {
        let sizes = try await sizes(of: image, in: store)
        let history = (image.config.history ?? []).filter { $0.emptyLayer != true }
        return Report(
            name: name.description,
            digest: image.descriptor.digest,
            size: try await store.closure(of: image.descriptor).reduce(0) { $0 + $1.size },
            platform: image.config.platform,
            labels: image.labels,
            layers: image.manifest.layers.enumerated().map { number, layer in
                let createdBy = number < history.count ? history[number].createdBy : nil
                return Layer(digest: layer.digest, size: layer.size, createdBy: createdBy)
            },
            images: image.sealer.images.map {
                Contained(name: $0.name, digest: $0.digest, size: sizes[$0.name] ?? 0, foundIn: $0.foundIn)
            },
            sealer: image.sealer
        )
    }

    /// The size of each contained image: manifest, configuration and layers.
    private func sizes(of image: ClusterImage, in store: ImageStore) async throws -> [String: Int64] {
        var sizes: [String: Int64] = [:]
        for member in image.members {
            let size = try await store.closure(of: member.manifest).reduce(0) { $0 + $1.size }
            sizes[member.name.description, default: 0] += size
        }
        return sizes
    }

    private static func text(_ report: Report) -> String {
        var lines = [
            "Name:      \(report.name)",
            "Digest:    \(report.digest)",
            "Size:      \(ByteCount(report.size).inWords)",
            "Platform:  \(report.platform)",
            "Kind:      \(report.sealer.kind.rawValue)",
        ]
        if !report.labels.isEmpty {
            lines.append("Labels:")
            lines += report.labels.sorted { $0.key < $1.key }.map { "  \($0.key)=\($0.value)" }
        }
        lines.append("")
        lines.append(
            TextTable.text(
                header: ["LAYER", "SIZE", "MADE BY"],
                rows: report.layers.map { [$0.digest.short, ByteCount($0.size).inWords, $0.createdBy ?? ""] }
            )
        )
        lines.append("")
        lines.append(
            TextTable.text(
                header: ["CONTAINED IMAGE", "DIGEST", "SIZE", "FOUND IN"],
                rows: report.images.map {
                    [$0.name, $0.digest.short, ByteCount($0.size).inWords, $0.foundIn.joined(separator: ", ")]
                }
            )
        )
        lines.append("")
        lines.append("Launch:")
        lines += report.sealer.launch.map { launch in
            switch launch {
            case .app(let name): "  application \(name)"
            case .shell(let command): "  \(command)"
            }
        }
        return TerminalText.block(lines.joined(separator: "\n"))
    }
}
