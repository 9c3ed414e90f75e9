import Archive
import OCI
import Report

/// What an entry of an image archive is for, told by its name. The name decides nothing else: no path is ever made from it.
enum ArchiveEntryRole: Hashable {
    /// `oci-layout`, `index.json`, `manifest.json` or `sealer-delta.json`.
    case list
    /// A blob of an image layout.
    case blob(Digest)
    /// A file that a docker-archive's `manifest.json` may name: a configuration or a layer.
    case part(hint: Digest?)
    /// Something that no image needs, for instance the `VERSION` files of old archives.
    case other

    private static let lists: Set<String> = [
        ArchiveLayout.layout, ArchiveLayout.index, ArchiveLayout.dockerManifest, ArchiveLayout.delta,
    ]
    private static let packings = [".tar", ".tar.gz", ".tgz", ".tar.zst"]

    /// Tells the role of a checked name.
    ///
    /// - Throws: `Failure` of kind `integrity` for a file in `blobs/` whose name is no digest.
    init(_ path: ArchivePath, at place: String) throws {
        let name = path.description
        let components = path.components.map { String(decoding: $0, as: UTF8.self) }
        if Self.lists.contains(name) {
            self = .list
        } else if components.first == "blobs" {
            guard components.count == 3, let algorithm = Digest.Algorithm(rawValue: components[1]),
                let digest = Digest(algorithm: algorithm, hex: components[2])
            else {
                throw Failure(
                    .integrity, "a file in blobs/ has a name that is no digest", at: "\(place): \(name.prefix(200))")
            }
            self = .blob(digest)
        } else if let last = components.last, components.count <= 2 {
            // What a name says of the content is a hint: it is used where the store has that very content already.
            let hex = String(last.prefix { $0 != "." })
            let hint = Digest(algorithm: .sha256, hex: hex)
            if components.count == 1, last.hasSuffix(".json") {
                self = .part(hint: hint)
            } else if Self.packings.contains(where: last.hasSuffix) {
                self = .part(hint: hint)
            } else if last.hasPrefix("sha256:") {
                self = .part(hint: Digest(algorithm: .sha256, hex: String(last.dropFirst("sha256:".count))))
            } else {
                self = .other
            }
        } else {
            self = .other
        }
    }
}
