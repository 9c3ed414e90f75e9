import FoundationEssentials
import ImageStore
import OCI
import Report
import SystemPackage

/// What the named images of a store lead to, at one moment: which names, and which digests may be served.
struct Catalogue: Sendable {
    /// Tags by full repository name, each with the document it stands for; empty for a repository without tags.
    private(set) var tags: [String: [String: Digest]] = [:]
    /// The manifests and indexes that are served as such.
    private(set) var documents: [Digest: Descriptor] = [:]
    /// Everything that is served.
    private(set) var blobs: Set<Digest> = []
    /// The registries that have a path: `library/nginx` → `docker.io`.
    private(set) var domains: [String: Set<String>] = [:]
    /// The named images that could not be read; the others are served all the same.
    private(set) var problems: [Failure] = []

    /// What each named digest leads to.
    private var images: [Digest: CatalogueImage] = [:]
    /// The named digests of each repository.
    private var roots: [String: Set<Digest>] = [:]
    /// The named digests of which a repository's images are members.
    private var carriers: [String: Set<Digest>] = [:]

    /// Reads the catalogue of a store.
    ///
    /// Where several ClusterImages contain an image of the same name, the one stored last decides; the ClusterImages' own names
    /// come before all others. Content that is named but not (or no longer) in the store is left out.
    ///
    /// - Parameter previous: an earlier catalogue of the same store; what it read is not read again.
    init(of store: ImageStore, previous: Catalogue? = nil) async throws {
        let named = try await store.names().sorted { Self.storedAt($0.descriptor) < Self.storedAt($1.descriptor) }
        for (reference, descriptor) in named where images[descriptor.digest] == nil {
            do {
                let known = previous?.images[descriptor.digest]
                let image =
                    if let known, known.isWhole { known } else { try await CatalogueImage(descriptor, of: store) }
                for (name, digest) in image.members {
                    add(name, digest)
                    carriers[name.repository, default: []].insert(descriptor.digest)
                }
                documents.merge(image.documents) { $1 }
                blobs.formUnion(image.blobs)
                images[descriptor.digest] = image
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
            roots[reference.repository, default: []].insert(descriptor.digest)
        }
    }

    /// The repositories that a request may mean, the likeliest first; empty when it means none of the scope.
    ///
    /// - Throws: `Failure` of kind `notFound` when only the path is given, and several registries have it.
    func candidates(path: String, namespace: String?, scope: RepositoryScope) throws -> [String] {
        if let namespace {
            let domain = ["registry-1.docker.io", "index.docker.io"].contains(namespace) ? "docker.io" : namespace
            return ["\(domain)/\(path)"].filter(scope.contains)
        }
        var result: [String] = []
        let first = path.prefix { $0 != "/" }
        if first != path[...], first == "localhost" || first.contains(".") || first.contains(":") {
            result.append(path)
        }
        result.append("docker.io/\(path)")
        if !path.contains("/") { result.append("docker.io/library/\(path)") }
        result = result.filter(scope.contains)
        if result.contains(where: { tags[$0] != nil }) { return result }
        let others = (domains[path] ?? []).sorted().map { "\($0)/\(path)" }.filter(scope.contains)
        guard others.count < 2 else {
            throw Failure(
                .notFound, "several registries have \(path): ask for one of \(others.joined(separator: ", "))")
        }
        return result + others
    }

    /// Whether the content belongs to that repository, as part of an image of its own or as a member of a ClusterImage.
    func holds(_ digest: Digest, repository: String) -> Bool {
        (roots[repository] ?? []).contains { images[$0]?.blobs.contains(digest) == true }
            || (carriers[repository] ?? []).contains { images[$0]?.owned[repository]?.contains(digest) == true }
    }

    /// Whether an image of that repository other than the document itself leads to it.
    func isPart(_ document: Digest, repository: String) -> Bool {
        (roots[repository] ?? []).contains { $0 != document && images[$0]?.blobs.contains(document) == true }
            || (carriers[repository] ?? []).contains { images[$0]?.owned[repository]?.contains(document) == true }
    }

    /// The manifests of that repository whose subject is the digest, sorted by digest.
    func referrers(of subject: Digest, repository: String) -> [Descriptor] {
        var found: [Digest: Descriptor] = [:]
        for root in roots[repository] ?? [] {
            for item in images[root]?.referrers ?? [] where item.subject == subject {
                found[item.descriptor.digest] = item.descriptor
            }
        }
        return found.values.sorted { $0.digest.description < $1.digest.description }
    }

    private static func storedAt(_ descriptor: Descriptor) -> String {
        descriptor.annotations?[AnnotationKey.storedAt] ?? ""
    }

    private mutating func add(_ reference: Reference, _ digest: Digest) {
        domains[reference.path, default: []].insert(reference.domain)
        tags[reference.repository, default: [:]].merge(reference.tag.map { [$0: digest] } ?? [:]) { $1 }
    }
}

/// What one named image leads to.
struct CatalogueImage: Sendable {
    /// The manifests and indexes among it.
    private(set) var documents: [Digest: Descriptor] = [:]
    /// All of it.
    private(set) var blobs: Set<Digest> = []
    /// The contained images' names, each with the document that it stands for; of equal names the last counts.
    private(set) var members: [(name: Reference, digest: Digest)] = []
    /// What belongs to each contained image's repository.
    private(set) var owned: [String: Set<Digest>] = [:]
    /// The documents that have a subject.
    private(set) var referrers: [(subject: Digest, descriptor: Descriptor)] = []
    /// Whether all documents were there.
    private(set) var isWhole = true

    /// Reads what a descriptor leads to.
    init(_ descriptor: Descriptor, of store: ImageStore) async throws {
        guard case .index(let index) = try await read(descriptor, of: store) else { return }
        // What any index may say of itself is not enough to give names: only a ClusterImage contains images.
        let isCluster = index.artifactType == MediaType.clusterImage
        var upstream: Set<Digest> = []
        var configs: [Descriptor] = []
        var contained: [(name: Reference, digest: Digest)] = []
        for entry in index.manifests {
            if !MediaType.isIndex(entry.mediaType), !MediaType.isManifest(entry.mediaType) {
                blobs.insert(entry.digest)
            }
            guard case .manifest(let manifest) = try await read(entry, of: store), isCluster else { continue }
            switch entry.annotations?[AnnotationKey.content] {
            case "rootfs": configs.append(manifest.config)
            case "indexes":
                for index in manifest.layers.compactMap(\.carriedIndex) {
                    documents[index.digest] = index
                    upstream.insert(index.digest)
                }
            case "image":
                guard let text = entry.annotations?[AnnotationKey.imageName] else { continue }
                let name = try Reference(text)
                contained.append((name, entry.digest))
                owned[name.repository, default: [entry.digest]].formUnion(
                    [entry.digest, manifest.config.digest] + manifest.layers.map(\.digest))
            default: continue
            }
        }
        // Last to first, so that of several platforms of one image the first counts.
        members = contained.reversed()
        // What the name stood for upstream, an index mostly, goes before the one manifest of it.
        for config in configs {
            for image in try await images(config, of: store) where upstream.contains(image.digest) {
                let name = try Reference(image.name)
                members.append((name, image.digest))
                owned[name.repository, default: []].insert(image.digest)
            }
        }
    }

    /// Reads a document and takes it and what it refers to in; nil when it is not in the store.
    private mutating func read(_ descriptor: Descriptor, of store: ImageStore) async throws -> Document? {
        guard MediaType.isIndex(descriptor.mediaType) || MediaType.isManifest(descriptor.mediaType) else { return nil }
        guard try await store.size(of: descriptor.digest) == descriptor.size else {
            isWhole = false
            return nil
        }
        let bytes = try await store.bytes(of: descriptor)
        let document = try Document(
            bytes, mediaType: descriptor.mediaType, at: store.path(of: descriptor.digest).string)
        documents[descriptor.digest] = descriptor
        blobs.insert(descriptor.digest)
        if case .manifest = document { blobs.formUnion(document.references.map(\.digest)) }
        if let fields = ReferrerFields(bytes), let subject = fields.subject {
            referrers.append((subject.digest, fields.entry(for: descriptor)))
        }
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
