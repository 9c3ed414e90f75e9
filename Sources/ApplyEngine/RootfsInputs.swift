import ClusterRuntime
import Clusterfile
import FoundationEssentials
import ImageStore
import ImageTree
import OCI
import Report
import SystemPackage

/// What files of the rootfs say, together with the Config documents that change them.
struct RootfsInputs: Sendable {
    /// Where base images have kubeadm's own documents.
    static let kubeadmPath = "etc/kubeadm.yml"

    /// The files that Config documents change, as every node should have them.
    var configuration: [ManagedFile]
    /// kubeadm's own documents of the image, changed by Config documents if there are any for that file.
    var kubeadmDocuments: [KubeadmDocument]

    /// Reads what matters out of the layers in the store.
    ///
    /// - Parameter rootfs: the folder of the rootfs on the nodes.
    /// - Throws: `Failure` of kind `invalidInput` for files of the image that Config documents cannot change, and for a file of
    ///   kubeadm's that is none.
    static func read(_ cluster: Cluster, _ image: ClusterImage, rootfs: String, from cache: RootfsFileCache)
        async throws
        -> RootfsInputs
    {
        let name = cluster.image.familiar
        let paths = Set(cluster.configs.map(\.path) + [kubeadmPath])
        let files: [String: ImageFile]
        do {
            files = try await cache.read(paths, of: image)
        } catch let failure as Failure where failure.kind == .invalidInput {
            throw Failure(
                .invalidInput, "Config documents and kubeadm's configuration are for plain files", at: name,
                causes: [failure])
        }
        let originals = files.mapValues { RootfsConfiguration.Original(bytes: $0.bytes, permissions: $0.permissions) }
        let folder = FilePath(rootfs)
        let configuration = try RootfsConfiguration.files(
            overlays: cluster.configs, image: originals, rootfs: folder)
        let changed = configuration.first { $0.path == folder.appending(FilePath(kubeadmPath).components) }
        guard let bytes = changed?.content ?? files[kubeadmPath]?.bytes else {
            return RootfsInputs(configuration: configuration, kubeadmDocuments: [])
        }
        let place = changed == nil ? "\(name): \(kubeadmPath)" : "\(name), with its Config: \(kubeadmPath)"
        do {
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw Failure(.invalidInput, "this is no text", at: place)
            }
            return RootfsInputs(
                configuration: configuration, kubeadmDocuments: try KubeadmDocument.parse(text, file: place))
        } catch {
            throw Failure(
                .invalidInput, "kubeadm's configuration in the image cannot be used", at: name,
                remedy: "replace it in the Clusterfile: a Config with path: \(kubeadmPath) and strategy: overwrite",
                causes: [error])
        }
    }
}
