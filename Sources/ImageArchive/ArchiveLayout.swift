import FoundationEssentials
import OCI
import Report

/// The names of an image archive: those of an OCI image layout 1.1, those of a docker-archive, and one of our own.
enum ArchiveLayout {
    static let layout = "oci-layout"
    static let index = "index.json"
    /// The list of images of a docker-archive (Docker image specification 1.2, "Combined Image JSON + Filesystem Changeset Format").
    static let dockerManifest = "manifest.json"
    static let delta = "sealer-delta.json"

    /// What stands in `oci-layout`.
    static let layoutContent = Data(#"{"imageLayoutVersion":"1.0.0"}"#.utf8)

    /// The annotation under which containerd and Docker keep a whole name, while `ref.name` may be only a tag.
    static let containerdName = "io.containerd.image.name"
}

/// What an archive leaves out because the other side has it: the file `sealer-delta.json`, behind `index.json` and before all
/// blobs, so that a reader can refuse the archive before it writes anything.
///
/// It is a file of its own and no annotation of the index, because it can have thousands of lines and tools that rewrite an
/// index.json drop annotations that they do not know. A reader that does not know the file misses the blobs and says so.
struct DeltaDocument: Codable, Hashable, Sendable {
    /// A blob that is not in the archive.
    struct Blob: Codable, Hashable, Sendable {
        var digest: Digest
        var size: Int64
    }

    /// The version of this document, 1.
    var formatVersion = 1
    /// What is left out, sorted by digest.
    var omitted: [Blob]

    init(omitted: [Descriptor]) {
        self.omitted = omitted.map { Blob(digest: $0.digest, size: $0.size) }
            .sorted { $0.digest.description < $1.digest.description }
    }

    init(parsing bytes: Data, at place: String) throws {
        do {
            self = try JSONDecoder().decode(Self.self, from: bytes)
        } catch {
            throw Failure(.integrity, "\(ArchiveLayout.delta) is not what it should be", at: place, causes: [error])
        }
        guard formatVersion == 1 else {
            throw Failure(
                .invalidInput, "\(ArchiveLayout.delta) has version \(formatVersion), this sealer reads version 1",
                at: place, remedy: "use a newer sealer")
        }
    }
}

/// An image of a docker-archive: an element of its `manifest.json`.
struct DockerArchiveImage: Codable, Hashable, Sendable {
    /// The name of the configuration in the archive.
    var config: String
    /// The names of the image.
    var repoTags: [String]?
    /// The names of the layers in the archive, base first; nil where there are none.
    var layers: [String]?

    private enum CodingKeys: String, CodingKey {
        case config = "Config"
        case repoTags = "RepoTags"
        case layers = "Layers"
    }
}
