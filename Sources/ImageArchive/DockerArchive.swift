import Archive
import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage

/// Makes images of what a docker-archive's `manifest.json` names, whose files are in the store already.
struct DockerArchive: Sendable {
    let store: ImageStore
    let scan: ArchiveScan
    let limits: ArchiveLimits
    let place: String

    /// What packed layers are when they are unpacked: one that is named many times is unpacked once.
    private var unpacked: [UnpackedLayer: Digest] = [:]

    private struct UnpackedLayer: Hashable {
        var layer: Digest
        var algorithm: Digest.Algorithm
    }

    init(store: ImageStore, scan: ArchiveScan, limits: ArchiveLimits, place: String) {
        self.store = store
        self.scan = scan
        self.limits = limits
        self.place = place
    }

    /// The images of the archive; their manifests are in the store then.
    ///
    /// - Throws: `Failure` of kind `integrity` when a file is missing, when a layer is not what the configuration says, or when a
    ///   name tells another digest than the file has.
    mutating func images(_ manifest: Data) async throws -> [FoundImage] {
        let list: [DockerArchiveImage]
        do {
            list = try JSONDecoder().decode([DockerArchiveImage].self, from: manifest)
        } catch {
            throw Failure(
                .integrity, "\(ArchiveLayout.dockerManifest) is not what it should be", at: place, causes: [error])
        }
        let count = list.reduce(0) { $0 + 1 + ($1.layers?.count ?? 0) }
        guard count <= limits.references, list.count <= limits.documents else {
            throw Failure(.integrity, "\(ArchiveLayout.dockerManifest) names \(count) files", at: place)
        }
        var found: [FoundImage] = []
        for image in list {
            found.append(FoundImage(descriptor: try await make(image), names: image.repoTags ?? [], tag: nil))
        }
        return found
    }

    /// As much of a configuration as says what the layers must be.
    private struct Configuration: Decodable {
        struct RootFS: Decodable {
            var diffIDs: [Digest]

            private enum CodingKeys: String, CodingKey { case diffIDs = "diff_ids" }
        }
        var rootfs: RootFS
    }

    private mutating func make(_ image: DockerArchiveImage) async throws -> Descriptor {
        let config = try await file(image.config)
        let descriptor = Descriptor(mediaType: MediaType.config, digest: config.digest, size: config.size)
        let configuration = try await store.json(Configuration.self, descriptor)
        let diffIDs = configuration.rootfs.diffIDs
        let names = image.layers ?? []
        guard diffIDs.count == names.count else {
            throw Failure(
                .integrity,
                "the image has \(names.count) layers, its configuration tells of \(diffIDs.count)",
                at: "\(place): \(image.config.prefix(200))"
            )
        }
        var layers: [Descriptor] = []
        for (name, diffID) in zip(names, diffIDs) {
            let layer = try await file(name)
            try await check(layer, is: diffID, name)
            let type =
                switch layer.compression {
                case .none: MediaType.layer
                case .gzip: MediaType.layerGzip
                case .zstd: MediaType.layerZstd
                }
            layers.append(Descriptor(mediaType: type, digest: layer.digest, size: layer.size))
        }
        let manifest = ImageManifest(config: descriptor, layers: layers)
        return try await store.put(canonicalJSON(manifest), mediaType: MediaType.manifest)
    }

    // MARK: Files

    /// Finds what a name stands for, through links.
    private func file(_ name: String) async throws -> ArchiveScan.PartFile {
        var path = try ArchivePath(Array(name.utf8))
        for _ in 0..<16 {
            if let file = scan.files[path.description] {
                try check(file, fits: path)
                return file
            }
            if case .blob(let digest) = try ArchiveEntryRole(path, at: place), let file = try await blob(digest) {
                return file
            }
            guard let target = scan.links[path.description] else {
                throw Failure(
                    .integrity, "\(ArchiveLayout.dockerManifest) names a file that the archive lacks",
                    at: "\(place): \(path.description.prefix(200))")
            }
            path = try Self.follow(target, from: path)
        }
        throw Failure(.integrity, "the archive has links that lead nowhere", at: "\(place): \(name.prefix(200))")
    }

    private func blob(_ digest: Digest) async throws -> ArchiveScan.PartFile? {
        guard let size = try await store.size(of: digest) else { return nil }
        let path = store.path(of: digest)
        return try await BlockingPool.shared.run {
            var start = [UInt8](repeating: 0, count: 4)
            let source = try FileSource(path)
            let count = try start.withUnsafeMutableBytes { try source.readFully(into: $0) }
            return .init(digest: digest, size: size, compression: Compression.detect(start.prefix(count)))
        }
    }

    /// A configuration is named after its digest; a file that has another one was changed.
    private func check(_ file: ArchiveScan.PartFile, fits path: ArchivePath) throws {
        let name = path.description
        guard name.hasSuffix(".json"), let stated = Digest(algorithm: .sha256, hex: String(name.dropLast(5))) else {
            return
        }
        guard stated == file.digest else {
            throw Failure(.integrity, "the bytes of this file have the digest \(file.digest)", at: "\(place): \(name)")
        }
    }

    /// The target of a link, in the archive: text is worked out, and no file system is asked.
    private static func follow(_ target: [UInt8], from path: ArchivePath) throws -> ArchivePath {
        let slash = UInt8(ascii: "/")
        var components = target.first == slash ? [] : Array(path.parent.components)
        for component in target.split(separator: slash) {
            if component.elementsEqual([UInt8(ascii: ".")]) { continue }
            guard component.elementsEqual(Array("..".utf8)) else {
                components.append(component)
                continue
            }
            guard components.popLast() != nil else {
                throw Failure(.integrity, "the archive has a link that leads out of it", at: path.description)
            }
        }
        return try ArchivePath(components.joined(separator: [slash]).map(\.self))
    }

    // MARK: Layers

    /// Compares the unpacked bytes of a layer with the configuration.
    private mutating func check(_ layer: ArchiveScan.PartFile, is diffID: Digest, _ name: String) async throws {
        let actual: Digest
        if layer.compression == .none, layer.digest.algorithm == diffID.algorithm {
            actual = layer.digest
        } else if let known = unpacked[.init(layer: layer.digest, algorithm: diffID.algorithm)] {
            actual = known
        } else {
            let (path, limits, place) = (
                store.path(of: layer.digest), limits.decompression, "\(place): \(name.prefix(200))"
            )
            actual = try await BlockingPool.shared.run { cancellation in
                let source = try layer.compression.decoder(FileSource(path), limits: limits, place: place)
                let hasher = HashingSink(diffID.algorithm) { try cancellation.check() }
                try source.copy(to: hasher, bufferSize: 1 << 20)
                return hasher.digest
            }
            unpacked[.init(layer: layer.digest, algorithm: diffID.algorithm)] = actual
        }
        guard actual == diffID else {
            throw Failure(
                .integrity, "the layer has the digest \(actual), the configuration says \(diffID)",
                at: "\(place): \(name.prefix(200))")
        }
    }
}

/// A sink that only hashes.
private final class HashingSink: ByteSink {
    private var hasher: ContentHasher
    private let check: () throws -> Void

    init(_ algorithm: Digest.Algorithm, check: @escaping () throws -> Void) {
        hasher = ContentHasher(algorithm)
        self.check = check
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        try check()
        hasher.update(bytes)
    }

    func finish() {}

    var digest: Digest { hasher.digest() }
}
