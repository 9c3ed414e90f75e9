import FoundationEssentials
import Report

/// What the API server says of a pod, as far as it matters here.
public struct PodStatus: Sendable, Hashable {
    /// `NAMESPACE/NAME`.
    public var name: String
    /// The node it runs on.
    public var node: String?
    /// Whether it runs and is ready, or has ended well.
    public var isWell: Bool
    /// Why it is not well; empty when it is.
    public var reason: String
    /// Whether kubelet runs it from a file, as it does the control plane's pods.
    public var isStatic: Bool

    /// Reads the output of `kubectl get pods --all-namespaces --output json`; objects of other kinds are passed over.
    ///
    /// - Throws: `Failure` of kind `integrity`.
    public static func list(fromJSON bytes: Data) throws -> [PodStatus] {
        let list: PodList
        do {
            list = try JSONDecoder().decode(PodList.self, from: bytes)
        } catch {
            throw Failure(.integrity, "kubectl's list of pods cannot be read", causes: [error])
        }
        return list.items.compactMap(\.pod).map { pod in
            let ready = pod.status.conditions?.first { $0.type == "Ready" }
            let isWell = pod.status.phase == "Succeeded" || (pod.status.phase == "Running" && ready?.status == "True")
            let containers = (pod.status.initContainerStatuses ?? []) + (pod.status.containerStatuses ?? [])
            let troubles = containers.compactMap { container -> String? in
                guard let trouble = container.state?.waiting ?? container.state?.terminated,
                    let reason = trouble.reason, reason != "Completed"
                else { return nil }
                return "\(container.name): " + [reason, trouble.message].compactMap { $0 }.joined(separator: ": ")
            }
            let conditions = (pod.status.conditions ?? []).filter { $0.status == "False" }
                .compactMap { $0.message ?? $0.reason }
            let reasons = troubles.isEmpty ? conditions : troubles
            let why = ([pod.status.phase ?? "unknown"] + reasons).joined(separator: ", ")
            return PodStatus(
                name: "\(pod.metadata.namespace ?? "default")/\(pod.metadata.name)",
                node: pod.spec?.nodeName,
                isWell: isWell,
                reason: isWell ? "" : why,
                isStatic: pod.metadata.annotations?["kubernetes.io/config.mirror"] != nil
            )
        }
    }

    private struct PodList: Decodable {
        struct Pod: Decodable {
            struct Metadata: Decodable {
                var name: String
                var namespace: String?
                var annotations: [String: String]?
            }
            struct Spec: Decodable { var nodeName: String? }
            struct Status: Decodable {
                var phase: String?
                var conditions: [Condition]?
                var initContainerStatuses: [ContainerStatus]?
                var containerStatuses: [ContainerStatus]?
            }
            var metadata: Metadata
            var spec: Spec?
            var status: Status
        }
        struct Condition: Decodable {
            var type: String
            var status: String
            var reason: String?
            var message: String?
        }
        struct ContainerStatus: Decodable {
            struct State: Decodable {
                struct Trouble: Decodable {
                    var reason: String?
                    var message: String?
                }
                var waiting: Trouble?
                var terminated: Trouble?
            }
            var name: String
            var state: State?
        }
        /// An object, of which only a pod is read.
        struct Item: Decodable {
            var pod: Pod?

            private enum CodingKeys: String, CodingKey { case kind }

            init(from decoder: any Decoder) throws {
                let kind = try decoder.container(keyedBy: CodingKeys.self).decodeIfPresent(String.self, forKey: .kind)
                pod = kind == nil || kind == "Pod" ? try Pod(from: decoder) : nil
            }
        }
        var items: [Item]
    }
}
