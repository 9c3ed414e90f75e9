import FoundationEssentials
import ImageStore
import NIOCore
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

/// The repositories that are there for whoever asks; all others are not, in every answer.
public struct RepositoryScope: Hashable, Sendable {
    private let repositories: Set<String>?

    /// All.
    public static let all = RepositoryScope(nil)

    /// Only those of these full names, and those below (`docker.io/team` is also `docker.io/team/tool`).
    public init(_ repositories: Set<String>) {
        self.init(.some(repositories))
    }

    private init(_ repositories: Set<String>?) {
        self.repositories = repositories
    }

    /// Whether the repository of that full name is there.
    public func contains(_ fullName: String) -> Bool {
        guard let repositories else { return true }
        return repositories.contains { fullName == $0 || fullName.hasPrefix($0.hasSuffix("/") ? $0 : $0 + "/") }
    }
}

/// What a registry serves.
///
/// `namespace` is the registry that the client thinks it speaks to, when it uses this one as a mirror (containerd's `ns`).
/// A full name is one with its registry: `docker.io/library/nginx`. An error of kind `notFound` becomes a 404 with the error's
/// text, any other one a 500 without it.
public protocol RegistryContent: Sendable {
    /// A manifest or an index; nil when there is none of that name. What is outside of the scope must not change the answer, nor
    /// be read on the way to it; only a digest is looked for everywhere, and the caller asks `holds` before.
    func manifest(
        repository: String, namespace: String?, reference: ManifestName, scope: RepositoryScope
    ) async throws -> ServedDocument?
    /// A blob, open for reading, which the caller closes; nil when it is not served.
    func blob(_ digest: Digest) async throws -> ImageStore.OpenBlob?
    /// The tags of the repository of that full name, sorted; nil when there is no such repository.
    func tags(repository fullName: String) async throws -> [String]?
    /// The full names of the repositories, sorted.
    func repositories() async throws -> [String]
    /// The full name of the repository that a request means, whether or not there is one; nil when it can only mean some that are
    /// outside of the scope. Those do not change the answer.
    func fullName(repository: String, namespace: String?, scope: RepositoryScope) async throws -> String?
    /// Whether the manifest or blob belongs to the repository of that full name, not only to some other one.
    func holds(_ digest: Digest, repository fullName: String) async throws -> Bool
    /// The manifests of the repository of that full name whose subject is the digest (OCI distribution specification 1.1,
    /// "Listing Referrers"), sorted by digest.
    func referrers(of subject: Digest, repository fullName: String) async throws -> [Descriptor]
}

/// Where the bytes of a blob go that a client uploads. One call at a time.
public protocol BlobUpload: AnyObject, Sendable {
    /// How many bytes came so far.
    var size: Int64 { get }
    /// Appends bytes; returns when they are written, so that a client sends no faster than that.
    func write(_ bytes: ByteBuffer) async throws
    /// Makes the blob part of the content.
    ///
    /// - Throws: `Failure` of kind `integrity` when the bytes do not have that digest; nothing is left of them then.
    func finish(as digest: Digest) async throws
    /// Drops all that came.
    func abandon() async throws
}

/// What a manifest became that a client pushed.
public struct PushedManifest: Hashable, Sendable {
    /// Its digest.
    public var digest: Digest
    /// The digest that it has as its subject, if it has one.
    public var subject: Digest?

    /// Makes the answer.
    public init(digest: Digest, subject: Digest?) {
        self.digest = digest
        self.subject = subject
    }
}

/// A registry's content that clients may add to. All repositories are full names, as `pushName` gives them.
///
/// An error of kind `conflict` becomes a 503, after which a client tries again.
public protocol WritableRegistryContent: RegistryContent {
    /// The full name of the repository that a push goes to. It depends on the request alone.
    ///
    /// - Throws: `Failure` of kind `invalidInput`.
    func pushName(repository: String, namespace: String?) throws -> String
    /// Starts a blob.
    ///
    /// - Parameter algorithm: the one that the digest will likely have.
    func upload(to repository: String, algorithm: Digest.Algorithm) async throws -> any BlobUpload
    /// Makes a blob that is served part of another repository.
    ///
    /// - Returns: false when there is no such blob.
    func mount(_ digest: Digest, to repository: String) async throws -> Bool
    /// Takes a manifest or an index in, if all it refers to is there.
    ///
    /// - Parameters:
    ///   - mediaType: what the client calls it; nil leaves that to the document.
    ///   - isConfined: whether what it refers to must be of the same repository, because the client may not read the others.
    func put(
        _ bytes: Data, mediaType: String?, to repository: String, as name: ManifestName, isConfined: Bool
    ) async throws -> PushedManifest
    /// Takes a tag away, or a manifest with all its tags; false when there is none.
    func delete(_ name: ManifestName, from repository: String) async throws -> Bool
    /// Takes a blob away that no manifest refers to; false when there is none.
    func delete(_ digest: Digest, from repository: String) async throws -> Bool
    /// Is called every now and then: forgets what was begun and never finished.
    func tidy() async
}
