import FoundationEssentials
import ImageStore
import OCI
import Report

/// The images of a carried registry as members of a ClusterImage. Their blobs are in the store.
struct CarriedImages {
    var members: [ClusterImage.Member] = []
    var records: [ClusterImageConfig.ContainedImage] = []
    var upstreamIndexes: [Descriptor] = []
    /// What the user has to know: images that the older image lists or has in part only.
    var warnings: [String] = []

    private let store: ImageStore
    private let platform: Platform
    private let place: String

    /// Takes all images of a tree.
    ///
    /// - Parameter listed: the names that the older image says it was built with, as it wrote them.
    init(
        _ registry: CarriedRegistry, listed: [String], platform: Platform, in store: ImageStore, place: String
    ) async throws {
        self.store = store
        self.platform = platform
        self.place = place
        let references = names(listed)
        let finder = ImageNames(listed: references)
        var found: Set<Reference> = []
        for tag in registry.tags {
            let names = finder.names(of: .init(repository: tag.repository, tag: tag.tag))
            guard !names.isEmpty else {
                warnings.append("\(place): the repository \"\(tag.repository)\" has no name that an image can have")
                continue
            }
            found.formUnion(names)
            try await add(tag.digest, names: names, registry: registry)
        }
        for name in references where !found.contains(name) {
            let digest = name.digest.flatMap { digest in
                ImageNames.repositories(of: name).contains { registry.revisions[$0]?.contains(digest) == true }
                    ? digest : nil
            }
            if let digest {
                try await add(digest, names: [name], registry: registry)
            } else {
                warnings.append("\(place) lists the image \(name.familiar), but does not carry it")
            }
        }
        records.sort { $0.name < $1.name }
    }

    private mutating func names(_ listed: [String]) -> [Reference] {
        var seen: Set<Reference> = []
        var result: [Reference] = []
        for text in listed {
            guard let name = try? Reference(text) else {
                warnings.append("\(place) lists an image under a name that is none: \(String(text.prefix(200)))")
                continue
            }
            if seen.insert(name).inserted { result.append(name) }
        }
        return result
    }

    private mutating func add(_ digest: Digest, names: [Reference], registry: CarriedRegistry) async throws {
        let title = names.first?.familiar ?? digest.description
        guard let top = try await document(digest) else {
            warnings.append(
                "\(place): the image \(title) is left out, for its manifest \(digest) is "
                    + (registry.damaged.contains(digest) ? "damaged" : "missing or none"))
            return
        }
        var manifests: [(descriptor: Descriptor, manifest: ImageManifest)] = []
        switch top.document {
        case .manifest(let manifest): manifests.append((top.descriptor, manifest))
        case .index(let index):
            // Of an index mostly one platform is there.
            for entry in index.manifests where MediaType.isManifest(entry.mediaType) {
                guard let part = try await document(entry.digest), case .manifest(let manifest) = part.document else {
                    continue
                }
                var descriptor = part.descriptor
                descriptor.platform = entry.platform
                manifests.append((descriptor, manifest))
            }
        }
        var lacking: [Digest] = []
        var isThere = false
        for (descriptor, manifest) in manifests {
            let missing = try await store.missing([manifest.config] + manifest.layers)
            guard missing.isEmpty else {
                lacking += missing.map(\.digest)
                continue
            }
            var descriptor = descriptor
            if descriptor.platform == nil { descriptor.platform = try await store.platform(of: manifest) ?? platform }
            members += names.map { .init(name: $0, manifest: descriptor) }
            isThere = true
        }
        guard isThere else {
            let what =
                lacking.isEmpty
                ? "no manifest of its index is there"
                : "these of its blobs are damaged or missing: \(lacking.map(\.short).joined(separator: ", "))"
            warnings.append("\(place): the image \(title) is left out: \(what)")
            return
        }
        if case .index = top.document { upstreamIndexes.append(top.descriptor) }
        records += names.map { .init(name: $0.description, digest: digest, foundIn: [CarriedRegistry.folder]) }
    }

    private func document(_ digest: Digest) async throws -> (descriptor: Descriptor, document: Document)? {
        guard let size = try await store.size(of: digest), size <= Document.sizeLimit else { return nil }
        let untyped = Descriptor(mediaType: "application/octet-stream", digest: digest, size: size)
        let bytes = try await store.bytes(of: untyped)
        guard let type = Document.mediaType(of: bytes) else { return nil }
        let descriptor = Descriptor(mediaType: type, digest: digest, size: size)
        return (descriptor, try Document(bytes, mediaType: type, at: place))
    }
}
