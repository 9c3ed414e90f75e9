import FoundationEssentials
import Report
import YAML

/// A pod that kubelet runs from a file, as far as the file and what the API server shows of it can be compared.
struct StaticPod: Hashable, Sendable {
    /// What both say.
    struct Body: Hashable, Sendable {
        var command: [String]
        var image: String
        /// The paths of the host by the volumes' names.
        var hostPaths: [String: String]
    }

    var body: Body
    /// kubelet's own hash of the file that the pod was made from; nil for a file.
    var hash: String?
    /// Whether it runs and is ready; false for a file.
    var isReady = false

    /// Reads a manifest as kubeadm writes it.
    ///
    /// - Throws: `Failure` of kind `integrity` for what is none; `YAML`'s for what is no YAML.
    init(manifest bytes: Data, at place: String) throws {
        let document = try YAMLDocuments.parseOne(String(decoding: bytes, as: UTF8.self), file: place)
        guard let container = document.at("spec", "containers")?.sequence?.first,
            let image = container["image"]?.scalar?.text
        else { throw Failure(.integrity, "this is no pod with a container", at: place) }
        var paths: [String: String] = [:]
        for volume in document.at("spec", "volumes")?.sequence ?? [] {
            guard let name = volume["name"]?.scalar?.text, let path = volume.at("hostPath", "path")?.scalar?.text else {
                continue
            }
            paths[name] = path
        }
        body = Body(
            command: container["command"]?.sequence?.compactMap(\.scalar?.text) ?? [], image: image, hostPaths: paths)
    }

    /// Reads the output of `kubectl get pods --output json`: by the pods' names.
    ///
    /// - Throws: `Failure` of kind `integrity`.
    static func mirrors(fromJSON bytes: Data) throws -> [String: StaticPod] {
        let list: List
        do {
            list = try JSONDecoder().decode(List.self, from: bytes)
        } catch {
            throw Failure(.integrity, "kubectl's list of pods cannot be read", causes: [error])
        }
        var pods: [String: StaticPod] = [:]
        for item in list.items {
            guard let container = item.spec.containers.first else { continue }
            var paths: [String: String] = [:]
            for volume in item.spec.volumes ?? [] { paths[volume.name] = volume.hostPath?.path }
            pods[item.metadata.name] = StaticPod(
                body: Body(command: container.command ?? [], image: container.image ?? "", hostPaths: paths),
                hash: item.metadata.annotations?["kubernetes.io/config.hash"],
                isReady: item.status?.conditions?.contains { $0.type == "Ready" && $0.status == "True" } == true)
        }
        return pods
    }

    private init(body: Body, hash: String?, isReady: Bool) {
        self.body = body
        self.hash = hash
        self.isReady = isReady
    }

    private struct List: Decodable {
        struct Item: Decodable {
            struct Metadata: Decodable {
                var name: String
                var annotations: [String: String]?
            }
            struct Spec: Decodable {
                struct Container: Decodable {
                    var command: [String]?
                    var image: String?
                }
                struct Volume: Decodable {
                    struct HostPath: Decodable { var path: String }
                    var name: String
                    var hostPath: HostPath?
                }
                var containers: [Container]
                var volumes: [Volume]?
            }
            struct Status: Decodable {
                struct Condition: Decodable {
                    var type: String
                    var status: String
                }
                var conditions: [Condition]?
            }
            var metadata: Metadata
            var spec: Spec
            var status: Status?
        }
        var items: [Item]
    }
}
