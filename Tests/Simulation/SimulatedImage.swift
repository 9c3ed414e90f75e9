import Archive
import FoundationEssentials
import ImageStore
import OCI
import SystemPackage

/// The image that simulated clusters are made of.
package enum SimulatedImage {
    static let name = "example.org/cluster:1"

    /// A store with a ClusterImage that brings Kubernetes.
    package static func store(_ path: FilePath) async throws -> ImageStore {
        let store = try await ImageStore.open(path)
        let sink = MemorySink()
        let tar = TarWriter(sink)
        let values = Array("size: 1\nname: image\n".utf8)
        try tar.begin(TarEntry(.file, name: Array("values.yaml".utf8), size: Int64(values.count), permissions: 0o600))
        try values.withUnsafeBytes { try tar.write($0) }
        try tar.finish()
        let layer = try await store.put(Data(sink.bytes), mediaType: MediaType.layer)
        var config = ImageConfig(
            platform: .current, rootfs: .init(diffIDs: []), sealer: ClusterImageConfig(kind: .kubeInstaller))
        config.config = .init(labels: [LabelKey.runtimeVersion: "v1.20.2", "\(LabelKey.podNetworkPrefix)bridge": "1"])
        let configBlob = try await store.put(canonicalJSON(config), mediaType: MediaType.config)
        var rootfs = try await store.put(
            canonicalJSON(ImageManifest(config: configBlob, layers: [layer])), mediaType: MediaType.manifest)
        rootfs.annotations = [AnnotationKey.content: "rootfs"]
        rootfs.platform = .current
        let index = ImageIndex(artifactType: MediaType.clusterImage, manifests: [rootfs])
        let descriptor = try await store.put(canonicalJSON(index), mediaType: MediaType.index)
        try await store.tag(descriptor, as: try Reference(name))
        return store
    }
}
