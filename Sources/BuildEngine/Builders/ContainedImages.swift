import ImageStore
import OCI
import Report

/// Makes the images that were found members of the ClusterImage: pulls them, several at once, and describes them.
struct ContainedImages {
    /// The members with what the configuration says of them.
    struct Collection {
        var images: [ClusterImageConfig.ContainedImage]
        var members: [ClusterImage.Member]
        var upstreamIndexes: [Descriptor]
    }

    /// How many images are pulled at once; the blobs of all share a limit of their own in the registry client.
    private static let concurrency = 4

    let store: ImageStore
    let source: any ImageSource

    /// Collects the base's members and the images that were found. What the base has already is not asked for again.
    ///
    /// - Throws: `Failure` that names every image that could not be pulled with the places that asked for it.
    func collect(_ discovery: Discovery, base: ClusterImage?, platform: Platform) async throws -> Collection {
        var images: [String: ClusterImageConfig.ContainedImage] = [:]
        for image in base?.sealer.images ?? [] { images[image.name] = image }
        var members = base?.members ?? []
        var indexes = Dictionary(
            (base?.upstreamIndexes ?? []).map { ($0.digest, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        var wanted: [DiscoveredImage] = []
        for image in discovery.images {
            let name = image.reference.description
            let places = image.foundIn.map(\.description)
            if var known = images[name] {
                known.foundIn = Set(known.foundIn + places).sorted()
                images[name] = known
            } else {
                wanted.append(image)
            }
        }
        for (image, record) in try await pull(wanted, platform: platform) {
            let name = image.reference.description
            var member = record.manifest
            member.platform = record.manifest.platform ?? platform
            members.append(.init(name: image.reference, manifest: member))
            if let index = record.upstreamIndex { indexes[index.digest] = index }
            images[name] = .init(
                name: name,
                digest: record.upstreamIndex?.digest ?? record.manifest.digest,
                foundIn: image.foundIn.map(\.description).sorted()
            )
        }
        return Collection(
            images: images.values.sorted { $0.name < $1.name },
            members: members,
            upstreamIndexes: Array(indexes.values)
        )
    }

    private func pull(
        _ images: [DiscoveredImage],
        platform: Platform
    ) async throws -> [(DiscoveredImage, PulledImageRecord)] {
        typealias Outcome = (image: DiscoveredImage, result: Result<PulledImageRecord, any Error>)
        var outcomes: [Outcome] = []
        await withTaskGroup(of: Outcome.self) { group in
            var rest = images.makeIterator()
            func start(_ image: DiscoveredImage) {
                group.addTask {
                    do {
                        return (image, .success(try await source.pull(image.reference, platform: platform)))
                    } catch {
                        return (image, .failure(error))
                    }
                }
            }
            for _ in 0..<Self.concurrency {
                if let image = rest.next() { start(image) }
            }
            for await outcome in group {
                outcomes.append(outcome)
                if let image = rest.next(), !Task.isCancelled { start(image) }
            }
        }
        try Task.checkCancellation()
        var failures: [any Error] = []
        for (image, result) in outcomes {
            guard case .failure(let error) = result else { continue }
            let places = image.foundIn.map(\.description).joined(separator: ", ")
            failures.append(
                Failure(
                    (error as? Failure)?.kind ?? .software,
                    "cannot pull \(image.reference.familiar), which \(places) asks for",
                    causes: [error]
                )
            )
        }
        guard failures.isEmpty else {
            throw Failure.several("\(failures.count) images of the ClusterImage cannot be had", failures)
        }
        return try outcomes.map { ($0.image, try $0.result.get()) }
    }
}
