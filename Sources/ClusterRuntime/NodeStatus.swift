import FoundationEssentials
import Report

/// What the API server says of a node, as far as it matters here.
public struct NodeStatus: Sendable, Hashable {
    /// The node's name.
    public var name: String
    /// Whether its condition `Ready` is true.
    public var isReady: Bool
    /// Why it is not ready, in kubelet's words; empty when it is.
    public var reason: String
    /// The node's part of the pod network, when one is assigned.
    public var podNetwork: String?
    /// kubelet's version.
    public var version: String

    /// Reads the output of `kubectl get nodes --output json`.
    ///
    /// - Throws: `Failure` of kind `integrity`.
    public static func list(fromJSON bytes: Data) throws -> [NodeStatus] {
        let list: NodeList
        do {
            list = try JSONDecoder().decode(NodeList.self, from: bytes)
        } catch {
            throw Failure(.integrity, "kubectl's list of nodes cannot be read", causes: [error])
        }
        return list.items.map { node in
            let ready = node.status.conditions?.first { $0.type == "Ready" }
            let isReady = ready?.status == "True"
            let reason = [ready?.reason, ready?.message].compactMap { $0 }.joined(separator: ": ")
            return NodeStatus(
                name: node.metadata.name,
                isReady: isReady,
                reason: isReady ? "" : (reason.isEmpty ? "kubelet has not reported yet" : reason),
                podNetwork: node.spec?.podCIDR,
                version: node.status.nodeInfo?.kubeletVersion ?? ""
            )
        }
    }

    private struct NodeList: Decodable {
        struct Node: Decodable {
            struct Metadata: Decodable { var name: String }
            struct Spec: Decodable { var podCIDR: String? }
            struct Status: Decodable {
                struct Condition: Decodable {
                    var type: String
                    var status: String
                    var reason: String?
                    var message: String?
                }
                struct Information: Decodable { var kubeletVersion: String? }
                var conditions: [Condition]?
                var nodeInfo: Information?
            }
            var metadata: Metadata
            var spec: Spec?
            var status: Status
        }
        var items: [Node]
    }
}
