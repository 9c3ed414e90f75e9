import FoundationEssentials
import ImageStore
import OCI

/// How a request names a manifest.
public enum ManifestName: Hashable, Sendable {
    /// By tag.
    case tag(String)
    /// By digest.
    case digest(Digest)
}

/// A manifest or an index, ready to be sent.
public struct ServedDocument: Hashable, Sendable {
    /// Its type, digest and size.
    public var descriptor: Descriptor
    /// Its bytes.
    public var bytes: Data

    /// Makes a document.
    public init(descriptor: Descriptor, bytes: Data) {
        self.descriptor = descriptor
        self.bytes = bytes
    }
}

/// What a registry serves.
///
/// `namespace` is the registry that the client thinks it speaks to, when it uses this one as a mirror (containerd's `ns`).
/// An error of kind `notFound` becomes a 404 with the error's text, any other one a 500 without it.
public protocol RegistryContent: Sendable {
    /// A manifest or an index; nil when there is none of that name.
    func manifest(repository: String, namespace: String?, reference: ManifestName) async throws -> ServedDocument?
    /// A blob, open for reading, which the caller closes; nil when it is not served.
    func blob(_ digest: Digest) async throws -> ImageStore.OpenBlob?
    /// The tags of a repository, sorted; nil when there is no such repository.
    func tags(repository: String, namespace: String?) async throws -> [String]?
    /// The repositories, sorted, with the registries that they are from: `docker.io/library/nginx`.
    func repositories() async throws -> [String]
}
