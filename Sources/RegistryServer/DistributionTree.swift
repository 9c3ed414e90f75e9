import FoundationEssentials
import ImageStore
import LinuxSystem
import OCI
import Report
import SystemPackage

/// Serves the files of a docker-distribution registry, read-only: the tree `docker/registry/v2` with `repositories` and `blobs`
/// that ClusterImages of sealer 0.9 to 0.11 carry below `registry`.
///
/// A repository is found by its path as it is, or with the client's namespace before it. Manifests are verified as they are
/// read; blobs are sent as they are, and the client verifies them.
public struct DistributionTree: RegistryContent {
    /// The most repositories that are listed, and how deep they may lie.
    private static let repositoryLimit = 100_000
    private static let depthLimit = 16

    private let tree: TreeFolder

    /// Opens a tree.
    ///
    /// - Parameter folder: the folder `v2` itself, or one with `docker/registry/v2` or `registry/docker/registry/v2` below.
    /// - Throws: `Failure` of kind `notFound` when there is no such tree.
    public init(_ folder: FilePath) async throws {
        tree = try await BlockingPool.shared.run {
            for below in ["", "docker/registry/v2", "registry/docker/registry/v2"] {
                let root = below.isEmpty ? folder : folder.appending(below)
                if Folder.exists(root.appending("repositories")), Folder.exists(root.appending("blobs")) {
                    return TreeFolder(root: root)
                }
            }
            throw Failure(
                .notFound, "the folder has no files of a registry (docker/registry/v2)", at: folder.string)
        }
    }

    /// A manifest that the repository has, by a tag's link or by its own.
    public func manifest(
        repository: String, namespace: String?, reference: ManifestName, scope: RepositoryScope
    ) async throws -> ServedDocument? {
        let tree = tree
        return try await BlockingPool.shared.run {
            guard let name = try Self.existing(repository, namespace, scope, in: tree) else { return nil }
            let manifests = Self.folder(of: name) + ["_manifests"]
            let digest: Digest? =
                switch reference {
                case .tag(let tag): try Self.link(manifests + ["tags", tag, "current", "link"], in: tree)
                case .digest(let digest):
                    try Self.link(manifests + ["revisions", digest.algorithm.rawValue, digest.hex, "link"], in: tree)
                }
            guard let digest, let bytes = try tree.bytes(Self.data(of: digest), limit: Int(Document.sizeLimit)) else {
                return nil
            }
            let data = Data(bytes)
            guard Digest.of(data, digest.algorithm) == digest else {
                throw Failure(.integrity, "the manifest \(digest) was changed or cut off", at: tree.root.string)
            }
            guard let type = Document.mediaType(of: data) else { return nil }
            return ServedDocument(
                descriptor: Descriptor(mediaType: type, digest: digest, size: Int64(data.count)), bytes: data)
        }
    }

    /// Any blob of the tree.
    public func blob(_ digest: Digest) async throws -> ImageStore.OpenBlob? {
        let tree = tree
        return try await BlockingPool.shared.run {
            try tree.file(Self.data(of: digest)).map { ImageStore.OpenBlob(file: $0.file, size: $0.size) }
        }
    }

    /// The tags that stand for something.
    public func tags(repository fullName: String) async throws -> [String]? {
        let tree = tree
        return try await BlockingPool.shared.run {
            let folder = Self.folder(of: fullName) + ["_manifests", "tags"]
            return try tree.names(folder)?.filter { try Self.link(folder + [$0, "current", "link"], in: tree) != nil }
        }
    }

    /// All repositories that have manifests.
    public func repositories() async throws -> [String] {
        let tree = tree
        return try await BlockingPool.shared.run {
            var found: [String] = []
            var queue: [[String]] = [[]]
            while let components = queue.popLast() {
                for name in try tree.names(["repositories"] + components) ?? [] {
                    guard name == "_manifests" || !name.hasPrefix("_") else { continue }
                    if name == "_manifests", !components.isEmpty {
                        found.append(components.joined(separator: "/"))
                    } else if components.count < Self.depthLimit {
                        queue.append(components + [name])
                    }
                }
                guard queue.count + found.count <= Self.repositoryLimit else {
                    throw Failure(
                        .integrity, "there are more than \(Self.repositoryLimit) repositories", at: tree.root.string)
                }
            }
            return found.sorted()
        }
    }

    /// The path with the namespace before it if there is such a repository, else as it is.
    public func fullName(repository: String, namespace: String?, scope: RepositoryScope) async throws -> String? {
        let tree = tree
        return try await BlockingPool.shared.run { try Self.existing(repository, namespace, scope, in: tree) }
            ?? (scope.contains(repository) ? repository : nil)
    }

    /// Whether the repository has a link to the blob or manifest.
    public func holds(_ digest: Digest, repository fullName: String) async throws -> Bool {
        let tree = tree
        return try await BlockingPool.shared.run {
            let folder = Self.folder(of: fullName)
            let end = [digest.algorithm.rawValue, digest.hex, "link"]
            return try Self.link(folder + ["_layers"] + end, in: tree) != nil
                || Self.link(folder + ["_manifests", "revisions"] + end, in: tree) != nil
        }
    }

    /// Those trees are older than referrers.
    public func referrers(of subject: Digest, repository fullName: String) async throws -> [Descriptor] { [] }

    // MARK: - Paths

    private static func folder(of repository: String) -> [String] {
        ["repositories"] + repository.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    }

    private static func data(of digest: Digest) -> [String] {
        ["blobs", digest.algorithm.rawValue, String(digest.hex.prefix(2)), digest.hex, "data"]
    }

    private static func existing(
        _ path: String, _ namespace: String?, _ scope: RepositoryScope, in tree: TreeFolder
    ) throws -> String? {
        let names =
            (namespace.map { ["\($0)/\(path)"] } ?? []) + [path] + (path.contains("/") ? [] : ["library/\(path)"])
        return try names.first { try scope.contains($0) && tree.names(folder(of: $0) + ["_manifests"]) != nil }
    }

    /// The digest that a link file holds; nil when there is none, or no digest in it.
    private static func link(_ components: [String], in tree: TreeFolder) throws -> Digest? {
        guard let bytes = try tree.bytes(components, limit: 4096) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self).filter { !$0.isWhitespace }
        return try? Digest(text)
    }
}
