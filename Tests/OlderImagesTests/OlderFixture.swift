import Archive
import FoundationEssentials
import ImageStore
import OCI
import Report
import Synchronization

/// Makes images as sealer 0.9 to 0.11 made them.
struct OlderFixture {
    /// A file of a layer by its path; nil is a whiteout.
    typealias Files = [(path: String, content: Data?)]

    let store: ImageStore

    static func file(_ path: String, _ text: String) -> (path: String, content: Data?) { (path, Data(text.utf8)) }

    /// The files of a docker-distribution registry for one image.
    struct Tree {
        var files: Files = []
        var manifest: Descriptor

        /// - Parameters:
        ///   - leavingOut: makes the tree one in which the layer is not.
        init(
            _ repository: String, tag: String?, layer: String, platform: String = "amd64", listed: Bool = false,
            leavingOut: Bool = false
        ) throws {
            let layerBytes = Data("layer \(layer)".utf8)
            let config = Data(#"{"architecture":"\#(platform)","os":"linux","of":"\#(repository)"}"#.utf8)
            func blob(_ bytes: Data, _ type: String) -> Descriptor {
                Descriptor(mediaType: type, digest: .of(bytes), size: Int64(bytes.count))
            }
            var document = ImageManifest(
                config: blob(config, MediaType.dockerConfig), layers: [blob(layerBytes, MediaType.dockerLayerGzip)])
            document.mediaType = MediaType.dockerManifest
            let bytes = try canonicalJSON(document)
            manifest = blob(bytes, MediaType.dockerManifest)
            var blobs = [config, bytes]
            if !leavingOut { blobs.append(layerBytes) }
            var top = manifest
            if listed {
                var entry = manifest
                entry.platform = Platform(architecture: platform)
                let other = Descriptor(
                    mediaType: MediaType.dockerManifest, digest: .of(Data("elsewhere".utf8)), size: 9,
                    platform: Platform(architecture: "s390x"))
                var index = ImageIndex(manifests: [entry, other])
                index.mediaType = MediaType.dockerManifestList
                let list = try canonicalJSON(index)
                blobs.append(list)
                top = blob(list, MediaType.dockerManifestList)
                manifest = top
            }
            for bytes in blobs { files.append((Self.data(.of(bytes)), bytes)) }
            let folder = "\(Self.root)/repositories/\(repository)/_manifests"
            let link = Data(top.digest.description.utf8)
            files.append(("\(folder)/revisions/sha256/\(top.digest.hex)/link", link))
            if let tag { files.append(("\(folder)/tags/\(tag)/current/link", link)) }
        }

        static let root = "registry/docker/registry/v2"

        static func data(_ digest: Digest) -> String {
            "\(root)/blobs/sha256/\(digest.hex.prefix(2))/\(digest.hex)/data"
        }
    }

    static func archive(_ files: Files) throws -> [UInt8] {
        let sink = MemorySink()
        let tar = TarWriter(sink)
        var folders: Set<String> = []
        for (path, content) in files {
            let parts = path.split(separator: "/").map(String.init)
            for count in 1..<max(parts.count, 1) {
                let folder = parts.prefix(count).joined(separator: "/")
                guard folders.insert(folder).inserted else { continue }
                try tar.begin(TarEntry(.folder, name: Array(folder.utf8), permissions: 0o755))
            }
            let name = content == nil ? (parts.dropLast() + [".wh.\(parts.last ?? "")"]).joined(separator: "/") : path
            let bytes = Array(content ?? Data())
            try tar.begin(TarEntry(.file, name: Array(name.utf8), size: Int64(bytes.count), permissions: 0o755))
            if !bytes.isEmpty { try bytes.withUnsafeBytes { try tar.write($0) } }
        }
        try tar.finish()
        return sink.bytes
    }

    /// Stores an image of these layers.
    func image(
        _ layers: [Files], annotations: [String: String], labels: [String: String] = ["io.sealer.version": "0.11.0"],
        architecture: String = "amd64", docker: Bool = false
    ) async throws -> Descriptor {
        var descriptors: [Descriptor] = []
        var diffIDs: [Digest] = []
        for files in layers {
            let bytes = try Self.archive(files)
            diffIDs.append(.of(Data(bytes)))
            let packed = MemorySink()
            let encoder = try Compression.gzip.encoder(into: packed)
            try encoder.write(bytes)
            try encoder.finish()
            descriptors.append(
                try await store.put(
                    Data(packed.bytes), mediaType: docker ? MediaType.dockerLayerGzip : MediaType.layerGzip))
        }
        let config = ImageConfig(
            platform: Platform(architecture: architecture), config: .init(labels: labels),
            rootfs: .init(diffIDs: diffIDs),
            history: layers.indices.map { .init(createdBy: "COPY \($0)") } + [.init(createdBy: "CMD", emptyLayer: true)]
        )
        var manifest = ImageManifest(
            config: try await store.put(
                canonicalJSON(config), mediaType: docker ? MediaType.dockerConfig : MediaType.config),
            layers: descriptors, annotations: annotations.isEmpty ? nil : annotations)
        let type = docker ? MediaType.dockerManifest : MediaType.manifest
        manifest.mediaType = type
        return try await store.put(canonicalJSON(manifest), mediaType: type)
    }
}

/// Keeps the warnings.
final class Warnings: ProgressSink {
    private let texts = Mutex<[String]>([])
    var all: [String] { texts.withLock { $0 } }

    func send(_ event: ProgressEvent) {
        if case .warning(let text) = event { texts.withLock { $0.append(text) } }
    }
}
