import FoundationEssentials
import ImageStore
import Kubefile
import LinuxSystem
import OCI
import Report
import SystemPackage

/// What to build.
public struct BuildRequest: Sendable {
    /// The Kubefile.
    public var kubefile: FilePath
    /// The build context.
    public var context: FilePath
    /// The name of the result.
    public var name: Reference
    /// Values for ARG.
    public var arguments: [String: String]
    /// What the rootfs and the contained images are for.
    public var platform: Platform
    /// The time that goes into layers and configuration, seconds since 1970; nil leaves it out, so that the same inputs give
    /// the same digests.
    public var created: Int64?
    /// helm, when it lies neither in the image's `bin/` nor in PATH.
    public var helm: FilePath?
    /// Remembers layers from build to build; nil makes each of them anew.
    public var cache: LayerCache?

    /// Makes a request.
    public init(
        kubefile: FilePath, context: FilePath, name: Reference, arguments: [String: String] = [:],
        platform: Platform = .current, created: Int64? = nil, helm: FilePath? = nil, cache: LayerCache? = nil
    ) {
        self.kubefile = kubefile
        self.context = context
        self.name = name
        self.arguments = arguments
        self.platform = platform
        self.created = created
        self.helm = helm
        self.cache = cache
    }
}

/// What was built.
public struct BuildResult: Sendable {
    /// The ClusterImage's index.
    public var descriptor: Descriptor
    /// The contained images.
    public var images: [ClusterImageConfig.ContainedImage]
    /// The size of all blobs, each counted once, in bytes.
    public var size: Int64
}

/// Builds a ClusterImage without a cluster: layers from the Kubefile, and every container image that its manifests, charts
/// and lists name.
public struct LiteBuilder: Sendable {
    let store: ImageStore
    let source: any ImageSource
    let progress: any ProgressSink

    /// Makes a builder.
    ///
    /// - Parameters:
    ///   - store: gets the result.
    ///   - source: where base images and contained images come from when the store lacks them.
    public init(store: ImageStore, source: any ImageSource, progress: any ProgressSink) {
        self.store = store
        self.source = source
        self.progress = progress
    }

    /// Builds.
    ///
    /// A build that fails leaves no name behind; what it had stored already goes with the next collection of garbage.
    ///
    /// - Throws: `InvalidText` for the Kubefile and the manifests, else `Failure`.
    public func build(_ request: BuildRequest) async throws -> BuildResult {
        let session = try await store.session()
        defer { session.end() }
        let document = try await read(request.kubefile)
        for warning in document.warnings { progress.send(.warning(warning.withoutSeverity)) }
        let baseName = try document.expandBase(buildArguments: request.arguments)
        let base = try await base(named: baseName, document: document, platform: request.platform)
        let kubefile = try document.expand(
            buildArguments: request.arguments,
            predefined: base?.sealer.env ?? [:]
        )
        for name in kubefile.unusedBuildArguments {
            progress.send(.warning("--build-arg \(name) was given, but no ARG of the Kubefile takes it"))
        }
        let context = try await BlockingPool.shared.run { try BuildContext(request.context) }
        var rootfs = RootfsDraft(base: base, kubefile: kubefile, platform: request.platform)
        let plans = try await plans(of: kubefile, document: document, context: context, draft: &rootfs)
        try rootfs.checkLaunch(kubefile, in: document)
        for (plan, instruction) in plans {
            let layer = try await progress.step(Self.title(instruction.text)) { step in
                let (layer, wasKnown) = try await LayerBuild.run(
                    plan, into: store, timestamp: request.created ?? 0, cache: request.cache
                ) { step.advance($0, of: nil) }
                if wasKnown { step.note("unchanged, its layer is there") }
                return layer
            }
            rootfs.append(layer, instruction: instruction.text)
        }
        let discovery = try await discover(plans.map(\.plan), context: context, base: base, helm: request.helm)
        let contained = try await ContainedImages(store: store, source: source)
            .collect(discovery, base: base, platform: request.platform)
        return try await assemble(rootfs, contained, request: request)
    }

    private static func title(_ text: String) -> String {
        text.count > 60 ? "\(text.prefix(59))…" : text
    }

    private func read(_ path: FilePath) async throws -> KubefileDocument {
        let bytes = try await BlockingPool.shared.run { try readFile(path, limit: 1 << 20) }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw Failure(.invalidInput, "the Kubefile is not UTF-8 text", at: path.string)
        }
        return try KubefileDocument.parse(text, file: path.lastComponent?.string ?? path.string)
    }

    private func base(
        named name: ExpandedKubefile.PlacedText,
        document: KubefileDocument,
        platform: Platform
    ) async throws -> ClusterImage? {
        guard name.text != "scratch" else { return nil }
        let reference: Reference
        do {
            reference = try Reference(name.text)
        } catch {
            throw document.mistake(error.what, at: name.position)
        }
        if try await store.resolve(reference) == nil {
            let descriptor = try await source.pullClusterImage(reference)
            // Only a ClusterImage gets a name here; another image would only be found out at the next build.
            _ = try await store.clusterImage(descriptor, named: reference.familiar, platform: platform)
            try await store.tag(descriptor, as: reference)
        }
        return try await store.clusterImage(reference, platform: platform)
    }

    private func plans(
        of kubefile: ExpandedKubefile,
        document: KubefileDocument,
        context: BuildContext,
        draft: inout RootfsDraft
    ) async throws -> [(plan: CopyPlan, instruction: ExpandedKubefile.Instruction)] {
        let (plans, apps) = try await BlockingPool.shared.run {
            var plans: [(plan: CopyPlan, instruction: ExpandedKubefile.Instruction)] = []
            var apps: [ClusterImageConfig.App] = []
            var mistakes: [Diagnostic] = []
            for instruction in kubefile.instructions {
                do {
                    switch instruction.content {
                    case .copy(let sources, let destination):
                        let plan = try CopyPlan.copy(
                            sources: sources, destination: destination, context: context, document: document)
                        plans.append((plan, instruction))
                    case .app(let name, let sources):
                        let plan = try CopyPlan.app(
                            name: name.text, sources: sources, context: context, document: document)
                        let kind = try AppKind.of(plan, name: name.text, at: instruction.position, in: document)
                        apps.append(.init(name: name.text, type: kind, path: "application/apps/\(name.text)"))
                        plans.append((plan, instruction))
                    default: break
                    }
                } catch let invalid as InvalidText {
                    mistakes += invalid.diagnostics
                }
            }
            guard mistakes.isEmpty else { throw InvalidText(mistakes) }
            return (plans, apps)
        }
        draft.add(apps)
        return plans
    }

    private func discover(
        _ plans: [CopyPlan],
        context: BuildContext,
        base: ClusterImage?,
        helm: FilePath?
    ) async throws -> Discovery {
        try await progress.step("look for container images") { step in
            let folder = try await BlockingPool.shared.run { try Self.temporaryFolder() }
            do {
                let stage = DiscoveryStage(root: folder.appending("rootfs"))
                try await BlockingPool.shared.run {
                    try Folder.make(stage.root)
                    for plan in plans { try stage.add(plan) }
                }
                let helm = try await HelmLocation(store: store)
                    .find(given: helm, plans: plans, base: base, scratch: folder)
                let discovery = try await ImageDiscovery().discover(in: stage.root, helm: helm)
                for warning in discovery.warnings { progress.send(.warning(warning.withoutSeverity)) }
                step.advance(Int64(discovery.images.count), of: Int64(discovery.images.count), unit: .items)
                try await BlockingPool.shared.run { try Folder.delete(folder) }
                return discovery
            } catch {
                try await BlockingPool.shared.run { try Folder.delete(folder) }
                throw error
            }
        }
    }

    /// Also deletes those of builds that were killed.
    private static func temporaryFolder() throws -> FilePath {
        let (parent, prefix) = (FilePath("/tmp"), "sealer-build-")
        try ProcessFolder.deleteLeft(in: parent, prefix: prefix)
        return try ProcessFolder.make(in: parent, prefix: prefix)
    }

    private func assemble(
        _ rootfs: RootfsDraft,
        _ contained: ContainedImages.Collection,
        request: BuildRequest
    ) async throws -> BuildResult {
        try await progress.step("write \(request.name.familiar)") { _ in
            var config = rootfs.configuration(images: contained.images)
            if let created = request.created {
                config.created = Date(timeIntervalSince1970: Double(created)).ISO8601Format()
            }
            let draft = ClusterImageDraft(
                rootfs: [.init(config: config, layers: rootfs.layers, platform: request.platform)],
                members: contained.members,
                upstreamIndexes: contained.upstreamIndexes
            )
            let (descriptor, blobs) = try await draft.write(to: store, place: request.name.familiar)
            try await store.tag(descriptor, as: request.name)
            return BuildResult(
                descriptor: descriptor,
                images: contained.images,
                size: blobs.reduce(0) { $0 + $1.size }
            )
        }
    }
}
