import FoundationEssentials
import Report

/// What the API server says of a node, as far as it matters here.
public struct NodeStatus: Sendable, Hashable, Codable {
    /// The node's name.
    public var name: String
    /// Whether its condition `Ready` is true.
    public var isReady: Bool
    /// Why it is not ready, in kubelet's words; empty when it is.
    public var reason: String
    /// When the node told that itself, in seconds since 1970 by its own clock; nil when it never did.
    public var reported: Int64?
    /// Whether it runs the control plane.
    public var isMaster: Bool
    /// Whether new pods may come to it.
    public var isSchedulable: Bool
    /// The address by which the other nodes reach it.
    public var address: String?
    /// The node's part of the pod network, when one is assigned; two parts, one of each family, are joined by a comma.
    public var podNetwork: String?
    /// kubelet's version.
    public var version: String
    /// Labels.
    public var labels: [String: String]
    /// Taints, `key=value:Effect` or `key:Effect`, sorted.
    public var taints: [String]

    /// Makes a status.
    public init(
        name: String, isReady: Bool, reason: String = "", reported: Int64? = nil, isMaster: Bool = false,
        isSchedulable: Bool = true,
        address: String? = nil, podNetwork: String? = nil, version: String = "", labels: [String: String] = [:],
        taints: [String] = []
    ) {
        self.name = name
        self.isReady = isReady
        self.reason = reason
        self.reported = reported
        self.isMaster = isMaster
        self.isSchedulable = isSchedulable
        self.address = address
        self.podNetwork = podNetwork
        self.version = version
        self.labels = labels
        self.taints = taints
    }

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
        return list.items.map(NodeStatus.init)
    }

    /// Whether it was called ready before its kubelet was started: until that reports, or is missed for 40 seconds, Kubernetes goes
    /// by what it knew.
    ///
    /// - Parameter start: when kubelet was started, in seconds since 1970 by the node's clock; nil when nobody knows.
    public func isStale(since start: Int64?) -> Bool {
        guard isReady, let reported, let start else { return false }
        // Both are cut to seconds, each its own way.
        return reported + 1 < start
    }

    /// The seconds since 1970 of a time as Kubernetes writes it.
    private static func seconds(_ text: String) -> Int64? {
        do {
            return Int64(try Date.ISO8601FormatStyle().parse(text).timeIntervalSince1970)
        } catch {
            return nil
        }
    }

    private init(_ node: NodeList.Node) {
        let ready = node.status.conditions?.first { $0.type == "Ready" }
        let isReady = ready?.status == "True"
        let reason = [ready?.reason, ready?.message].compactMap { $0 }.joined(separator: ": ")
        let labels = node.metadata.labels ?? [:]
        self.init(
            name: node.metadata.name,
            isReady: isReady,
            reason: isReady ? "" : (reason.isEmpty ? "kubelet has not reported yet" : reason),
            reported: ready?.lastHeartbeatTime.flatMap(Self.seconds),
            // The second one is what Kubernetes before 1.20 wrote alone.
            isMaster: labels["node-role.kubernetes.io/control-plane"] != nil
                || labels["node-role.kubernetes.io/master"] != nil,
            isSchedulable: node.spec?.unschedulable != true,
            address: node.status.addresses?.first { $0.type == "InternalIP" }?.address,
            podNetwork: node.spec?.podCIDRs?.joined(separator: ",") ?? node.spec?.podCIDR,
            version: node.status.nodeInfo?.kubeletVersion ?? "",
            labels: labels,
            taints: (node.spec?.taints ?? []).map { taint in
                let value = taint.value ?? ""
                return value.isEmpty ? "\(taint.key):\(taint.effect)" : "\(taint.key)=\(value):\(taint.effect)"
            }.sorted()
        )
    }

    private struct NodeList: Decodable {
        struct Node: Decodable {
            struct Metadata: Decodable {
                var name: String
                var labels: [String: String]?
            }
            struct Spec: Decodable {
                struct Taint: Decodable {
                    var key: String
                    var value: String?
                    var effect: String
                }
                var podCIDR: String?
                var podCIDRs: [String]?
                var unschedulable: Bool?
                var taints: [Taint]?
            }
            struct Status: Decodable {
                struct Condition: Decodable {
                    var type: String
                    var status: String
                    var reason: String?
                    var message: String?
                    var lastHeartbeatTime: String?
                }
                struct Address: Decodable {
                    var type: String
                    var address: String
                }
                struct Information: Decodable { var kubeletVersion: String? }
                var conditions: [Condition]?
                var addresses: [Address]?
                var nodeInfo: Information?
            }
            var metadata: Metadata
            var spec: Spec?
            var status: Status
        }
        var items: [Node]
    }
}
