import OCI
import Report
import SystemPackage

/// Where an image is, or shall be: a registry, a folder, an archive, or the store.
public enum ImagePlace: Sendable, Hashable {
    /// `docker://NAME`: in a registry.
    case registry(Reference)
    /// `oci:FOLDER[:NAME]`: in an OCI image layout.
    case layout(FilePath, name: String?)
    /// `oci-archive:FILE[:NAME]`: in a tar file.
    case archive(FilePath, name: String?)
    /// `NAME`: in the store.
    case store(String)

    /// The name that the place gives an image; nil where it gives none.
    var name: String? {
        switch self {
        case .registry(let reference): reference.description
        case .layout(_, let name), .archive(_, let name): name
        case .store(let name): name
        }
    }

    /// Parses a place.
    ///
    /// - Throws: `Failure` of kind `usage`.
    public init(_ text: String) throws {
        func rest(_ prefix: String) -> Substring? { text.hasPrefix(prefix) ? text.dropFirst(prefix.count) : nil }
        if let name = rest("docker://") {
            do {
                self = .registry(try Reference(String(name)))
            } catch {
                throw Failure(.usage, error.what)
            }
        } else if let place = rest("oci-archive:") {
            let (path, name) = try Self.split(place, of: text)
            self = .archive(path, name: name)
        } else if let place = rest("oci:") {
            let (path, name) = try Self.split(place, of: text)
            self = .layout(path, name: name)
        } else if let colon = text.firstIndex(of: ":"), text[colon...].hasPrefix("://") {
            throw Failure(
                .usage,
                "\(text): docker://NAME, oci:FOLDER[:NAME], oci-archive:FILE[:NAME] or an image's name was expected")
        } else {
            self = .store(text)
        }
    }

    /// The first colon ends the path, as skopeo has it: names have colons, paths seldom.
    private static func split(_ place: Substring, of text: String) throws -> (FilePath, String?) {
        let parts = place.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let path = parts.first, !path.isEmpty, parts.count == 1 || !parts[1].isEmpty else {
            throw Failure(.usage, "\(text): a path and, after a colon, a name was expected")
        }
        return (FilePath(String(path)), parts.count > 1 ? String(parts[1]) : nil)
    }
}
