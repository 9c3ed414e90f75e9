import ImageStore
import Kubefile
import OCI
import Report

/// The rootfs' manifest and configuration while they grow, instruction by instruction.
struct RootfsDraft {
    private let base: ClusterImage?
    private let kubefile: ExpandedKubefile
    private let platform: Platform
    private(set) var layers: [Descriptor]
    private var diffIDs: [Digest]
    private var history: [ImageConfig.History]
    private var apps: [ClusterImageConfig.App]

    init(base: ClusterImage?, kubefile: ExpandedKubefile, platform: Platform) {
        self.base = base
        self.kubefile = kubefile
        self.platform = platform
        layers = base?.manifest.layers ?? []
        diffIDs = base?.config.rootfs.diffIDs ?? []
        history = base?.config.history ?? []
        apps = base?.sealer.apps ?? []
    }

    /// Adds applications; one of the same name replaces the base's.
    mutating func add(_ new: [ClusterImageConfig.App]) {
        apps.removeAll { old in new.contains { $0.name == old.name } }
        apps += new
    }

    /// Adds a layer.
    mutating func append(_ layer: LayerBuild.Layer, instruction: String) {
        layers.append(layer.descriptor)
        diffIDs.append(layer.diffID)
        history.append(.init(createdBy: instruction))
    }

    /// Every name of LAUNCH must be an application of this file or of the base image.
    func checkLaunch(_ kubefile: ExpandedKubefile, in document: KubefileDocument) throws {
        var mistakes: [Diagnostic] = []
        for case .launch(let names) in kubefile.instructions.map(\.content) {
            for name in names where !apps.contains(where: { $0.name == name.name }) {
                let known = apps.map(\.name).sorted().joined(separator: ", ")
                mistakes.append(
                    Diagnostic(
                        file: document.file,
                        line: name.position.line,
                        column: name.position.column,
                        message: "there is no application \(name.name), expected "
                            + (known.isEmpty ? "an APP instruction for it" : "one of: \(known)")
                    )
                )
            }
        }
        guard mistakes.isEmpty else { throw InvalidText(mistakes) }
    }

    /// The configuration. What the base launches comes first, then what this file launches.
    func configuration(images: [ClusterImageConfig.ContainedImage]) -> ImageConfig {
        let labels = (base?.labels ?? [:]).merging(kubefile.labels) { _, new in new }
        let inherited = base?.sealer
        var launch = inherited?.launch ?? []
        for instruction in kubefile.instructions {
            switch instruction.content {
            case .command(let command): launch.append(.shell(command))
            case .commands(let commands): launch += commands.map { .shell($0) }
            case .launch(let names): launch += names.map { .app($0.name) }
            default: break
            }
        }
        let sealer = ClusterImageConfig(
            kind: labels[LabelKey.runtimeVersion] == nil ? .appInstaller : .kubeInstaller,
            launch: launch,
            apps: apps,
            args: (inherited?.args ?? [:]).merging(kubefile.arguments) { _, new in new },
            env: (inherited?.env ?? [:]).merging(kubefile.environment) { _, new in new },
            kubeVersion: inherited?.kubeVersion,
            clusterfile: inherited?.clusterfile,
            images: images
        )
        let silent = kubefile.instructions.filter {
            switch $0.content {
            case .copy, .app: false
            default: true
            }
        }
        return ImageConfig(
            platform: platform,
            config: .init(labels: labels.isEmpty ? nil : labels),
            rootfs: .init(diffIDs: diffIDs),
            history: history + silent.map { .init(createdBy: $0.text, emptyLayer: true) },
            sealer: sealer
        )
    }
}
