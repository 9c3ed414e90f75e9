import FoundationEssentials
import ImageStore
import OCI
import Report
import SystemPackage

/// What the named images of a store lead to, at one moment: which names, and which digests may be served.
struct Catalogue: Sendable {
    /// Tags by full repository name, each with the document it stands for.
    private(set) var tags: [String: [String: Digest]] = [:]
    /// The manifests and indexes that are served as such.
    private(set) var documents: [Digest: Descriptor] = [:]
    /// Everything that is served.
    private(set) var blobs: Set<Digest> = []
    /// The registries that have a path: `library/nginx` → `docker.io`.
    private(set) var domains: [String: Set<String>] = [:]
    /// The named images that could not be read; the others are served all the same.
    private(set) var problems: [Failure] = []

    /// Reads the catalogue of a store.
    ///
    /// Where several ClusterImages contain an image of the same name, the one stored last decides; the ClusterImages' own names
    /// come before all others. Content that is named but not (or no longer) in the store is left out.
    init(of store: ImageStore) async throws {
        let named = try await store.names().sorted { Self.storedAt($0.descriptor) < Self.storedAt($1.descriptor) }
        for (reference, descriptor) in named {
            do {
                var next = self
                try await next.add(descriptor, of: store)
                self = next
            } catch let error as CancellationError {
                throw error
            } catch {
                problems.append(
                    Failure(.integrity, "\(reference.familiar) is not served", at: store.root.string, causes: [error])
                )
            }
        }
        for (reference, descriptor) in named where documents[descriptor.digest] != nil {
            add(reference, descriptor.digest)
        }
    }

    /// The repositories that a request may mean, the likeliest first.
    ///
    /// - Throws: `Failure` of kind `notFound` when only the path is given, and several registries have it.
    func candidates(path: String, namespace: String?) throws -> [String] {
        if let namespace {
            let domain = ["registry-1.docker.io", "index.docker.io"].contains(namespace) ? "docker.io" : namespace
            return ["\(domain)/\(path)"]
        }
        var result: [String] = []
        let first = path.prefix { $0 != "/" }
        if first != path[...], first == "localhost" || first.contains(".") || first.contains(":") {
            result.append(path)
        }
        result.append("docker.io/\(path)")
        if !path.contains("/") { result.append("docker.io/library/\(path)") }
        if result.contains(where: { tags[$0] != nil }) { return result }
        let others = (domains[path] ?? []).sorted()
        guard others.count < 2 else {
            throw Failure(
                .notFound,
                "several registries have \(path): ask for one of "
                    + others.map { "\($0)/\(path)" }.joined(separator: ", ")
            )
        }
        return result + others.map { "\($0)/\(path)" }
    }

    // MARK: - Reading

    private static func storedAt(_ descriptor: Descriptor) -> String {
        descriptor.annotations?[AnnotationKey.storedAt] ?? ""
    }

    private mutating func add(_ reference: Reference, _ digest: Digest) {
        domains[reference.path, default: []].insert(reference.domain)
        if let tag = reference.tag { tags[reference.repository, default: [:]][tag] = digest }
    }

    private mutating func add(_ descriptor: Descriptor, of store: ImageStore) async throws {
        guard case .index(let index) = try await read(descriptor, of: store) else { return }
        var upstream: Set<Digest> = []
        var configs: [Descriptor] = []
        var members: [(name: Reference, digest: Digest)] = []
        for entry in index.manifests {
            guard case .manifest(let manifest) = try await read(entry, of: store) else { continue }
            switch entry.annotations?[AnnotationKey.content] {
            case "rootfs": configs.append(manifest.config)
            case "indexes":
                for layer in manifest.layers where MediaType.isIndex(layer.mediaType) {
                    documents[layer.digest] = layer
                    upstream.insert(layer.digest)
                }
            case "image":
                guard let text = entry.annotations?[AnnotationKey.imageName] else { continue }
                members.append((try Reference(text), entry.digest))
            default: continue
            }
        }
        // Last to first, so that of several platforms of one image the first counts.
        for member in members.reversed() { add(member.name, member.digest) }
        // What the name stood for upstream, an index mostly, goes before the one manifest of it.
        for config in configs {
            let images = try await images(config, of: store)
            for image in images where upstream.contains(image.digest) { add(try Reference(image.name), image.digest) }
        }
    }

    /// Reads a document and takes it and what it refers to into the catalogue; nil when it is not in the store.
    private mutating func read(_ descriptor: Descriptor, of store: ImageStore) async throws -> Document? {
        guard MediaType.isIndex(descriptor.mediaType) || MediaType.isManifest(descriptor.mediaType),
            try await store.size(of: descriptor.digest) == descriptor.size
        else { return nil }
        let document = try await store.document(descriptor)
        documents[descriptor.digest] = descriptor
        blobs.insert(descriptor.digest)
        if case .manifest = document { blobs.formUnion(document.references.map(\.digest)) }
        return document
    }

    private func images(
        _ config: Descriptor,
        of store: ImageStore
    ) async throws -> [ClusterImageConfig.ContainedImage] {
        guard try await store.size(of: config.digest) == config.size else { return [] }
        return try await store.json(ImageConfig.self, config).sealer?.images ?? []
    }
}
